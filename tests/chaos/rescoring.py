"""What each answerer must say of an event: computed from its bytes with the shipped models, without the service."""

import asyncio
import math
from collections.abc import Sequence

import msgspec

from inferstream.inprocess import Student
from inferstream.tasks import Tensors
from inferstream.tasks.fraud import FraudTask, Transaction
from inferstream.tasks.task import finite_rows

Scores = dict[str, float]


class Rescorer:
    """The shipped model and student in this process, and the rules."""

    def __init__(self) -> None:
        self._task = FraudTask()
        names = {"model": self._task.model, "student": self._task.student}
        self._models = {kind: Student(name, self._task) for kind, name in names.items()}
        self._decoder = msgspec.msgpack.Decoder(Transaction)

    def scores(self, values: Sequence[bytes | None]) -> list[Scores | None]:
        """By event: probability by kind of answerer; None for poison."""
        events = [self._decode(value) for value in values]
        rows = iter(self._scores_of([event for event in events if event is not None]))
        return [None if event is None else next(rows) for event in events]

    def _scores_of(self, events: list[Transaction]) -> list[Scores | None]:
        if not events:
            return []
        tensors = self._task.tensors(events)
        columns = {kind: self._probabilities(model, tensors) for kind, model in self._models.items()}
        columns["rules"] = [result.probability for result in self._task.rules(events, tensors)]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [row if good else None for row, good in zip(rows, finite_rows(tensors).tolist(), strict=True)]

    def _probabilities(self, model: Student, tensors: Tensors) -> list[float]:
        outputs, _ = asyncio.run(model.infer(tensors, math.inf))
        found: list[float] = outputs["probability"][:, 0].tolist()
        return found

    def _decode(self, value: bytes | None) -> Transaction | None:
        try:
            return self._decoder.decode(value or b"")
        except (msgspec.DecodeError, ValueError):
            return None
