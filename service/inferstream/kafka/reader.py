"""Reading topics outside any group, from an offset or time to the end or on and on: for tools, demo and tests."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from types import TracebackType

from aiokafka import AIOKafkaConsumer, TopicPartition

from inferstream.errors import ContractMismatch
from inferstream.events.envelope import Record
from inferstream.kafka.admin import Admin
from inferstream.kafka.connection import client_arguments, kafka_errors, temper
from inferstream.settings import KafkaSettings

_POLL_MS = 200


class Reader:
    """All partitions of one topic; an asynchronous context manager. Reads committed transactions only."""

    def __init__(self, topic: str, settings: KafkaSettings) -> None:
        self._topic = topic
        self._settings = settings
        self._consumer: AIOKafkaConsumer  # made when there is something to read
        self._all: list[TopicPartition] = []
        self._partitions = self._all

    async def __aenter__(self) -> "Reader":
        """Connect. Raises Unavailable, or ContractMismatch if the topic does not exist."""
        async with Admin(self._settings) as admin:
            counts = await admin.partition_counts()
        if self._topic not in counts:
            raise ContractMismatch(f"topic '{self._topic}' does not exist at {self._settings.bootstrap_servers}")
        self._all = [TopicPartition(self._topic, p) for p in range(counts[self._topic])]
        self._partitions = self._all
        self._consumer = _consumer(self._settings)
        try:
            with kafka_errors(f"reading topic '{self._topic}'", self._settings):
                async with asyncio.timeout(self._settings.start_timeout_ms / 1000):
                    await self._consumer.start()
            self._consumer.assign(self._partitions)
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def begin_offsets(self) -> Mapping[int, int]:
        """First offset still held, by partition."""
        with kafka_errors(f"reading topic '{self._topic}'", self._settings):
            found = await self._consumer.beginning_offsets(self._partitions)
        return {tp.partition: offset for tp, offset in found.items()}

    async def end_offsets(self) -> Mapping[int, int]:
        """Offset of the next record to be written, by partition."""
        with kafka_errors(f"reading topic '{self._topic}'", self._settings):
            found = await self._consumer.end_offsets(self._partitions)
        return {tp.partition: offset for tp, offset in found.items()}

    async def offsets_at(self, unix_ms: int) -> Mapping[int, int]:
        """First offset of that time or later, by partition; where there is none, the end."""
        ends = await self.end_offsets()
        with kafka_errors(f"reading topic '{self._topic}'", self._settings):
            found = await self._consumer.offsets_for_times(dict.fromkeys(self._partitions, unix_ms))
        at = {tp.partition: each.offset for tp, each in found.items() if each is not None}
        return {partition: min(at.get(partition, end), end) for partition, end in ends.items()}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go on at these offsets."""
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)

    def only(self, partitions: Collection[int]) -> None:
        """Read no others, until asked for others. Where these stand is decided anew."""
        self._partitions = [tp for tp in self._all if tp.partition in partitions]
        self._consumer.assign(self._partitions)

    async def seek_to_end(self) -> None:
        """Go on with records written from now on."""
        for partition, offset in (await self.end_offsets()).items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)

    async def follow(self) -> AsyncIterator[list[Record]]:
        """Records as they come, for ever, in lists; an empty list when nothing came for a moment."""
        while True:
            with kafka_errors(f"reading topic '{self._topic}'", self._settings):
                taken = await self._consumer.getmany(timeout_ms=_POLL_MS)
            yield [record for records in taken.values() for record in records]

    async def until(self, ends: Mapping[int, int]) -> AsyncIterator[list[Record]]:
        """Records below these offsets (partition to end), from where the reader stands; then it ends."""
        open_ends = {p: end for p, end in ends.items() if await self._position(p) < end}
        while open_ends:
            with kafka_errors(f"reading topic '{self._topic}'", self._settings):
                taken = await self._consumer.getmany(timeout_ms=_POLL_MS)
            for tp, records in taken.items():
                yield [r for r in records if r.offset < ends.get(tp.partition, 0)]
            open_ends = {p: end for p, end in open_ends.items() if await self._position(p) < end}

    async def _position(self, partition: int) -> int:
        with kafka_errors(f"reading topic '{self._topic}'", self._settings):
            position: int = await self._consumer.position(TopicPartition(self._topic, partition))
        return position


def _consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        **client_arguments(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    temper(consumer, settings.request_timeout_ms / 1000)
    return consumer
