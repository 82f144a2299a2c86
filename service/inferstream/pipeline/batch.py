"""batch: events wait here until the policy sends them to the model, or finds that the model cannot make them.

One task per call, none per event. Answered events leave in the order that `policy.order` gives.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause
from inferstream.pipeline.infer import Infer, Missed, Tried
from inferstream.pipeline.interfaces import Clock, Model
from inferstream.pipeline.rollout.canary import Canary
from inferstream.pipeline.second import Second, Waiting, by_cause
from inferstream.policy.batcher import Batcher, Call
from inferstream.policy.order import EmitOrder
from inferstream.policy.reserve import Reserve
from inferstream.signals import Signals

_SOONEST_WAKE = 0.0005  # seconds; the loop's own timers are no finer


class Batching:
    """The stage. `infer` answers events; `emit` takes those of one lane, in order.

    What the model does not answer goes to the `second` model if there is one, then to the rest of the chain. Some
    events are asked of the `canary` first.
    """

    def __init__(
        self,
        pipeline: str,
        batcher: Batcher[Event],
        infer: Infer,
        models: Sequence[Model],
        emit: Callable[[list[Event]], None],
        reserve: Reserve,
        clock: Clock,
        signals: Signals,
        second: Second | None = None,
        canary: Canary | None = None,
    ) -> None:
        self._batcher = batcher
        self._second = second
        self._canary = canary
        self._order: EmitOrder[Event] = EmitOrder()
        self._infer = infer
        self._models = models
        self._emit = emit
        self._reserve = reserve
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._waited = signals.stage.cell(pipeline, "batch")
        queues = [queue for queue in (batcher, second, canary) if queue is not None]
        signals.queued.cell(pipeline).read = lambda: sum(len(queue) for queue in queues)
        signals.in_flight.cell(pipeline).read = lambda: batcher.in_flight
        signals.safety.cell(pipeline).read = lambda: batcher.safety
        signals.busy.cell(pipeline, "expected").read = lambda: batcher.busy[0]
        signals.busy.cell(pipeline, "actual").read = lambda: batcher.busy[1]
        signals.kept.cell(pipeline, "emit").read = lambda: reserve.emit
        signals.kept.cell(pipeline, "fallback").read = lambda: reserve.fallback
        self.failed: asyncio.Future[None] = self._loop.create_future()

    def submit(self, events: list[Event]) -> None:
        """Events come in; what may be sent is sent. Those already decided leave when their turn comes."""
        self._order.admit(events)
        live = [e for e in events if e.verdict is None and e.payload is not None]
        if len(live) < len(events):
            self._leave([e for e in events if e.verdict is not None or e.payload is None])
        self._batcher.add(live if self._canary is None else self._canary.take(live))
        self._send_due()

    @property
    def is_supplied(self) -> bool:
        """Nothing is gained by taking more now."""
        return self._batcher.is_supplied(self._clock.monotonic())

    @property
    def is_idle(self) -> bool:
        """Nothing waits for a model, and no call to it is under way."""
        waiting = len(self._batcher) + (len(self._canary) if self._canary is not None else 0)
        return waiting == 0 and self._batcher.in_flight == 0

    def drop_partitions(self, partitions: set[int]) -> None:
        """Forget the events of partitions that are no longer ours."""
        self._batcher.drop(lambda event: event.record.partition in partitions)
        if self._second is not None:
            self._second.drop(partitions)
        if self._canary is not None:
            self._canary.drop(partitions)
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
        ask_again = math.inf if self._canary is None else self._ask_canary(self._canary, now)
        for number, model in enumerate(self._models):
            self._batcher.set_up(number, model.is_ready, model.instances, model.max_batch_size, model.is_shared)
        self._batcher.keep(self._reserve.emit, self._reserve.fallback)
        while True:
            plan = self._batcher.next(now)
            if plan.missed:
                self._note_waiting(plan.missed, now)
                is_up = any(model.is_ready for model in self._models)
                self._miss_model(Missed(plan.missed, Cause.PREDICTED_LATE if is_up else Cause.MODEL_UNAVAILABLE))
            if plan.let_go:
                self._let_go(list(plan.let_go))
            if plan.call is None:
                break
            self._start(self._make(plan.call, now))
            if not len(self._batcher):
                break
        wake_at = min(ask_again, plan.wake_at if plan.wake_at is not None else math.inf)
        if self._second is not None:
            wake_at = min(wake_at, self._ask_second(self._second, now))
        self._wake(max(wake_at, now + _SOONEST_WAKE), now)

    def _wake(self, at: float, now: float) -> None:
        """Look again then. A timer that rings before does it too: setting one costs more than a look in vain."""
        if at >= self._rings_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = self._loop.call_later(at - now, self._ring), at

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        self._send_due()

    def _ask_second(self, second: Second, now: float) -> float:
        """Send what is due to the second model; when to look again."""
        while True:
            plan = second.next(now, self._reserve)
            for missed in by_cause(plan.missed):
                self._start(self._fall_back(missed))
            if plan.call is None:
                return plan.wake_at if plan.wake_at is not None else math.inf
            self._start(self._make_second(second, plan.call))

    def _ask_canary(self, canary: Canary, now: float) -> float:
        """Send what is due to the canary, and what it cannot make to the model's queue; when to look again."""
        while True:
            plan = canary.next(now, self._reserve)
            self._batcher.add(plan.missed)
            if plan.call is None:
                return plan.wake_at if plan.wake_at is not None else math.inf
            self._start(self._make_canary(canary, plan.call, now))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _make(self, call: Call[Event], now: float) -> None:
        """A call to the model. Events that may be tried once more go back to the queue."""
        self._note_waiting(call.events, now)
        model, tried = self._models[call.endpoint], Tried(False)
        try:
            tried = await self._infer.by_model(call.events, model, call.deadline, partial(self._batcher.answered, call))
        finally:
            self._batcher.done(call, self._clock.monotonic(), tried.was_answered)
        events = [event for event in call.events if not event.is_let_go]
        if self._canary is not None:
            self._canary.model_did(len(events), tried)
        missed = tried.missed
        if tried.refused:
            self._send_due()  # to find who is at fault takes calls of its own; the others need not wait
            deadline = min((event.deadline for event in events), default=call.deadline)
            missed = await self._infer.bisect(tried.refused, model, deadline)
        self._batcher.add(tried.again)
        self._leave(_without(events, tried.again, missed))
        for part in missed:
            self._miss(part)
        self._send_due()

    def _let_go(self, events: list[Event]) -> None:
        """Their call may still be answered, but not in time for these."""
        for event in events:
            event.is_let_go = True
        self._miss_model(Missed(events, Cause.MODEL_TIMEOUT))

    def _miss_model(self, missed: Missed) -> None:
        if self._canary is not None:
            self._canary.model_missed(missed)
        self._miss(missed)

    def _miss(self, missed: Missed) -> None:
        """What the model does not answer."""
        left = missed if self._second is None else self._second.add(missed)
        if left.events:
            self._start(self._fall_back(left))

    async def _make_second(self, second: Second, call: Call[Waiting]) -> None:
        """A call to the second model."""
        tried = Tried(False)
        try:
            tried = await self._infer.by_second(by_cause(call.events), second.models[call.endpoint], call.deadline)
        finally:
            second.done(call, self._clock.monotonic(), tried.was_answered)
        self._leave(_without([waiting.event for waiting in call.events], (), tried.missed))
        for part in tried.missed:
            self._start(self._fall_back(part))
        self._send_due()

    async def _make_canary(self, canary: Canary, call: Call[Event], now: float) -> None:
        """A call to the canary. What it does not answer is asked of the model."""
        self._note_waiting(call.events, now)
        tried = await self._infer.by_canary(call.events, canary.models[call.endpoint], call.deadline)
        left = canary.done(call, tried, self._clock.monotonic())
        self._batcher.add(left)
        self._leave(_without(call.events, left, ()))
        self._send_due()

    async def _fall_back(self, missed: Missed) -> None:
        """The rest of the chain, in the process."""
        await self._infer.without_model(missed)
        self._leave(missed.events)

    def _note_waiting(self, events: list[Event], now: float) -> None:
        waited = now - sum([event.taken_at for event in events]) / len(events)
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


def _without(events: list[Event], again: Sequence[Event], missed: Sequence[Missed]) -> list[Event]:
    """Those of a call that are answered by it."""
    if not again and not missed:
        return events
    elsewhere = {id(event) for part in (again, *(m.events for m in missed)) for event in part}
    return [event for event in events if id(event) not in elsewhere]
