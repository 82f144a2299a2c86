"""A broker with topics of one's own, of three kinds: in memory, embedded, and real Apache Kafka."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from inferstream import local
from inferstream.events.envelope import Record
from inferstream.kafka import Admin, KafkaSink, KafkaSource, KafkaTransactions, Reader
from inferstream.operate.local import environment
from inferstream.pipeline.interfaces import Assignments, OutRecord, Sink, Source, Transactions
from inferstream.settings import KafkaSettings, load
from inferstream.testing import FakeBroker, FakeSink, FakeSource, FakeTransactions

PARTITIONS = 3
_numbers = itertools.count(1)

Reset = Literal["earliest", "latest"]


class LosingSource(Source, Protocol):
    """A source that tells of offsets it never saw."""

    def when_lost(self, told: "Lost") -> None: ...


class Lost:
    """Counts them by partition."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def __call__(self, partition: int, count: int) -> None:
        self.counts[partition] = self.counts.get(partition, 0) + count


class Cluster(Protocol):
    """Topics `topic` and `output` with three partitions each, and adapters on demand."""

    topic: str
    output: str
    sink: Sink

    def source(self, group: str, reset: Reset = "earliest") -> LosingSource: ...
    def transactions(self, group: str) -> Transactions: ...
    async def written(self, topic: str) -> Sequence[Record]:
        """What a reader of committed transactions sees, partition by partition."""

    async def lower_limit(self, topic: str, record_bytes: int) -> None: ...
    async def delete_before(self, partition: int, offset: int) -> None: ...
    async def add_partitions(self, topic: str, count: int) -> None: ...


class FakeCluster:
    def __init__(self) -> None:
        self.topic, self.output = "topic", "output"
        self._broker = FakeBroker({"topic": PARTITIONS, "output": PARTITIONS})
        self.sink: Sink = FakeSink(self._broker)

    def source(self, group: str, reset: Reset = "earliest") -> LosingSource:
        return FakeSource(self._broker, self.topic, group, self.output, reset)

    def transactions(self, group: str) -> Transactions:
        return FakeTransactions(self._broker, self.topic, group)

    async def written(self, topic: str) -> Sequence[Record]:
        return self._broker.records(topic)

    async def lower_limit(self, topic: str, record_bytes: int) -> None:
        self._broker.limit(topic, record_bytes)

    async def delete_before(self, partition: int, offset: int) -> None:
        self._broker.delete_before(self.topic, partition, offset)

    async def add_partitions(self, topic: str, count: int) -> None:
        await self._broker.add_partitions(topic, count)


class KafkaCluster:
    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        number = next(_numbers)
        self.topic, self.output = f"contract-{number}-in", f"contract-{number}-out"
        self.sizes: Mapping[str, int] = {}
        self.sink: Sink

    def source(self, group: str, reset: Reset = "earliest") -> LosingSource:
        settings = self.settings.model_copy(update={"auto_offset_reset": reset})
        return KafkaSource(self.topic, f"{self.topic}-{group}", settings, self.output)

    def transactions(self, group: str) -> Transactions:
        return KafkaTransactions(self.topic, f"{self.topic}-{group}", self.settings, self.sizes)

    async def written(self, topic: str) -> Sequence[Record]:
        async with Reader(topic, self.settings) as reader:
            found = [r async for records in reader.until(await reader.end_offsets()) for r in records]
        return sorted(found, key=lambda record: (record.partition, record.offset))

    @asynccontextmanager
    async def administration(self) -> AsyncIterator[AIOKafkaAdminClient]:
        client = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await client.start()
        try:
            yield client
        finally:
            await client.close()

    async def configure(self, topic: str, configs: Mapping[str, str]) -> None:
        async with self.administration() as client:
            await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(configs))])

    async def lower_limit(self, topic: str, record_bytes: int) -> None:
        await self.configure(topic, {"max.message.bytes": str(record_bytes + 128)})
        await asyncio.sleep(1)  # until the topic's log goes by it

    async def delete_before(self, partition: int, offset: int) -> None:
        async with self.administration() as client:
            await client.delete_records({TopicPartition(self.topic, partition): RecordsToDelete(offset)})

    async def add_partitions(self, topic: str, count: int) -> None:
        async with self.administration() as client:
            await client.create_partitions({topic: NewPartitions(count)})


@asynccontextmanager
async def fake_cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    yield cluster
    await cluster.sink.stop()


@asynccontextmanager
async def kafka_cluster(stack: local.Stack, **changes: int | str) -> AsyncIterator[KafkaCluster]:
    """On a stack that runs, with other settings of `kafka` as given."""
    quick = {"metadata_max_age_ms": 1_000, "session_timeout_ms": 6_000, **changes}
    settings = load(environ=environment(stack.endpoints)).kafka.model_copy(update=quick)
    cluster = KafkaCluster(settings)
    async with Admin(settings) as admin:
        await admin.create_topics({cluster.topic: PARTITIONS, cluster.output: PARTITIONS})
        cluster.sizes = await admin.max_message_bytes([cluster.topic, cluster.output])
    cluster.sink = sink = KafkaSink(settings, cluster.sizes)
    await sink.start()
    try:
        yield cluster
    finally:
        await sink.stop()


class Group:
    """Hears of assignments."""

    def __init__(self) -> None:
        self.epochs: dict[int, int] = {}
        self.assignments: list[dict[int, int]] = []
        self.revocations = 0

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        self.epochs.update(partitions)
        self.assignments.append(dict(partitions))

    async def revoked(self, partitions: Collection[int]) -> None:
        self.revocations += 1
        for partition in partitions:
            self.epochs.pop(partition, None)


@asynccontextmanager
async def joined(source: Source, group: Assignments) -> AsyncIterator[Source]:
    await source.start(group)
    try:
        yield source
    finally:
        await source.stop()


def record(text: str, timestamp_ms: int | None = None, size: int = 0) -> OutRecord:
    """One with a key and two headers of the same name, its value at least `size` bytes long."""
    at = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
    return OutRecord(b"key", text.encode().ljust(size, b" "), [("name", b"value"), ("name", b"again")], at)
