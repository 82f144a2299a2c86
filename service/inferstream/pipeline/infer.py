"""infer: the model answers a call within its budget, else the fallback chain does: student, then rules."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from inferstream import __version__
from inferstream.errors import ModelError
from inferstream.events.envelope import Event, Provenance, Verdict
from inferstream.events.outcome import Answerer, Cause, Status
from inferstream.pipeline.interfaces import Clock, Model
from inferstream.pipeline.isolate import isolate
from inferstream.policy.reserve import EmitReserve
from inferstream.policy.retry import RetryBudget
from inferstream.signals import Signals
from inferstream.tasks import Task, Tensors
from inferstream.tasks.task import as_declared, finite_rows

FALLBACK_SECONDS = 0.002
"""What the chain is given to answer a batch in the process."""
_LONGEST_CALL = 60.0  # seconds; the bound of a call for events without a deadline ahead
_BISECT_PAUSE = 1.0  # seconds; a stream of refused batches must not multiply the calls
_UNUSABLE = Verdict(
    Status.DEAD_LETTERED, Cause.UNUSABLE_FEATURES, "infer", "the event gives a model input that is not finite"
)
_REJECTED = Verdict(Status.DEAD_LETTERED, Cause.MODEL_REJECTED, "infer", "the model refuses this event by itself too")
_UNEQUAL = Verdict(
    Status.DEAD_LETTERED,
    Cause.TASK_FAILED,
    "infer",
    "its tensors have another shape than its batch's; the task must pad",
)
_TRY_AGAIN = frozenset({Cause.MODEL_UNAVAILABLE, Cause.MODEL_ERROR})


class Answer(NamedTuple):
    """What the decision needs for some events: the outputs of a model, or None where the rules answer."""

    events: list[Event]
    tensors: Tensors
    outputs: Tensors | None
    provenance: Provenance


class Chain(NamedTuple):
    """What answers without the model: the student, if there is one; and by SLO class what a miss means."""

    student: Model | None
    on_miss: Mapping[str, str]


class Tried(NamedTuple):
    """What came of a call: events to try `again` go back to the queue, those of a `refused` batch are bisected."""

    was_answered: bool
    again: Sequence[Event] = ()
    refused: Sequence[Event] = ()


class Infer:
    """The stage. Never raises for what a model does: every event it is given has a result, a verdict, or is retried.

    `decide` is the next stage: it makes answers results.
    """

    def __init__(
        self,
        pipeline: str,
        task: Task,
        chain: Chain,
        decide: Callable[[Answer], None],
        reserve: EmitReserve,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._task = task
        self._chain = chain
        self._decide = decide
        self._reserve = reserve
        self._clock = clock
        self._retries = RetryBudget()
        self._bisected_at = -math.inf
        self._rules = Answerer("rules", type(task).__name__, __version__)
        self._rows = signals.batch_rows.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "infer")
        self._retried = signals.retries.cell(pipeline)
        self._results = {result: signals.batches.cell(pipeline, result) for result in ("scored", "fallback")}

    async def by_model(self, events: list[Event], model: Model, deadline: float) -> Tried:
        """One call, and the fallback chain for what it leaves and nobody tries again."""
        self._retries.called()
        usable, tensors = self._usable(events)
        if not usable:
            return Tried(False)
        try:
            await self._call(usable, tensors, model, deadline)
        except ModelError as error:
            cause = Cause(error.cause)
            if cause is Cause.MODEL_REJECTED:
                return Tried(True, refused=usable)
            again = self._may_try_again(usable, cause)
            tried = set(map(id, again))
            await self.without_model([e for e in usable if id(e) not in tried] if again else usable, cause)
            return Tried(False, again=again)
        return Tried(True)

    async def without_model(self, events: list[Event], cause: Cause) -> None:
        """The student if there is one and it works, else the rules; or what the events' classes want instead."""
        self._results["fallback"].add(1 if events else 0)
        chained = []
        for event in events:
            wanted = self._chain.on_miss.get(event.slo_class, "fallback")
            if wanted in ("expire", "dead_letter"):
                status = Status.EXPIRED if wanted == "expire" else Status.DEAD_LETTERED
                event.verdict = Verdict(status, cause, "infer", "missed by the model, as its SLO class wants")
            else:
                chained.append(event)
        usable, tensors = self._usable(chained)
        if not usable:
            return
        started = self._clock.monotonic()
        if self._chain.student is not None:
            try:
                outputs, answerer = await self._chain.student.infer(tensors, math.inf)
            except ModelError:
                pass  # the rules answer; the outcome says so
            else:
                took = int((self._clock.monotonic() - started) * 1e6)
                self._decide(Answer(usable, tensors, outputs, Provenance(answerer, started, took, cause)))
                return
        self._decide(Answer(usable, tensors, None, Provenance(self._rules, started, 0, cause)))

    async def _call(self, events: list[Event], tensors: Tensors, model: Model, deadline: float) -> None:
        started = self._clock.monotonic()
        timeout = min(_LONGEST_CALL, deadline - self._reserve.seconds - FALLBACK_SECONDS - started)
        outputs, answerer = await model.infer(tensors, timeout)
        took = self._clock.monotonic() - started
        self._rows.observe(len(events))
        self._stage.observe(took, len(events))
        self._results["scored"].add()
        self._decide(Answer(events, tensors, outputs, Provenance(answerer, started, int(took * 1e6))))

    async def bisect(self, refused: Sequence[Event], model: Model, deadline: float) -> None:
        """The model refused the batch: find the events at fault by halving, so that they cost only themselves."""
        now = self._clock.monotonic()
        events, tensors = self._usable(list(refused))
        if len(events) == 1:
            events[0].verdict = _REJECTED
            return
        if now - self._bisected_at < _BISECT_PAUSE:
            await self.without_model(events, Cause.MODEL_REJECTED)
            return
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
                        await self.without_model(events[half], Cause(error.cause))
                    elif half.stop - half.start == 1:
                        events[half.start].verdict = _REJECTED
                    else:
                        parts.append(half)
        self._bisected_at = self._clock.monotonic()

    def _may_try_again(self, events: list[Event], cause: Cause) -> list[Event]:
        """Events that go back to the queue: once each, while they have time, and few of all calls."""
        if cause not in _TRY_AGAIN:
            return []
        soonest = self._clock.monotonic() + self._reserve.seconds + 2 * FALLBACK_SECONDS
        again = [event for event in events if event.attempts == 1 and event.deadline > soonest]
        if not again or not self._retries.take():
            return []
        for event in again:
            event.attempts += 1
        self._retried.add(len(again))
        return again

    def _tensors(self, events: Sequence[Event]) -> Tensors:
        tensors = self._task.tensors([event.payload for event in events])
        return as_declared(self._task.inputs, tensors, len(events))

    def _usable(self, events: list[Event]) -> tuple[list[Event], Tensors]:
        """The events whose features are finite, and their tensors; the others become dead letters."""
        if not events:
            return [], {}
        parts = isolate(events, lambda rows: self._tensors(events[rows]), "infer")
        if not parts:
            return [], {}
        tensors = _joined(events, parts)
        events = [event for event in events if event.verdict is None]
        finite = finite_rows(tensors)
        if finite.all():
            return events, tensors
        for event, good in zip(events, finite, strict=True):
            if not good:
                event.verdict = _UNUSABLE
        kept = [event for event in events if event.verdict is None]
        return kept, {name: array[finite] for name, array in tensors.items()}


def _joined(events: Sequence[Event], parts: list[tuple[slice, Tensors]]) -> Tensors:
    """The parts as one batch. Where a dimension is open, one that differs from the first's cannot be in it."""
    shapes = {name: array.shape[1:] for name, array in parts[0][1].items()}
    fitting = []
    for rows, part in parts:
        if {name: array.shape[1:] for name, array in part.items()} == shapes:
            fitting.append(part)
        else:
            for event in events[rows]:
                event.verdict = _UNEQUAL
    if len(fitting) == 1:
        return fitting[0]
    return {name: np.concatenate([part[name] for part in fitting]) for name in shapes}
