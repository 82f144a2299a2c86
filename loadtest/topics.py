"""Topics of a run: fresh ones with the broker's own clock on what is appended, or a user's, looked up."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from loadtest.errors import LoadTestError

_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_WARM_UP = "loadtest-warm-up"
_WARM_UP_SECONDS = 2.0
_WARM_UP_VALUE = bytes(200)


def create(kafka: str, tag: str, partitions: int) -> None:
    """`TAG-in`, `TAG-out` and `TAG-dead`. Raises LoadTestError."""
    config = {"message.timestamp.type": "LogAppendTime"}
    new = [
        NewTopic(f"{tag}-in", num_partitions=partitions, replication_factor=1),
        NewTopic(f"{tag}-out", num_partitions=partitions, replication_factor=1, config=config),
        NewTopic(f"{tag}-dead", num_partitions=partitions, replication_factor=1),
    ]
    admin = _admin(kafka)  # its requests end with it
    try:
        for future in admin.create_topics(new, request_timeout=_SECONDS).values():
            future.result(_SECONDS)
        _wait_until_led(admin, [topic.topic for topic in new])
    except (KafkaException, TimeoutError) as error:
        raise LoadTestError(f"topics {tag}-* cannot be created on {kafka}: {_reason(error)}") from None


def _wait_until_led(admin: AdminClient, names: Sequence[str]) -> None:
    """A broker says that a topic is made before everybody is told; clients that ask meanwhile stumble."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        known = admin.list_topics(timeout=_SECONDS).topics
        made = [known[name] for name in names if name in known]
        if len(made) == len(names) and all(p.leader >= 0 for topic in made for p in topic.partitions.values()):
            return
        time.sleep(_LOOK_SECONDS)
    raise LoadTestError(f"topics {', '.join(names)} have no leader after {_SECONDS:.0f} s")


def delete(kafka: str, tag: str) -> None:
    """The topics of a run that is over: its data is not needed any more. A broker that cannot keeps them."""
    admin = _admin(kafka)
    for future in admin.delete_topics([f"{tag}-{part}" for part in ("in", "out", "dead")]).values():
        with suppress(TimeoutError):
            future.exception(_SECONDS)


def partitions(kafka: str, *topics: str) -> Mapping[str, int]:
    """Number of partitions of these topics. Raises LoadTestError if one does not exist, or no broker answers."""
    try:
        known = _admin(kafka).list_topics(timeout=_SECONDS).topics
    except KafkaException as error:
        raise LoadTestError(f"no broker answers at {kafka} ({_reason(error)}): is the address right?") from None
    for topic in topics:
        if topic not in known:
            raise LoadTestError(f"topic '{topic}' does not exist on {kafka}: create it, or correct its name")
    return {topic: len(known[topic].partitions) for topic in topics}


def warm_up(kafka: str) -> None:
    """Use a new broker for a moment. One that runs on the JVM is slow at first, and makes what groups need when the
    first one comes: that would be charged to whoever is measured first."""
    create(kafka, _WARM_UP, 4)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 1, "log_level": 2})
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": _WARM_UP, "auto.offset.reset": "earliest", "log_level": 2}
    )
    consumer.subscribe([f"{_WARM_UP}-in"])
    end, number = time.monotonic() + _WARM_UP_SECONDS, 0
    while time.monotonic() < end:
        for _ in range(20):
            producer.produce(f"{_WARM_UP}-in", _WARM_UP_VALUE, b"k", number % 4)
            number += 1
        producer.poll(0)
        consumer.consume(100, 0.002)
    producer.flush(_SECONDS)
    consumer.close()
    delete(kafka, _WARM_UP)


def _admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka, "log_level": 2})


def _reason(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if hasattr(cause, "str") else str(cause) or type(error).__name__
