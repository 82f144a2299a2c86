"""The offsets of a group and the note that Kafka keeps beside each, read and written without being a member.

A group of its own that nobody joins is a place to keep a number and a line of text per partition. It needs no topic and
no port, only the right to read that group, so commands and services that share nothing but the broker can tell each
other things through it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from inferstream.errors import Unavailable
from inferstream.kafka.connection import client_arguments, has_ended, kafka_errors
from inferstream.kafka.names import CONTROL, MODEL, REPLAY
from inferstream.settings import KafkaSettings

_STOP_SECONDS = 1.0


class Committed(NamedTuple):
    """What a group has committed for a partition."""

    offset: int
    note: str


class GroupOffsets:
    """The committed offsets of one group on one topic. Connects when first asked."""

    def __init__(self, group: str, topic: str, settings: KafkaSettings) -> None:
        self._group = group
        self._topic = topic
        self._settings = settings
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None

    async def read(self) -> Mapping[int, Committed]:
        """By partition; those without are left out. Raises Unavailable, ContractMismatch, SettingsError."""
        async with self._asking("reading"):
            if self._admin is None:
                self._admin = AIOKafkaAdminClient(**client_arguments(self._settings))
                await self._admin.start()
            found = await self._admin.list_consumer_group_offsets(self._group)
        return {
            tp.partition: Committed(each.offset, each.metadata or "")
            for tp, each in found.items()
            if tp.topic == self._topic and each.offset >= 0
        }

    async def write(self, committed: Mapping[int, Committed]) -> None:
        """Commit. Raises as `read`; also while the group has members."""
        partitions = {TopicPartition(self._topic, p): OffsetAndMetadata(*each) for p, each in committed.items()}
        async with self._asking("writing"):
            if self._consumer is None:
                self._consumer = AIOKafkaConsumer(
                    **client_arguments(self._settings), group_id=self._group, enable_auto_commit=False
                )
                await self._consumer.start()
            self._consumer.assign(list(partitions))
            self._consumer.pause(*partitions)  # nothing shall be fetched
            await self._consumer.commit(partitions)

    async def notes(self) -> Mapping[int, str]:
        """The notes alone; see `pipeline.interfaces.Notes`."""
        return {partition: each.note for partition, each in (await self.read()).items()}

    async def annotate(self, notes: Mapping[int, str]) -> None:
        """Write notes; the offsets beside them mean nothing."""
        await self.write({partition: Committed(0, note) for partition, note in notes.items()})

    async def stop(self) -> None:
        """Close, at most within a few seconds. Idempotent."""
        admin, self._admin = self._admin, None
        consumer, self._consumer = self._consumer, None
        if admin is not None:
            await has_ended(admin.close(), _STOP_SECONDS)
        if consumer is not None:
            await has_ended(consumer.stop(), _STOP_SECONDS)

    @asynccontextmanager
    async def _asking(self, doing: str) -> AsyncIterator[None]:
        """Our own deadline around each request, since aiokafka retries for ever; after a failure connect anew."""
        try:
            with kafka_errors(f"{doing} the offsets of group '{self._group}'", self._settings):
                async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                    yield
        except (Unavailable, asyncio.CancelledError):
            await self.stop()
            raise


def control(group: str, topic: str, settings: KafkaSettings) -> GroupOffsets:
    """Where a pipeline's quarantined partitions are noted."""
    return GroupOffsets(group + CONTROL, topic, settings)


def pinned(group: str, topic: str, settings: KafkaSettings) -> GroupOffsets:
    """Which version of its model a pipeline is told to ask."""
    return GroupOffsets(group + MODEL, topic, settings)


def replayed(group: str, topic: str, settings: KafkaSettings) -> GroupOffsets:
    """How far the dead letters of a pipeline have been replayed."""
    return GroupOffsets(group + REPLAY, topic, settings)
