"""generate: as `infer`, for a task whose model streams. One call per event; its answers are passed on as they come.

When an event's time is up, the stream is cancelled at the server, and what came until then is its result, in time and
by the model. An event without any answer by then takes the fallback chain, as with `infer`.
"""

import math
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from inferstream.errors import ModelError
from inferstream.events.envelope import Event, Provenance
from inferstream.events.outcome import Answerer, Cause, outcome_id
from inferstream.pipeline.infer import REJECTED, TRY_AGAIN
from inferstream.pipeline.interfaces import Clock, StreamingModel
from inferstream.pipeline.isolate import isolate
from inferstream.pipeline.observe.traces import Tracer
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.partials import Partials, Stream
from inferstream.policy.reserve import Reserve
from inferstream.policy.retry import RetryBudget
from inferstream.signals import Signals
from inferstream.tasks import Tensors
from inferstream.tasks.streaming import Streamed, StreamingTask
from inferstream.tasks.task import as_declared

_LONGEST_STREAM = 60.0  # seconds; the bound for events that may be late


class Ended(NamedTuple):
    """What came of a stream: `missed` by this cause, to be tried `again`, or else its event is decided."""

    seconds: float | None = None
    """How long it took, if it got somewhere."""
    missed: Cause | None = None
    again: bool = False
    was_cut: bool = False
    """Its time was up before its end."""


class Generate:
    """The stage. Never raises for what a model does."""

    def __init__(
        self,
        route: Route,
        task: StreamingTask,
        partials: Partials,
        reserve: Reserve,
        clock: Clock,
        signals: Signals,
        retries: RetryBudget,
        traces: Tracer,
    ) -> None:
        self._traces = traces
        self._route = route
        self._task = task
        self._partials = partials
        self._reserve = reserve
        self._clock = clock
        self._retries = retries
        self._accepts: set[str] = set()
        self._refused_at: dict[str, float] = {}
        pipeline = route.pipeline
        self._stage = signals.stage.cell(pipeline, "infer")
        self._first = signals.first_answer.cell(pipeline)
        self._next = signals.next_answer.cell(pipeline)
        self._scored = signals.batches.cell(pipeline, "scored")
        self._retried = signals.retries.cell(pipeline)
        self._failed = partial(signals.failed_calls.cell, pipeline)

    async def by_model(self, stream: Stream, model: StreamingModel, ends_at: float) -> Ended:
        """One stream, until it ends or `ends_at` (monotonic seconds)."""
        tensors = self._tensors(stream.event)
        if tensors is None:
            return Ended()
        self._retries.called()
        started = self._clock.monotonic()
        stream.asked_at = stream.asked_at or started
        try:
            await self._follow(stream, tensors, model, started, min(_LONGEST_STREAM, ends_at - started))
        except ModelError as error:
            return self._broken(stream, model, Cause(error.cause), started)
        self._finish(stream, is_whole=True)
        return Ended(self._clock.monotonic() - started)

    def cut(self, stream: Stream) -> bool:
        """Its time is up: what came so far is its result. False: nothing came."""
        if stream.answers:
            self._finish(stream, is_whole=False)
        return bool(stream.answers)

    async def _follow(
        self, stream: Stream, tensors: Tensors, model: StreamingModel, started: float, timeout: float
    ) -> None:
        """Take the answers. What a try before brought is the same, since the seed is: only what is new is passed on."""
        known, place = len(stream.answers), 0
        stream.call = self._traces.call([stream.event], model.url)
        traceparent = None if stream.call is None else stream.call.context.header()
        async with aclosing(model.stream(tensors, timeout, traceparent)) as answers:
            async for outputs, answerer in answers:
                place += 1
                if place == 1 and started > self._refused_at.get(model.url, -math.inf):
                    self._accepts.add(model.url)
                if place > known:
                    self._take(stream, outputs, answerer)
        if place == 0:
            raise ModelError(Cause.MODEL_GARBAGE, "the stream ended without an answer")

    def _take(self, stream: Stream, outputs: Tensors, answerer: Answerer) -> None:
        now, before, is_first = self._clock.monotonic(), stream.last_at, not stream.answers
        stream.take(outputs, answerer, now)
        if is_first:
            self._first.observe(_first_seconds(stream))
        else:
            self._next.observe(now - before)
        self._partials.offer(stream)

    def _broken(self, stream: Stream, model: StreamingModel, cause: Cause, started: float) -> Ended:
        """The stream did not come to its end."""
        if cause is not Cause.MODEL_TIMEOUT or not stream.answers:
            self._failed(cause.value).add()
        now, event = self._clock.monotonic(), stream.event
        if cause is Cause.MODEL_TIMEOUT:
            return Ended(now - started, was_cut=True) if self.cut(stream) else Ended(missed=cause)
        if cause is Cause.MODEL_REJECTED:
            return self._refused(event, model.url, now)
        may_try = cause in TRY_AGAIN and event.attempts == 1 and event.deadline > now + 2 * self._reserve.emit
        if not may_try or not self._retries.take():
            return Ended(missed=cause)
        event.attempts += 1
        self._retried.add()
        return Ended(again=True)

    def _refused(self, event: Event, url: str, now: float) -> Ended:
        """A server that took nothing that began since it last refused is itself at fault, not the event."""
        accepts = url in self._accepts
        self._accepts.discard(url)
        self._refused_at[url] = now
        if not accepts:
            return Ended(missed=Cause.MODEL_REJECTED)
        event.verdict = REJECTED
        return Ended()

    def _finish(self, stream: Stream, is_whole: bool) -> None:
        """The answers so far become the event's result."""
        event, count = stream.event, len(stream.answers)
        each = (stream.last_at - stream.first_at) / (count - 1) if count > 1 else 0.0
        streamed = Streamed(is_whole, _first_seconds(stream) * 1000, each * 1000)
        stream.is_over = True
        made = isolate([event], lambda rows: self._task.finish(event.payload, stream.answers, streamed), "decide")
        for _, result in made:
            took = self._clock.monotonic() - stream.asked_at
            self._stage.observe(took)
            self._scored.add()
            assert stream.answerer is not None  # noqa: S101 - there are answers
            event.result = result
            event.provenance = Provenance(stream.answerer, stream.asked_at, int(took * 1e6), call=stream.call)

    def _tensors(self, event: Event) -> Tensors | None:
        """Of one event, with its seed; None if the task cannot make any, and the event has its verdict."""
        made = isolate([event], lambda rows: self._declared(event), "infer")
        return made[0][1] if made else None

    def _declared(self, event: Event) -> Tensors:
        task, tensors = self._task, dict(self._task.tensors([event.payload]))
        if task.seed_input is not None:
            tensors[task.seed_input] = np.array([[self._seed(event)]], np.int64)
        return as_declared(task.inputs, tensors, 1)

    def _seed(self, event: Event) -> int:
        """Made of what the event's outcome will be called, so that a repetition says the same."""
        route, record = self._route, event.record
        name = outcome_id(route.group, route.input_topic, record.partition, record.offset)
        return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1  # not negative


def _first_seconds(stream: Stream) -> float:
    """From the record's timestamp to the first answer; a timestamp ahead of our clock counts as now."""
    return max(0, stream.event.fetch_us) / 1e6 + stream.first_at - stream.taken_at
