"""Where in a partition to read: at what is committed, at one of its ends, and past what retention has taken."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from inferstream.kafka.connection import kafka_errors
from inferstream.settings import KafkaSettings


class Positions:
    """Moves a consumer about. The consumer is told never to reset by itself, so that no offset is passed unseen."""

    def __init__(self, topic: str, consumer: AIOKafkaConsumer, settings: KafkaSettings) -> None:
        self._topic = topic
        self._consumer = consumer
        self._settings = settings
        self._timeout = settings.request_timeout_ms / 1000
        self._lost_below: dict[int, int] = {}

    def forget(self, partitions: Collection[int]) -> None:
        """These are not ours any more."""
        for partition in partitions:
            self._lost_below.pop(partition, None)

    async def pass_over(self, tp: TopicPartition, offset: int) -> int | None:
        """The offset is not there. Below what is held: go on with the first that is; how many were passed over.

        None: it lies above. The topic was made anew, or its leader has lost records. Raises Unavailable.
        """
        with kafka_errors(f"looking for an end of {tp.topic}/{tp.partition}", self._settings):
            async with asyncio.timeout(self._timeout):
                first: int = (await self._consumer.beginning_offsets([tp]))[tp]
        if first <= offset:
            return None
        self._consumer.seek(tp, first)
        counted = self._lost_below.get(tp.partition, 0)
        self._lost_below[tp.partition] = max(first, counted)
        return max(0, first - max(offset, counted))

    async def rewind(self, tp: TopicPartition, is_wanted: Callable[[], bool]) -> None:
        """Go to what is committed, else to where a group begins, if it is still wanted then. Raises Unavailable."""
        with kafka_errors(f"asking for the committed offset of {tp.topic}/{tp.partition}", self._settings):
            async with asyncio.timeout(self._timeout):
                committed = await self._consumer.committed(tp)
        if not is_wanted():
            return
        if committed is None:
            await self.begin(tp)
        else:
            self._consumer.seek(tp, committed)

    async def begin(self, tp: TopicPartition) -> None:
        """Where a group without committed offsets begins.

        The end is committed at once: after the next rebalance it would be another one, and what came between unread.
        """
        if self._settings.auto_offset_reset == "earliest":
            await self._seek(tp, self._consumer.seek_to_beginning)
            return
        await self._seek(tp, self._consumer.seek_to_end)
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._consumer.commit({tp: await self._consumer.position(tp)})

    async def _seek(self, tp: TopicPartition, move: Callable[[TopicPartition], Awaitable[object]]) -> None:
        with kafka_errors(f"looking for an end of {tp.topic}/{tp.partition}", self._settings):
            async with asyncio.timeout(self._timeout):
                await move(tp)
