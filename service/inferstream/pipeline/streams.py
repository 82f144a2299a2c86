"""streams: as `batch`, for a task whose model streams. Events wait here until their stream may begin.

One task per stream. Outcomes leave in the order that `policy.order` gives, partial ones as they come.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from inferstream.errors import SettingsError
from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause
from inferstream.pipeline.generate import Generate
from inferstream.pipeline.infer import Infer, Missed
from inferstream.pipeline.interfaces import Clock, StreamingModel
from inferstream.pipeline.partials import Stream
from inferstream.policy.order import EmitOrder
from inferstream.policy.reserve import Reserve
from inferstream.policy.streams import StreamQueue
from inferstream.settings import PipelineSettings
from inferstream.signals import Signals

_SOONEST_WAKE = 0.0005  # seconds; the loop's own timers are no finer


class Streaming:
    """The stage. `generate` asks the model, `infer` is the chain for what the model does not answer."""

    def __init__(
        self,
        pipeline: str,
        queue: StreamQueue[Stream],
        generate: Generate,
        infer: Infer,
        models: Sequence[StreamingModel],
        emit: Callable[[list[Event]], None],
        reserve: Reserve,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._queue = queue
        self._order: EmitOrder[Event] = EmitOrder()
        self._generate = generate
        self._infer = infer
        self._models = models
        self._emit = emit
        self._reserve = reserve
        self._clock = clock
        self._tasks: dict[asyncio.Task[None], Event | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waited = signals.stage.cell(pipeline, "batch")
        signals.queued.cell(pipeline).read = lambda: len(queue)
        signals.in_flight.cell(pipeline).read = lambda: queue.in_flight
        signals.kept.cell(pipeline, "emit").read = lambda: reserve.emit
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def submit(self, events: list[Event]) -> None:
        """Events come in; what may begin does. Those already decided leave when their turn comes."""
        self._order.admit(events)
        live = [e for e in events if e.verdict is None and e.payload is not None]
        if len(live) < len(events):
            self._leave([e for e in events if e.verdict is not None or e.payload is None])
        self._queue.add([Stream(event) for event in live])
        self._begin_due()

    @property
    def is_supplied(self) -> bool:
        """Never: what waits is few, as streams are long."""
        return False

    def drop_partitions(self, partitions: set[int]) -> None:
        """Forget the events of partitions that are no longer ours, and end their streams."""
        self._queue.drop(lambda stream: stream.event.record.partition in partitions)
        self._order.drop_partitions(partitions)
        for task, event in self._tasks.items():
            if event is not None and event.record.partition in partitions:
                task.cancel()

    async def stop(self) -> None:
        """Give up what is under way."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin_due(self) -> None:
        now = self._clock.monotonic()
        for number, model in enumerate(self._models):
            self._queue.set_up(number, model.is_ready)
        self._queue.keep(self._reserve.emit)
        while True:
            plan = self._queue.next(now)
            for stream in plan.missed:
                is_up = any(model.is_ready for model in self._models)
                self._start(self._miss(stream, Cause.PREDICTED_LATE if is_up else Cause.MODEL_UNAVAILABLE), None)
            if plan.begin is None:
                break
            self._start(self._stream(plan.begin, plan.endpoint, now), plan.begin.event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if plan.wake_at < float("inf"):
            delay = max(_SOONEST_WAKE, plan.wake_at - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self._begin_due)

    def _start(self, work: Coroutine[Any, Any, None], event: Event | None) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = event
        task.add_done_callback(self._ended)

    async def _stream(self, stream: Stream, endpoint: int, now: float) -> None:
        """A call to the model. An event that may be tried once more goes back to the queue."""
        self._waited.observe(now - stream.taken_at)
        seconds, ends_at = None, self._queue.ends_at(stream)
        try:
            ended = await self._generate.by_model(stream, self._models[endpoint], ends_at)
            seconds = ended.seconds
        finally:
            self._queue.done(endpoint, seconds)
        if ended.was_cut:
            self._queue.was_cut(self._clock.monotonic() - ends_at)
        if ended.again:
            self._queue.add([stream])
        elif ended.missed is not None:
            self._begin_due()
            await self._fall_back(stream, ended.missed)
        else:
            self._leave([stream.event])
        self._begin_due()

    async def _miss(self, stream: Stream, cause: Cause) -> None:
        """There is no time to begin. One that had begun before, at a server that died, keeps what came then."""
        if self._generate.cut(stream):
            self._leave([stream.event])
        else:
            await self._fall_back(stream, cause)

    async def _fall_back(self, stream: Stream, cause: Cause) -> None:
        """The chain."""
        stream.is_over = True
        await self._infer.without_model(Missed([stream.event], cause))
        self._leave([stream.event])

    def _leave(self, events: list[Event]) -> None:
        for event in events:
            event.is_answered = True
        for part in self._order.release(events):
            self._emit(part)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None and not self.failed.done():
            self.failed.set_exception(task.exception())  # type: ignore[arg-type]


def refuse_settings(name: str, pipeline: PipelineSettings) -> None:
    """Raise SettingsError for what does not go with a model that streams."""
    if pipeline.delivery == "exactly_once":
        raise SettingsError(
            f"pipelines.{name}.delivery: exactly_once does not go with a task whose model streams, since partial "
            "outcomes leave before the transaction of their outcome; write at_least_once"
        )
    others = {
        "fallback_model": pipeline.fallback_model,
        "student": None if pipeline.student == "none" else pipeline.student,
        "canary.model": pipeline.canary.model,
        "shadow.model": pipeline.shadow.model,
    }
    for setting, model in others.items():
        if model is not None:
            raise SettingsError(
                f"pipelines.{name}.{setting}: a task whose model streams has no such model; leave it out"
            )
    if pipeline.shadow.model is not None or pipeline.canary.model is not None:
        raise SettingsError(
            f"pipelines.{name}: a task whose model streams has neither shadow nor canary; leave them out"
        )
    if any(c.reserved_share for c in pipeline.slo_classes.values()):
        raise SettingsError(
            f"pipelines.{name}.slo_classes: reserved_share is of batches, a model that streams has none; leave it out"
        )
