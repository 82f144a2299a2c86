"""infer: the model answers a batch within its budget, else the fallback chain does: student, then rules."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inferstream import __version__
from inferstream.errors import ModelError
from inferstream.events.envelope import Batch, Event, Provenance, Verdict
from inferstream.events.outcome import Answerer, Cause, Status
from inferstream.pipeline.interfaces import Clock, Model
from inferstream.pipeline.isolate import isolate
from inferstream.signals import Signals
from inferstream.tasks import Task, Tensors
from inferstream.tasks.task import finite_rows

_UNUSABLE = Verdict(
    Status.DEAD_LETTERED, Cause.UNUSABLE_FEATURES, "infer", "the event gives a model input that is not finite"
)


class Answer(NamedTuple):
    """What the decision needs for some events: the outputs of a model, or None where the rules answer."""

    events: list[Event]
    tensors: Tensors
    outputs: Tensors | None
    provenance: Provenance


class Infer:
    """The stage. Never raises for what a model does: every live event of a batch is in one of the answers."""

    def __init__(
        self,
        pipeline: str,
        task: Task,
        model: Model,
        student: Model | None,
        reserve: float,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._task = task
        self._model = model
        self._student = student
        self._reserve = reserve
        self._clock = clock
        self._rules = Answerer("rules", type(task).__name__, __version__)
        self._rows = signals.batch_rows.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "infer")
        self._results = {result: signals.batches.cell(pipeline, result) for result in ("scored", "fallback")}

    async def answers(self, batch: Batch) -> list[Answer]:
        """Answers for the live events. An event whose features are not finite gets a verdict instead."""
        now = self._clock.monotonic()
        live = [e for e in batch.events if e.verdict is None and e.payload is not None]
        in_time, late = live, []
        if batch.deadline - self._reserve <= now:
            in_time = [event for event in live if event.deadline - self._reserve > now]
            late = [event for event in live if event.deadline - self._reserve <= now]
        answers = []
        if in_time:
            answers.append(await self._answer(in_time, batch.deadline if not late else None))
        if late:
            answers.append(await self._fall_back(*self._usable(late), Cause.MODEL_TIMEOUT))
        return [answer for answer in answers if answer.events]

    async def _answer(self, events: list[Event], deadline: float | None) -> Answer:
        """By the model if it can make it, else by the chain."""
        events, tensors = self._usable(events)
        if not events:
            return Answer([], tensors, None, Provenance(self._rules, 0))
        if not self._model.is_ready:
            return await self._fall_back(events, tensors, Cause.MODEL_UNAVAILABLE)
        if deadline is None:
            deadline = min(event.deadline for event in events)
        started = self._clock.monotonic()
        try:
            outputs, answerer = await self._model.infer(tensors, deadline - self._reserve - started)
        except ModelError as error:
            return await self._fall_back(events, tensors, Cause(error.cause))
        took = self._clock.monotonic() - started
        self._rows.observe(len(events))
        self._stage.observe(took, len(events))
        self._results["scored"].add()
        return Answer(events, tensors, outputs, Provenance(answerer, int(took * 1e6)))

    async def _fall_back(self, events: list[Event], tensors: Tensors, cause: Cause) -> Answer:
        """The student if there is one and it works, else the rules."""
        started = self._clock.monotonic()
        self._results["fallback"].add(1 if events else 0)
        if events and self._student is not None:
            try:
                outputs, answerer = await self._student.infer(tensors, math.inf)
            except ModelError:
                pass  # the rules answer; the outcome says so
            else:
                took = int((self._clock.monotonic() - started) * 1e6)
                return Answer(events, tensors, outputs, Provenance(answerer, took, cause))
        return Answer(events, tensors, None, Provenance(self._rules, 0, cause))

    def _tensors(self, events: Sequence[Event]) -> Tensors:
        tensors = self._task.tensors([event.payload for event in events])
        if any(len(array) != len(events) for array in tensors.values()):
            raise ValueError(f"the task gave tensors of another length than {len(events)} rows")
        return tensors

    def _usable(self, events: list[Event]) -> tuple[list[Event], Tensors]:
        """The events whose features are finite, and their tensors; the others become dead letters."""
        parts = isolate(events, lambda rows: self._tensors(events[rows]), "infer")
        if not parts:
            return [], {}
        tensors = parts[0][1]
        if len(parts) > 1:
            tensors = {name: np.concatenate([part[name] for _, part in parts]) for name in tensors}
        events = [event for event in events if event.verdict is None]
        finite = finite_rows(tensors)
        if finite.all():
            return events, tensors
        for event, good in zip(events, finite, strict=True):
            if not good:
                event.verdict = _UNUSABLE
        kept = [event for event in events if event.verdict is None]
        return kept, {name: array[finite] for name, array in tensors.items()}
