"""batch: events wait here until the policy sends them to the model, or finds that the model cannot make them.

One task per call, none per event. Answered events leave in the order that `policy.order` gives.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause
from inferstream.pipeline.infer import Infer, Tried
from inferstream.pipeline.interfaces import Clock, Model
from inferstream.policy.batcher import Batcher, Call
from inferstream.policy.order import EmitOrder
from inferstream.policy.reserve import EmitReserve
from inferstream.signals import Signals

_SOONEST_WAKE = 0.0005  # seconds; the loop's own timers are no finer


class Batching:
    """The stage. `infer` answers events; `emit` takes those of one lane, in order."""

    def __init__(
        self,
        pipeline: str,
        batcher: Batcher[Event],
        infer: Infer,
        models: Sequence[Model],
        emit: Callable[[list[Event]], None],
        reserve: EmitReserve,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._batcher = batcher
        self._order: EmitOrder[Event] = EmitOrder()
        self._infer = infer
        self._models = models
        self._emit = emit
        self._reserve = reserve
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._waited = signals.stage.cell(pipeline, "batch")
        signals.queued.cell(pipeline).read = lambda: len(batcher)
        signals.in_flight.cell(pipeline).read = lambda: batcher.in_flight
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def submit(self, events: list[Event]) -> None:
        """Events come in; what may be sent is sent. Those already decided leave when their turn comes."""
        self._order.admit(events)
        live = [e for e in events if e.verdict is None and e.payload is not None]
        if len(live) < len(events):
            self._leave([e for e in events if e.verdict is not None or e.payload is None])
        self._batcher.add(live)
        self._send_due()

    def drop_partitions(self, partitions: set[int]) -> None:
        """Forget the events of partitions that are no longer ours."""
        self._batcher.drop(lambda event: event.record.partition in partitions)
        self._order.drop_partitions(partitions)

    async def stop(self) -> None:
        """Give up what is under way."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _send_due(self) -> None:
        now = self._clock.monotonic()
        for number, model in enumerate(self._models):
            self._batcher.set_up(number, model.is_ready, model.instances)
        self._batcher.reserve = self._reserve.seconds
        while True:
            plan = self._batcher.next(now)
            if plan.missed:
                self._start(self._miss(plan.missed, now))
            if plan.call is None:
                break
            self._start(self._make(plan.call, now))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if plan.wake_at is not None and plan.wake_at < float("inf"):
            delay = max(_SOONEST_WAKE, plan.wake_at - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self._send_due)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _make(self, call: Call[Event], now: float) -> None:
        """A call to the model. Events that may be tried once more go back to the queue."""
        self._note_waiting(call.events, now)
        model, tried = self._models[call.endpoint], Tried(False)
        try:
            tried = await self._infer.by_model(call.events, model, call.deadline)
        finally:
            self._batcher.done(call, self._clock.monotonic(), tried.was_answered)
        if tried.refused:
            self._send_due()  # to find who is at fault takes calls of its own; the others need not wait
            await self._infer.bisect(tried.refused, model, call.deadline)
        self._batcher.add(tried.again)
        waiting = set(map(id, tried.again))
        self._leave([event for event in call.events if id(event) not in waiting] if waiting else call.events)
        self._send_due()

    async def _miss(self, events: list[Event], now: float) -> None:
        """What the model cannot make."""
        self._note_waiting(events, now)
        is_up = any(model.is_ready for model in self._models)
        await self._infer.without_model(events, Cause.PREDICTED_LATE if is_up else Cause.MODEL_UNAVAILABLE)
        self._leave(events)

    def _note_waiting(self, events: list[Event], now: float) -> None:
        waited = now - sum(event.taken_at for event in events) / len(events)
        self._waited.observe(waited, len(events))

    def _leave(self, events: list[Event]) -> None:
        for event in events:
            event.is_answered = True
        for part in self._order.release(events):
            self._emit(part)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.failed.done():
            self.failed.set_exception(task.exception())  # type: ignore[arg-type]
