"""The offsets of a group and the note that Kafka keeps beside each, read and written without being a member.

A group of its own that nobody joins is a place to keep a number and a line of text per partition. It needs no topic and
no port, only the right to read that group, so commands and services that share nothing but the broker can tell each
other things through it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from inferstream.errors import Unavailable
from inferstream.kafka.connection import client_arguments, has_ended, kafka_errors
from inferstream.kafka.names import CONTROL, MODEL, REPLAY
from inferstream.settings import KafkaSettings

_STOP_SECONDS = 1.0
_AGAIN_SECONDS = 0.2
_RETENTION_MS = 100 * 365 * 86_400_000
"""How long a broker keeps what is written. By itself it forgets a group without members after
`offsets.retention.minutes`, a week by default: with it a pinned version, and what was replayed."""


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

    async def read(self) -> Mapping[int, Committed]:
        """By partition; those without are left out. Raises Unavailable, ContractMismatch, SettingsError."""
        async with self._asking("reading"):
            answer = await self._ask(OffsetFetchRequest(self._group, None))
        return {
            partition: Committed(offset, note or "")
            for topic, partitions in answer.topics
            for partition, offset, note, _ in partitions
            if topic == self._topic and offset >= 0
        }

    async def write(self, committed: Mapping[int, Committed]) -> None:
        """Commit. Raises as `read`; also while the group has members."""
        partitions = [(partition, *each) for partition, each in committed.items()]
        async with self._asking("writing"):
            await self._ask(
                OffsetCommitRequest(
                    self._group,
                    OffsetCommitRequest.DEFAULT_GENERATION_ID,
                    "",  # no member
                    _RETENTION_MS,
                    [(self._topic, partitions)],
                )
            )

    async def notes(self) -> Mapping[int, str]:
        """The notes alone; see `pipeline.interfaces.Notes`."""
        return {partition: each.note for partition, each in (await self.read()).items()}

    async def annotate(self, notes: Mapping[int, str]) -> None:
        """Write notes; the offsets beside them mean nothing."""
        await self.write({partition: Committed(0, note) for partition, note in notes.items()})

    async def stop(self) -> None:
        """Close, at most within a few seconds. Idempotent."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await has_ended(admin.close(), _STOP_SECONDS)

    async def _ask(self, request: Any) -> Any:
        """The answer of the group's coordinator, once it is not busy with becoming one.

        aiokafka's own ways do not see what it says of the group as a whole, and take a coordinator that is still
        loading for one of a group that has committed nothing.
        """
        if self._admin is None:
            self._admin = AIOKafkaAdminClient(**client_arguments(self._settings))
            await self._admin.start()
        while True:
            try:
                coordinator = await self._admin.find_coordinator(self._group)
                answer = await self._admin._send_request(request, coordinator)
                codes = [getattr(answer, "error_code", 0)]
                codes += [partition[-1] for _, partitions in answer.topics for partition in partitions]
                if code := next(filter(None, codes), 0):
                    raise for_code(code)
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return answer

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
