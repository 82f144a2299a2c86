"""A consumer that sees each outcome once, with nothing but aiokafka and msgpack: python consumer.py localhost:9092

The service repeats an outcome only after a crash or a rebalance, and then with the same id, on the same partition
and within what was in flight. So it is enough to remember the newest ids of each partition. That memory is this
process's own: if your work must not happen twice when the consumer itself starts anew, keep the ids with its results.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import msgpack
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError


class FirstSeen:
    """Remembers the newest ids of a partition."""

    def __init__(self, remember: int = 100_000) -> None:
        self._remember = remember
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, id_: str) -> bool:
        if id_ in self._ids:
            return False
        self._ids[id_] = None
        if len(self._ids) > self._remember:
            self._ids.popitem(last=False)
        return True


def is_partial(record: ConsumerRecord) -> bool:
    """A partial outcome has the id of the outcome that follows it: to count it would hide that one."""
    return any(name == "outcome-part" for name, _ in record.headers)


def decode(record: ConsumerRecord) -> dict[str, Any]:
    content_type = dict(record.headers).get("content-type") or b""
    is_json = content_type.startswith(b"application/json")
    outcome: dict[str, Any] = json.loads(record.value) if is_json else msgpack.unpackb(record.value)
    return outcome


async def consume(bootstrap: str, topic: str, seconds: float, group: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    seen: defaultdict[int, FirstSeen] = defaultdict(FirstSeen)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",  # matters under exactly_once only
    )
    unknown = f"topic '{topic}' was not found at {bootstrap}"
    until = time.monotonic() + seconds
    try:
        await asyncio.wait_for(consumer.start(), seconds)  # some brokers let it wait for an unknown topic
        if not consumer.partitions_for_topic(topic):
            sys.exit(unknown)
        while time.monotonic() < until:
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    if record.value is None or is_partial(record):  # a forwarded tombstone, or a text half written
                        continue
                    outcome = decode(record)
                    if not seen[partition.partition].is_new(outcome["id"]):
                        counts["repeated"] += 1
                        continue
                    counts[outcome["outcome"]] += 1
                    act_on(outcome)
            await consumer.commit()
    except TimeoutError:
        sys.exit(unknown)
    except KafkaError as error:
        sys.exit(f"Kafka at {bootstrap}: {error}")
    finally:
        await consumer.stop()
    return counts


def act_on(outcome: dict[str, object]) -> None:
    """Your own work goes here."""
    result = outcome.get("result")
    if isinstance(result, dict) and result.get("decision") == "decline":
        print(outcome["event_id"], result["probability"], *result["reasons"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bootstrap", help="host:port of the broker")
    parser.add_argument("--topic", default="outcomes")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--group", default="outcome-example")
    given = parser.parse_args()
    print(dict(asyncio.run(consume(given.bootstrap, given.topic, given.seconds, given.group))))
