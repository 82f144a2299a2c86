"""What the data path may expect of a source and a sink, on the fake, the embedded broker and real Apache Kafka."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

import pytest
from msgspec.structs import replace

from inferstream import local
from inferstream.errors import ContractMismatch
from inferstream.events.envelope import Record
from inferstream.kafka import Admin, KafkaSink, KafkaSource
from inferstream.operate.local import environment
from inferstream.pipeline.interfaces import OutRecord, Sink, Source
from inferstream.settings import load
from inferstream.testing import FakeBroker, FakeSink, FakeSource

PARTITIONS = 3
_numbers = itertools.count(1)


class Cluster(NamedTuple):
    """A topic of one's own, a sink, and sources on demand."""

    topic: str
    sink: Sink
    source: Callable[[str], Source]


@asynccontextmanager
async def _fake() -> AsyncIterator[Cluster]:
    broker = FakeBroker({"topic": PARTITIONS})
    sink = FakeSink(broker)
    yield Cluster("topic", sink, lambda group: FakeSource(broker, "topic", group))
    await sink.stop()


@asynccontextmanager
async def _real(stack: local.Stack) -> AsyncIterator[Cluster]:
    settings = load(environ=environment(stack.endpoints))
    topic = f"contract-{next(_numbers)}"
    async with Admin(settings.kafka) as admin:
        await admin.create_topics({topic: PARTITIONS})
        sizes = await admin.max_message_bytes([topic])
    sink = KafkaSink(settings.kafka, sizes)
    await sink.start()
    yield Cluster(topic, sink, lambda group: KafkaSource(topic, f"{topic}-{group}", settings.kafka))
    await sink.stop()


@pytest.fixture(
    params=[
        "fake",
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("apache", marks=[pytest.mark.integration, pytest.mark.apache]),
    ]
)
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    if request.param == "fake":
        async with _fake() as made:
            yield made
    else:
        stacks = request.getfixturevalue("stacks")
        async with _real(cast("local.Stack", stacks(request.param))) as made:
            yield made


class Group:
    """Hears of assignments."""

    def __init__(self) -> None:
        self.epochs: dict[int, int] = {}
        self.revocations = 0

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        self.epochs.update(partitions)

    async def revoked(self, partitions: Collection[int]) -> None:
        self.revocations += 1
        for partition in partitions:
            self.epochs.pop(partition, None)


def record(text: str, timestamp_ms: int | None = None) -> OutRecord:
    at = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
    return OutRecord(b"key", text.encode(), [("name", b"value"), ("name", b"again")], at)


async def take(source: Source, count: int) -> list[Record]:
    """Exactly so many records, in the order they came."""
    taken: list[Record] = []
    async with asyncio.timeout(20):
        while len(taken) < count:
            for each in await source.take(0.2):
                taken += each.records
    assert len(taken) == count
    return taken


async def test_records_come_back_as_they_were_sent(cluster: Cluster) -> None:
    now = int(time.time() * 1000) - 5_000
    await cluster.sink.send(cluster.topic, 1, [record("a", now), OutRecord(None, None, [], now)])
    source, group = cluster.source("g"), Group()
    await source.start(group)
    first, second = await take(source, 2)
    assert (first.topic, first.partition, first.offset, first.timestamp) == (cluster.topic, 1, 0, now)
    assert (first.key, first.value) == (b"key", b"a")
    assert list(first.headers) == [("name", b"value"), ("name", b"again")]
    assert (second.key, second.value, list(second.headers)) == (None, None, [])
    assert set(group.epochs) == {0, 1, 2}
    await source.stop()


async def test_each_partition_keeps_the_order_of_sending(cluster: Cluster) -> None:
    sent = [
        cluster.sink.send(cluster.topic, number % PARTITIONS, [record(f"{number}.{part}") for part in range(3)])
        for number in range(300)
    ]
    await asyncio.gather(*sent)
    source = cluster.source("g")
    await source.start(Group())
    seen: dict[int, list[bytes | None]] = {}
    for taken in await take(source, 900):
        seen.setdefault(taken.partition, []).append(taken.value)
    for partition, values in seen.items():
        expected = [f"{n}.{part}".encode() for n in range(partition, 300, PARTITIONS) for part in range(3)]
        assert values == expected
    await source.stop()


async def test_what_is_committed_is_not_read_again_and_the_rest_is(cluster: Cluster) -> None:
    await cluster.sink.send(cluster.topic, 0, [record(str(number)) for number in range(10)])
    first = cluster.source("g")
    await first.start(Group())
    await take(first, 10)
    await first.commit({0: 4})
    await first.stop()
    second = cluster.source("g")
    await second.start(Group())
    assert [r.offset for r in await take(second, 6)] == [4, 5, 6, 7, 8, 9]
    await second.stop()


async def test_groups_do_not_see_each_other(cluster: Cluster) -> None:
    await cluster.sink.send(cluster.topic, 0, [record("only")])
    for name in ("one", "two"):
        source = cluster.source(name)
        await source.start(Group())
        assert [r.value for r in await take(source, 1)] == [b"only"]
        await source.commit({0: 1})
        await source.stop()


async def test_an_idle_topic_gives_nothing_within_the_timeout(cluster: Cluster) -> None:
    source = cluster.source("g")
    await source.start(Group())
    assert list(await source.take(0.1)) == []
    await source.stop()


async def test_a_slice_carries_the_epoch_of_its_assignment(cluster: Cluster) -> None:
    await cluster.sink.send(cluster.topic, 2, [record("x")])
    source, group = cluster.source("g"), Group()
    await source.start(group)
    async with asyncio.timeout(20):
        while not (taken := await source.take(0.2)):
            pass
    assert [each.epoch for each in taken] == [group.epochs[2]]
    await source.stop()


async def test_stop_twice_and_a_commit_of_nothing_do_no_harm(cluster: Cluster) -> None:
    source = cluster.source("g")
    await source.start(Group())
    await source.commit({})
    await source.stop()
    await source.stop()


async def test_a_record_larger_than_the_topic_takes_fails_its_future(cluster: Cluster) -> None:
    limit = cluster.sink.max_record_bytes(cluster.topic)
    fitting = OutRecord(b"k", b"x" * (limit - 200), [], int(time.time() * 1000))
    await cluster.sink.send(cluster.topic, 0, [fitting])
    too_large = replace(fitting, value=b"x" * (2 * limit))
    with pytest.raises(ContractMismatch, match="refuses a record for its size"):
        await cluster.sink.send(cluster.topic, 1, [too_large])


async def test_flush_waits_for_every_acknowledgement(cluster: Cluster) -> None:
    futures = [cluster.sink.send(cluster.topic, 0, [record("x")]) for _ in range(50)]
    await cluster.sink.flush()
    assert all(future.done() for future in futures)
