"""Who looks on: straight at the brokers, past the proxy, so that no fault of the network blinds it."""

import struct
import threading
from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, TopicMetadata
from tests.chaos.errors import ChaosError
from tests.chaos.history import Committed, Place

_OFFSETS_TOPIC = "__consumer_offsets"
_POLL_SECONDS = 0.2
_ASK_SECONDS = 20.0
_SILENCE_SECONDS = 60.0
_BATCH = 2_000


class Observer:
    """Two threads: one follows every commit of the group as the coordinator logs it, one reads the output topic.

    Both read committed transactions only.
    """

    def __init__(self, brokers: str, group: str, input_topic: str, output_topic: str) -> None:
        self._brokers, self._group, self._input, self._output = brokers, group, input_topic, output_topic
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._read)]
        self.commits: list[Committed] = []
        self.seen: set[Place] = set()

    def start(self) -> None:
        """Look on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Look away; blocks until both have."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def committed(self) -> dict[int, int]:
        """Partition to the last committed offset seen."""
        return {commit.partition: commit.offset for commit in list(self.commits)}

    def _follow(self) -> None:
        for message in self._messages(_OFFSETS_TOPIC):
            found = parse_commit(message.key(), message.value())
            if found is not None and found[:2] == (self._group, self._input):
                self.commits.append(Committed(message.timestamp()[1], *found[2:]))

    def _read(self) -> None:
        for message in self._messages(self._output):
            self.seen.add((message.partition(), message.offset()))

    def _messages(self, topic: str) -> Iterator[Message]:
        while not self._stop.is_set():
            partitions = partition_count(self._brokers, topic)  # the offsets topic is made for the first group
            if partitions:
                break
            self._stop.wait(_POLL_SECONDS)
        else:
            return
        consumer = _consumer(self._brokers, "read_committed")
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
        try:
            while not self._stop.is_set():
                messages = consumer.consume(_BATCH, _POLL_SECONDS)
                yield from (message for message in messages if message.error() is None)
        finally:
            consumer.close()


def parse_commit(key: bytes | None, value: bytes | None) -> tuple[str, str, int, int] | None:
    """Group, topic, partition and offset of a record of the coordinator's log; None if it is no commit."""
    if key is None or value is None or struct.unpack_from(">h", key)[0] > 1:
        return None
    group, at = _text(key, 2)
    topic, at = _text(key, at)
    return group, topic, struct.unpack_from(">i", key, at)[0], struct.unpack_from(">q", value, 2)[0]


def _text(raw: bytes, at: int) -> tuple[str, int]:
    size = struct.unpack_from(">h", raw, at)[0]
    return raw[at + 2 : at + 2 + size].decode(), at + 2 + size


def read_whole(brokers: str, topic: str, isolation: str) -> Iterator[Message]:
    """A topic from its begin to its end now. Raises ChaosError if the brokers fall silent."""
    partitions = partition_count(brokers, topic)
    consumer = _consumer(brokers, isolation)
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
    left, silent = set(range(partitions)), 0.0
    try:
        while left:
            messages = consumer.consume(_BATCH, _POLL_SECONDS)
            silent = 0.0 if messages else silent + _POLL_SECONDS
            if silent > _SILENCE_SECONDS:
                raise ChaosError(f"topic '{topic}' could not be read to its end")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
    finally:
        consumer.close()


def is_in_sync(brokers: str) -> bool:
    """Whether every partition has its leader and all its replicas."""
    partitions = [partition for topic in _topics(brokers).values() for partition in topic.partitions.values()]
    return bool(partitions) and all(p.leader >= 0 and len(p.isrs) == len(p.replicas) for p in partitions)


def partition_count(brokers: str, topic: str) -> int:
    """How many partitions it has; 0 if there is no such topic, or nobody tells."""
    found = _topics(brokers).get(topic)
    return len(found.partitions) if found is not None else 0


def _topics(brokers: str) -> dict[str, TopicMetadata]:
    try:
        found = AdminClient({"bootstrap.servers": brokers, "log_level": 0}).list_topics(timeout=_ASK_SECONDS)
    except KafkaException:
        return {}
    topics: dict[str, TopicMetadata] = found.topics
    return topics


def end_offsets(brokers: str, topic: str) -> dict[int, int]:
    """Partition to the offset after its last record. Raises ChaosError if nobody tells."""
    consumer = _consumer(brokers, "read_uncommitted")
    try:
        partitions = [TopicPartition(topic, p) for p in range(partition_count(brokers, topic))]
        return {tp.partition: consumer.get_watermark_offsets(tp, timeout=_ASK_SECONDS)[1] for tp in partitions}
    except KafkaException as error:
        raise ChaosError(f"the ends of topic '{topic}' cannot be had: {error}") from None
    finally:
        consumer.close()


def _consumer(brokers: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "chaos-observer",  # asked for, never used: nothing is subscribed or committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "reconnect.backoff.max.ms": 1_000,
            "topic.metadata.refresh.interval.ms": 5_000,
            "log_level": 0,
        }
    )
