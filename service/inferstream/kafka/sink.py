"""Topics to produce to, batch by batch.

aiokafka's `send` costs a future and several loop turns per record, and many small `send_batch` calls queue
behind each other's round trips. So each output partition has a lane: records append to its open batch while
the batch before is on its way, and one future tells when all records of a hand-over are acknowledged.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from aiokafka.errors import ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder

from inferstream.errors import ContractMismatch, InferstreamError, RecordsRefused
from inferstream.kafka.codes import AUTHORIZATION, REFUSED, trouble
from inferstream.kafka.limits import RecordLimits
from inferstream.kafka.refused import Sieve
from inferstream.kafka.supervisor import Supervisor
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import KafkaSettings

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0


class KafkaSink:
    """At least once: an idempotent producer, and another one when it breaks, which sends again what is open."""

    def __init__(self, settings: KafkaSettings, max_message_bytes: Mapping[str, int] | None = None) -> None:
        self._settings = settings
        self._limits = RecordLimits(settings, max_message_bytes or {})
        self._supervisor = Supervisor(settings, self._limits)
        self._sieve = Sieve(settings, self._limits)
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._is_stopped = False

    def when_replaced(self, told: Callable[[str], None]) -> None:
        """Call this with the reason whenever a producer is given up for a new one: refused, sequence, fenced, …"""
        self._supervisor.on_replaced = told

    async def start(self) -> None:
        """Connect. Raises Unavailable, SettingsError or ContractMismatch."""
        await self._supervisor.start(self._settings.start_timeout_ms / 1000)

    def max_record_bytes(self, topic: str) -> int:
        """Largest record the topic takes, as far as known; asked again when the broker refuses one."""
        return self._limits.of(topic)

    def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
        """Append to the partition's lane; see `Sink.send`."""
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(self._supervisor, self._limits, self._sieve, topic, partition)
        return lane.append(records)

    async def flush(self) -> None:
        """Wait until every lane is empty."""
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task), return_exceptions=True)

    async def stop(self) -> None:
        """Close, within a few seconds whatever the broker does."""
        if self._is_stopped:
            return
        self._is_stopped = True
        working = [lane.task for lane in self._lanes.values() if lane.task and not lane.task.done()]
        for task in working:
            task.cancel()
        if working:
            await asyncio.wait(working)
        await self._supervisor.stop()


class _HandOver:
    """Records given at once: in one batch or several."""

    __slots__ = ("acknowledged", "open_parts", "refused")

    def __init__(self, acknowledged: "asyncio.Future[None]") -> None:
        self.acknowledged = acknowledged
        self.open_parts = 0
        self.refused: Sequence[OutRecord] = ()

    def settle(self) -> None:
        """Every part is done."""
        if self.acknowledged.done():
            return
        if self.refused:
            self.acknowledged.set_exception(RecordsRefused(_refusal(self.refused), self.refused))
        else:
            self.acknowledged.set_result(None)

    def fail(self, error: InferstreamError) -> None:
        """A part cannot be written."""
        if not self.acknowledged.done():
            self.acknowledged.set_exception(error)


def _refusal(records: Sequence[OutRecord]) -> str:
    largest = max(record.size_bytes() for record in records)
    return f"the broker refuses {len(records)} record(s) of up to {largest} bytes: see the topic's max.message.bytes"


class _Batch:
    """Records on their way in one request, and the hand-overs they are part of."""

    __slots__ = ("builder", "parts")

    def __init__(self, builder: BatchBuilder) -> None:
        self.builder = builder
        self.parts: list[tuple[_HandOver, Sequence[OutRecord]]] = []

    def settle(self) -> None:
        """It is written. The last part of a hand-over answers for all."""
        for hand_over, _ in self.parts:
            hand_over.open_parts -= 1
            if not hand_over.open_parts:
                hand_over.settle()


class _Lane:
    """One output partition: an open batch that fills while the one before it is on its way."""

    def __init__(self, supervisor: Supervisor, limits: RecordLimits, sieve: Sieve, topic: str, partition: int) -> None:
        self._supervisor = supervisor
        self._limits = limits
        self._sieve = sieve
        self._topic = topic
        self._partition = partition
        self._loop = asyncio.get_running_loop()
        self._open: _Batch | None = None
        self._full: deque[_Batch] = deque()
        self._failures = 0
        self.task: asyncio.Task[None] | None = None

    def append(self, records: Sequence[OutRecord]) -> asyncio.Future[None]:
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        self._open = self._fill(self._open or self._new(), _HandOver(acknowledged), records, self._full)
        if self.task is None or self.task.done():
            self.task = self._loop.create_task(self._run())
        return acknowledged

    def _new(self) -> _Batch:
        return _Batch(self._supervisor.create_batch())

    def _fill(self, batch: _Batch, hand_over: _HandOver, records: Sequence[OutRecord], full: "deque[_Batch]") -> _Batch:
        """Append to the batch, then to new ones; those that are full go to `full`, the last one is given back."""
        append, began = batch.builder.append, 0
        for number, r in enumerate(records):
            if append(timestamp=r.timestamp_ms, key=r.key, value=r.value, headers=r.headers) is None:
                if number > began:
                    hand_over.open_parts += 1
                    batch.parts.append((hand_over, records[began:number]))
                full.append(batch)
                batch, began = self._new(), number
                append = batch.builder.append
                append(timestamp=r.timestamp_ms, key=r.key, value=r.value, headers=r.headers)
        hand_over.open_parts += 1
        batch.parts.append((hand_over, records[began:] if began else records))
        return batch

    async def _run(self) -> None:
        """Send what is there, batch after batch, until nothing is."""
        while (batch := self._next()) is not None:
            try:
                await self._write(batch)
            except InferstreamError as error:
                self._fail(batch, error)

    def _next(self) -> _Batch | None:
        """The oldest batch; the open one is closed only when its turn comes, so that it fills meanwhile."""
        if self._full:
            return self._full.popleft()
        batch, self._open = self._open, None
        return batch

    async def _write(self, batch: _Batch) -> None:
        """Have it acknowledged, or put it back to be sent again. Raises InferstreamError if that makes no sense."""
        producer = await self._supervisor.producer()
        batch.builder.close()
        try:
            await self._supervisor.send(producer, batch.builder, self._topic, self._partition)
        except REFUSED:
            await self._limits.refresh(self._topic)
            self._supervisor.replace(producer, "refused")
            await self._write_what_is_taken(batch)
        except AUTHORIZATION:
            raise ContractMismatch(f"the broker does not let us write: grant WRITE on topic '{self._topic}'") from None
        except Exception as error:  # aiokafka asserts, too; whatever it is, another producer starts afresh
            self._supervisor.replace(producer, trouble(error))
            self._put_back(batch)
            if not isinstance(error, ProducerClosed):
                await self._pause()
        else:
            self._failures = 0
            batch.settle()

    async def _pause(self) -> None:
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        await asyncio.sleep(pause)

    def _put_back(self, batch: _Batch) -> None:
        """First in the line again, in a fresh builder: the old one has the broken producer's numbers in it."""
        again: deque[_Batch] = deque()
        last = self._new()
        for hand_over, records in batch.parts:
            hand_over.open_parts -= 1
            last = self._fill(last, hand_over, records, again)
        again.append(last)
        self._full.extendleft(reversed(again))

    async def _write_what_is_taken(self, batch: _Batch) -> None:
        records = [record for _, part in batch.parts for record in part]
        refused = {id(record) for record in await self._sieve.write(self._topic, self._partition, records)}
        for hand_over, part in batch.parts:
            if theirs := [record for record in part if id(record) in refused]:
                hand_over.refused = [*hand_over.refused, *theirs]
        batch.settle()

    def _fail(self, batch: _Batch, error: InferstreamError) -> None:
        """For good. Nothing may overtake what was lost, so what waits behind it fails, too."""
        rest = [batch, *self._full, *([self._open] if self._open else [])]
        self._full.clear()
        self._open = None
        for each in rest:
            for hand_over, _ in each.parts:
                hand_over.fail(error)
