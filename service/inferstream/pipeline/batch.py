"""batch: events wait here until the policy sends them; each batch then goes through infer, decide and emit.

One task per batch, none per event. Parts of finished batches leave in the order that `policy.order` gives.
"""

import asyncio
from collections.abc import Awaitable, Callable

from inferstream.events.envelope import Batch, Event
from inferstream.pipeline.interfaces import Clock
from inferstream.policy.batcher import Batcher
from inferstream.policy.order import EmitOrder
from inferstream.signals import Signals

Lane = tuple[int, str]  # partition, SLO class


class Batching:
    """The stage. `answer` fills in results (infer, decide); `emit` takes the events of one partition."""

    def __init__(
        self,
        pipeline: str,
        batcher: Batcher,
        answer: Callable[[Batch], Awaitable[None]],
        emit: Callable[[list[Event]], None],
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._batcher = batcher
        self._order: EmitOrder[Lane] = EmitOrder()
        self._answer = answer
        self._emit = emit
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: dict[tuple[int, Lane], list[Event]] = {}
        self._waited = signals.stage.cell(pipeline, "batch")
        signals.queued.cell(pipeline).read = lambda: len(batcher)
        signals.in_flight.cell(pipeline).read = lambda: batcher.in_flight
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def submit(self, events: list[Event]) -> None:
        """Events join the queue; whatever may be sent is sent."""
        self._batcher.add(events)
        self._send_due()

    def drop_partitions(self, partitions: set[int]) -> None:
        """Forget the waiting events of partitions that are no longer ours."""
        self._batcher.drop_partitions(partitions)

    async def stop(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _send_due(self) -> None:
        while (batch := self._batcher.next(self._clock.monotonic())) is not None:
            self._admit(batch)
            if batch.deadline == float("inf"):
                self._finish(batch)
            else:
                task = asyncio.create_task(self._process(batch))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    def _admit(self, batch: Batch) -> None:
        """Split the batch into its lanes and give it its place in the order of leaving."""
        lanes: dict[Lane, list[Event]] = {}
        part: list[Event] = []
        partition, slo_class, sent_at, waited_us = -1, "", batch.sent_at, 0
        for event in batch.events:
            event.queue_us = queue_us = int((sent_at - event.taken_at) * 1e6)
            waited_us += queue_us
            if event.record.partition != partition or event.slo_class != slo_class:
                partition, slo_class = event.record.partition, event.slo_class
                part = lanes.setdefault((partition, slo_class), [])
            part.append(event)
        self._waited.observe(waited_us / len(batch.events) / 1e6, len(batch.events))
        for lane, part in lanes.items():
            self._parts[batch.number, lane] = part
        self._order.admit(batch.number, ((lane, part[0].deadline) for lane, part in lanes.items()))

    async def _process(self, batch: Batch) -> None:
        try:
            await self._answer(batch)
        finally:
            self._batcher.done(batch)
        self._finish(batch)
        self._send_due()

    def _finish(self, batch: Batch) -> None:
        for part in self._order.complete(batch.number):
            self._emit(self._parts.pop((part.batch, part.lane)))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.failed.done():
            self.failed.set_exception(task.exception())  # type: ignore[arg-type]
