"""infer: the model answers a call within its budget, else the fallback chain does: second model, student, rules.

Who asks when is `batch`'s business; a call that fails tells it what is left to be answered, and why.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from inferstream import __version__
from inferstream.errors import ModelError
from inferstream.events.envelope import Event, Provenance, Verdict
from inferstream.events.outcome import Answerer, Cause, Status
from inferstream.pipeline.interfaces import Clock, Model
from inferstream.pipeline.isolate import isolate
from inferstream.pipeline.observe.traces import Tracer
from inferstream.policy.reserve import Reserve
from inferstream.policy.retry import RetryBudget
from inferstream.signals import Signals
from inferstream.tasks import Task, Tensors
from inferstream.tasks.task import as_declared, finite_rows

_LONGEST_CALL = 60.0  # seconds, however long the deadlines of its events
_BISECT_PAUSE = 1.0  # seconds; a stream of refused batches must not multiply the calls
_UNUSABLE = Verdict(
    Status.DEAD_LETTERED, Cause.UNUSABLE_FEATURES, "infer", "the event gives a model input that is not finite"
)
REJECTED = Verdict(Status.DEAD_LETTERED, Cause.MODEL_REJECTED, "infer", "the model refuses this event by itself too")
_UNEQUAL = Verdict(
    Status.DEAD_LETTERED,
    Cause.TASK_FAILED,
    "infer",
    "its tensors have another shape than its batch's; the task must pad",
)
TRY_AGAIN = frozenset({Cause.MODEL_UNAVAILABLE, Cause.MODEL_ERROR})


class Answer(NamedTuple):
    """What the decision needs for some events: the outputs of a model, or None where the rules answer."""

    events: list[Event]
    tensors: Tensors
    outputs: Tensors | None
    provenance: Provenance


class Chain(NamedTuple):
    """What answers in the process: the student, if there is one; and by SLO class what a miss means."""

    student: Model | None
    on_miss: Mapping[str, str]


class Missed(NamedTuple):
    """Events that the model does not answer, and why."""

    events: list[Event]
    cause: Cause


class Tried(NamedTuple):
    """What came of a call: events to try `again` go back to the queue, those of a `refused` batch are bisected."""

    was_answered: bool
    again: Sequence[Event] = ()
    refused: Sequence[Event] = ()
    missed: Sequence[Missed] = ()


class Infer:
    """The stage. Never raises for what a model does: every event it is given has a result, a verdict, or is retried.

    `decide` is the next stage: it makes answers results.
    """

    def __init__(
        self,
        pipeline: str,
        task: Task,
        chain: Chain,
        decide: Callable[[Answer], Awaitable[None]],
        reserve: Reserve,
        clock: Clock,
        signals: Signals,
        traces: Tracer,
    ) -> None:
        self._traces = traces
        self._task = task
        self._chain = chain
        self._decide = decide
        self._reserve = reserve
        self._clock = clock
        self._retries = RetryBudget()
        self._bisected_at = -math.inf
        self._accepts = False
        # Nobody comes after the model: what it misses need not be decoded to find that out, least of all in overload.
        self._is_last = task.off_loop and chain.student is None and type(task).rules is Task.rules
        self._rules = Answerer("rules", type(task).__name__, __version__)
        self._rows = signals.batch_rows.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "infer")
        self._failed = partial(signals.failed_calls.cell, pipeline)
        self._retried = signals.retries.cell(pipeline)
        self._results = {result: signals.batches.cell(pipeline, result) for result in ("scored", "fallback")}

    async def by_model(self, events: list[Event], model: Model, deadline: float, answered: Callable[[], None]) -> Tried:
        """One call to the model. Events may be let go until it is `answered`; they are in nothing that comes of it."""
        self._retries.called()
        usable, tensors = await self._usable(events)
        if not usable:
            return Tried(False)
        try:
            await self._call(usable, tensors, model, deadline, answered)
        except ModelError as error:
            cause = Cause(error.cause)
            self._failed(cause.value).add()
            if cause is Cause.MODEL_REJECTED:
                return Tried(True, refused=usable)
            usable = _not_let_go(usable)
            again = self._may_try_again(usable, cause)
            tried = set(map(id, again))
            missed = [event for event in usable if id(event) not in tried] if again else usable
            return Tried(False, again=again, missed=[Missed(missed, cause)] if missed else [])
        return Tried(True)

    async def by_canary(self, events: list[Event], model: Model, deadline: float) -> Tried:
        """One call to the canary, within half of the time there is. What it does not answer is `missed`."""
        usable, tensors = await self._usable(events)
        if not usable:
            return Tried(False)
        now = self._clock.monotonic()
        try:
            await self._call(usable, tensors, model, now + (deadline - now) / 2)
        except ModelError as error:
            cause = Cause(error.cause)
            return Tried(cause is Cause.MODEL_REJECTED, missed=[Missed(usable, cause)])
        return Tried(True)

    async def by_second(self, parts: Sequence[Missed], model: Model, deadline: float) -> Tried:
        """One call to the second model, for events that the first does not answer. It is not tried again."""
        usable, tensors = await self._usable([event for part in parts for event in part.events])
        if not usable:
            return Tried(False)
        started = self._clock.monotonic()
        try:
            outputs, answerer = await model.infer(tensors, self._timeout(deadline, started))
        except ModelError as error:
            missed = [Missed(left, cause) for events, cause in parts if (left := [e for e in events if not e.verdict])]
            return Tried(error.cause == Cause.MODEL_REJECTED, missed=missed)
        took = self._clock.monotonic() - started
        self._stage.observe(took, len(usable))
        self._results["fallback"].add()
        row_of = {id(event): row for row, event in enumerate(usable)}
        for events, cause in parts:
            rows = [row_of[id(event)] for event in events if id(event) in row_of]
            given, said = ({name: array[rows] for name, array in part.items()} for part in (tensors, outputs))
            if rows:
                provenance = Provenance(answerer, started, int(took * 1e6), cause)
                await self._decide(Answer([usable[row] for row in rows], given, said, provenance))
        return Tried(True)

    async def without_model(self, missed: Missed) -> None:
        """The student if there is one and it works, else the rules; or what the events' classes want instead."""
        events, cause = missed
        self._results["fallback"].add(1 if events else 0)
        chained = []
        for event in events:
            wanted = self._chain.on_miss.get(event.slo_class, "fallback")
            if wanted in ("expire", "dead_letter"):
                status = Status.EXPIRED if wanted == "expire" else Status.DEAD_LETTERED
                event.verdict = Verdict(status, cause, "infer", "missed by the model, as its SLO class wants")
            else:
                chained.append(event)
        began = self._clock.monotonic()
        usable, tensors = (chained, {}) if self._is_last else await self._usable(chained)
        if not usable:
            return
        await self._answer_in_process(usable, tensors, cause)
        self._reserve.fell_back(self._clock.monotonic() - began)

    async def _answer_in_process(self, usable: list[Event], tensors: Tensors, cause: Cause) -> None:
        started = self._clock.monotonic()
        if self._chain.student is not None:
            try:
                outputs, answerer = await self._chain.student.infer(tensors, math.inf)
            except ModelError:
                pass  # the rules answer; the outcome says so
            else:
                took = int((self._clock.monotonic() - started) * 1e6)
                await self._decide(Answer(usable, tensors, outputs, Provenance(answerer, started, took, cause)))
                return
        await self._decide(Answer(usable, tensors, None, Provenance(self._rules, started, 0, cause)))

    async def _call(
        self,
        events: list[Event],
        tensors: Tensors,
        model: Model,
        deadline: float,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        started = self._clock.monotonic()
        call = self._traces.call(events, model.url)
        traceparent = None if call is None else call.context.header()
        outputs, answerer = await model.infer(tensors, self._timeout(deadline, started), traceparent)
        answered()
        self._accepts = True
        took = self._clock.monotonic() - started
        self._rows.observe(len(events))
        self._stage.observe(took, len(events))
        self._results["scored"].add()
        kept = [row for row, event in enumerate(events) if not event.is_let_go]
        if len(kept) < len(events):
            events = [events[row] for row in kept]
            tensors, outputs = ({name: array[kept] for name, array in part.items()} for part in (tensors, outputs))
        if events:
            provenance = Provenance(answerer, started, int(took * 1e6), call=call)
            await self._decide(Answer(events, tensors, outputs, provenance))

    def _timeout(self, deadline: float, now: float) -> float:
        """Of a call: what is left, less what the rest of the chain and the outcome need."""
        return min(_LONGEST_CALL, deadline - self._reserve.emit - self._reserve.fallback - now)

    async def bisect(self, refused: Sequence[Event], model: Model, deadline: float) -> list[Missed]:
        """The model refused the batch: find the events at fault by halving, so that they cost only themselves.

        A model that has accepted nothing since it was last found to refuse is itself at fault, not the events. One that
        was let go meanwhile may be the one at fault: it is looked at too, but answered elsewhere.
        """
        now = self._clock.monotonic()
        events, tensors = await self._usable(list(refused))
        if not events:
            return []
        if len(events) == 1:
            missed = self._convicted(events)
            self._accepts = False
            return missed
        if now - self._bisected_at < _BISECT_PAUSE:
            return [Missed(_not_let_go(events), Cause.MODEL_REJECTED)]
        self._bisected_at = now  # what is refused meanwhile waits for no search of its own
        self._accepts = False
        missed, guilty = [], list[Event]()
        parts = [slice(0, len(events))]
        while parts:
            part = parts.pop()
            middle = (part.start + part.stop) // 2
            for half in (slice(part.start, middle), slice(middle, part.stop)):
                chosen = {name: array[half] for name, array in tensors.items()}
                try:
                    await self._call(events[half], chosen, model, deadline)
                except ModelError as error:
                    if error.cause != Cause.MODEL_REJECTED:
                        missed.append(Missed(_not_let_go(events[half]), Cause(error.cause)))
                    elif half.stop - half.start == 1:
                        guilty += events[half]
                    else:
                        parts.append(half)
        self._bisected_at = self._clock.monotonic()
        return missed + self._convicted(guilty)

    def _convicted(self, events: list[Event]) -> list[Missed]:
        """These are refused by themselves, too. They are missed only, where nothing is accepted."""
        events = _not_let_go(events)
        if not self._accepts:
            return [Missed(events, Cause.MODEL_REJECTED)] if events else []
        for event in events:
            event.verdict = REJECTED
        return []

    def _may_try_again(self, events: list[Event], cause: Cause) -> list[Event]:
        """Events that go back to the queue: once each, while they have time or may be late, and few of all calls."""
        soonest = self._clock.monotonic() + self._reserve.emit + 2 * self._reserve.fallback
        if cause is Cause.MODEL_TIMEOUT:
            soonest = math.inf
        elif cause not in TRY_AGAIN:
            return []
        again = [e for e in events if e.attempts == 1 and (e.deadline > soonest or self._may_be_late(e))]
        if not again or not self._retries.take():
            return []
        for event in again:
            event.attempts += 1
        self._retried.add(len(again))
        return again

    def _may_be_late(self, event: Event) -> bool:
        return self._chain.on_miss.get(event.slo_class) == "score_late"

    def _tensors(self, events: Sequence[Event]) -> Tensors:
        tensors = self._task.tensors([event.payload for event in events])
        return as_declared(self._task.inputs, tensors, len(events))

    async def _usable(self, events: list[Event]) -> tuple[list[Event], Tensors]:
        """The events whose features are finite, and their tensors; the others become dead letters."""
        if self._task.off_loop:
            return await asyncio.to_thread(self._finite, events)
        return self._finite(events)

    def _finite(self, events: list[Event]) -> tuple[list[Event], Tensors]:
        if not events:
            return [], {}
        parts = isolate(events, lambda rows: self._tensors(events[rows]), "infer")
        if not parts:
            return [], {}
        events, tensors = _joined(events, parts)
        finite = finite_rows(tensors)
        if finite.all():
            return events, tensors
        kept = []
        for event, good in zip(events, finite, strict=True):
            if good:
                kept.append(event)
            elif event.verdict is None:  # one that was let go may have another by now
                event.verdict = _UNUSABLE
        return kept, {name: array[finite] for name, array in tensors.items()}


def _not_let_go(events: list[Event]) -> list[Event]:
    return [event for event in events if not event.is_let_go]


def _joined(events: list[Event], parts: list[tuple[slice, Tensors]]) -> tuple[list[Event], Tensors]:
    """The parts as one batch. Where a dimension is open, one that differs from the first's cannot be in it."""
    if len(parts) == 1:
        return events[parts[0][0]], parts[0][1]
    shapes = {name: array.shape[1:] for name, array in parts[0][1].items()}
    kept, fitting = list[Event](), []
    for rows, part in parts:
        if {name: array.shape[1:] for name, array in part.items()} == shapes:
            kept += events[rows]
            fitting.append(part)
        else:
            for event in events[rows]:
                event.verdict = _UNEQUAL
    return kept, {name: np.concatenate([part[name] for part in fitting]) for name in shapes}
