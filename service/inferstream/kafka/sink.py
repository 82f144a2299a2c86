"""Topics to produce to, batch by batch.

aiokafka's `send` costs a future and several loop turns per record, and many small `send_batch` calls queue
behind each other's round trips. So each output partition has a lane: records append to its open batch while
the batch before is on its way, and one future tells when all records of a hand-over are acknowledged.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from inferstream.errors import ContractMismatch, InferstreamError, Unavailable
from inferstream.kafka.connection import client_arguments, kafka_errors
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import KafkaSettings

_BATCH_BYTES = 524_288
_STOP_TIMEOUT = 5.0
_DEFAULT_RECORD_BYTES = 1_000_000
_BATCH_OVERHEAD_BYTES = 128  # a record batch's own header, counted against the topic's limit


class KafkaSink:
    """One idempotent producer; acknowledged means by all in-sync replicas."""

    def __init__(self, settings: KafkaSettings, max_message_bytes: Mapping[str, int] | None = None) -> None:
        self._settings = settings
        self._limits = {t: size - _BATCH_OVERHEAD_BYTES for t, size in (max_message_bytes or {}).items()}
        batch_bytes = min([_BATCH_BYTES, *self._limits.values()])
        self._producer = AIOKafkaProducer(
            **client_arguments(settings),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=batch_bytes,
            max_request_size=max([2 * _BATCH_BYTES, *self._limits.values()]),
            compression_type=None if settings.compression == "none" else settings.compression,
        )
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._stopped = False

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        with kafka_errors("connecting the producer", self._settings):
            await asyncio.wait_for(self._producer.start(), self._settings.start_timeout_ms / 1000)

    def max_record_bytes(self, topic: str) -> int:
        """Largest record the topic takes, as far as known."""
        return self._limits.get(topic, _DEFAULT_RECORD_BYTES)

    def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
        """Append to the partition's lane; see `Sink.send`."""
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(self._producer, topic, partition)
        return lane.append(records)

    async def flush(self) -> None:
        """Wait until every lane is empty."""
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task), return_exceptions=True)

    async def stop(self) -> None:
        """Close, at most within a few seconds: aiokafka's own stop waits for ever on a broker that is gone."""
        if self._stopped:
            return
        self._stopped = True
        for lane in self._lanes.values():
            lane.close()
        try:
            await asyncio.wait_for(self._producer.stop(), _STOP_TIMEOUT)
        except (KafkaError, TimeoutError):
            return


class _Lane:
    """One output partition: an open batch that fills while the one before it is on its way."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._open: _Open | None = None
        self._full: deque[_Open] = deque()
        self.task: asyncio.Task[None] | None = None

    def append(self, records: Sequence[OutRecord]) -> asyncio.Future[None]:
        open_batch = self._open or self._new()
        for r in records:
            if open_batch.append(r) is None:
                self._full.append(open_batch)
                open_batch = self._new()
                open_batch.append(r)
        # Batches of a lane are acknowledged in order, so the last one's answer stands for all of them.
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        open_batch.waiting.append(acknowledged)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._run())
        return acknowledged

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def _new(self) -> "_Open":
        self._open = _Open(self._producer.create_batch())
        return self._open

    async def _run(self) -> None:
        """Send what is there, batch after batch, until nothing is."""
        while (batch := self._next()) is not None:
            error = await self._send(batch)
            for waiting in batch.waiting:
                if waiting.done():
                    continue
                if error is None:
                    waiting.set_result(None)
                else:
                    waiting.set_exception(error)
            if error is not None:
                self._fail_rest(error)

    def _next(self) -> "_Open | None":
        """The oldest batch; the open one is closed only when its turn comes, so that it fills meanwhile."""
        if self._full:
            return self._full.popleft()
        batch, self._open = self._open, None
        return batch

    async def _send(self, batch: "_Open") -> InferstreamError | None:
        batch.builder.close()
        try:
            while True:
                try:
                    sent = await self._producer.send_batch(batch.builder, self._topic, partition=self._partition)
                    break
                except KafkaError as error:
                    if not error.retriable:
                        raise
                    await asyncio.sleep(0.1)
            await sent
        except MessageSizeTooLargeError:
            return ContractMismatch(
                f"topic '{self._topic}' refuses a record for its size; raise its max.message.bytes above ours"
            )
        except KafkaError as error:
            return Unavailable(f"topic '{self._topic}' partition {self._partition} failed: {type(error).__name__}")
        return None

    def _fail_rest(self, error: InferstreamError) -> None:
        """After a failure for good nothing may overtake what was lost."""
        rest = [*self._full, *([self._open] if self._open else [])]
        self._full.clear()
        self._open = None
        for batch in rest:
            for waiting in batch.waiting:
                if not waiting.done():
                    waiting.set_exception(error)


class _Open:
    """A batch being filled, and who waits for it."""

    __slots__ = ("builder", "waiting")

    def __init__(self, builder: BatchBuilder) -> None:
        self.builder = builder
        self.waiting: list[asyncio.Future[None]] = []

    def append(self, r: OutRecord) -> Any:
        """None: it is full."""
        return self.builder.append(timestamp=r.timestamp_ms, key=r.key, value=r.value, headers=r.headers)
