"""shadow: another model scores some of the events that the model has answered, for comparison and for nobody else.

It is beside the path: outcomes do not wait for it, its calls go out one at a time and only while nothing waits for the
model and no call to it is under way. What finds no such moment soon is dropped and counted; scores that the broker
does not take are not written again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import structlog

from inferstream.errors import InferstreamError
from inferstream.events import headers
from inferstream.events.codecs import Codec
from inferstream.events.envelope import Event
from inferstream.events.outcome import outcome_id
from inferstream.events.shadow import SCHEMA, ShadowScore
from inferstream.pipeline.infer import Answer
from inferstream.pipeline.interfaces import Clock, Model, OutRecord, Prediction, Sink
from inferstream.pipeline.outcomes import Route
from inferstream.policy.rollout import Split
from inferstream.signals import Signals
from inferstream.tasks import Task, Tensors

log = structlog.get_logger()

_MOST_WAITING = 256  # events
_MOST_ROWS = 64  # of a call: it must be over soon, a real one may come
_CALL_SECONDS = 1.0
_PATIENCE_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.005


class Shadowing(NamedTuple):
    """Where the scores go, which events are scored, and when there is a moment for it."""

    topic: str
    partitions: int
    split: Split
    is_idle: Callable[[], bool]


class Ports(Protocol):
    """What it needs of a pipeline's."""

    @property
    def shadow_models(self) -> Sequence[Model]: ...
    @property
    def sink(self) -> Sink: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def signals(self) -> Signals: ...


class _Waiting(NamedTuple):
    answer: Answer
    since: float


class Shadow:
    """`offer` what was answered; `run` does the rest."""

    def __init__(self, route: Route, task: Task, codec: Codec, shadowing: Shadowing, ports: Ports) -> None:
        self._route = route
        self._task = task
        self._codec = codec
        self._to = shadowing
        self._models, self._sink, self._clock = ports.shadow_models, ports.sink, ports.clock
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._offered = asyncio.Event()
        self._log = log.bind(pipeline=route.pipeline)
        self._has_failed = False
        self._counts = partial(ports.signals.shadowed.cell, route.pipeline)
        self._difference = partial(ports.signals.shadow_difference.cell, route.pipeline)

    def offer(self, answer: Answer) -> None:
        """These events have results. Some are kept for later, copied."""
        if answer.outputs is None or answer.provenance.cause is not None:
            return
        takes = self._to.split.takes
        rows = [n for n, e in enumerate(answer.events) if e.verdict is None and takes(key_of(self._route, e))]
        now = self._clock.monotonic()
        most = min((m.max_batch_size for m in self._models if m.max_batch_size), default=_MOST_ROWS)
        most = min(most, _MOST_ROWS)
        for begin in range(0, len(rows), most):
            part = rows[begin : begin + most]
            if self._rows + len(part) > _MOST_WAITING:
                self._counts("dropped").add(len(rows) - begin)
                return
            self._rows += len(part)
            self._queue.append(_Waiting(_rows_of(answer, part), now))
            self._offered.set()

    async def run(self) -> None:
        """Score what was offered whenever there is a moment; for ever."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            while self._queue:
                if self._clock.monotonic() - self._queue[0].since > _PATIENCE_SECONDS:
                    self._counts("dropped").add(len(self._next().events))
                elif not self._to.is_idle():
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                else:
                    await self._score(self._next())

    def _next(self) -> Answer:
        answer = self._queue.popleft().answer
        self._rows -= len(answer.events)
        return answer

    async def _score(self, answer: Answer) -> None:
        model = next((model for model in self._models if model.is_ready), None)
        if model is None:
            self._counts("dropped").add(len(answer.events))
            return
        started = self._clock.monotonic()
        try:
            said = await model.infer(answer.tensors, _CALL_SECONDS)
            took_us = int((self._clock.monotonic() - started) * 1e6)
            results = await asyncio.to_thread(self._decide, answer, said)
            for partition, records in self._records(answer, said, results, took_us).items():
                written = self._sink.send(self._to.topic, partition, records)
                written.add_done_callback(partial(self._written, len(records)))
        except Exception as error:  # of the model, or of the task's code on what it said
            self._failed(len(answer.events), error)

    def _decide(self, answer: Answer, said: Prediction) -> Sequence[object]:
        payloads = [event.payload for event in answer.events]
        return self._task.decide(payloads, answer.tensors, said.outputs)

    def _records(
        self, answer: Answer, said: Prediction, results: Sequence[object], took_us: int
    ) -> dict[int, list[OutRecord]]:
        """By partition, in order."""
        route, provenance, now_ms = self._route, answer.provenance, int(self._clock.unix_ms())
        differences = _differences(answer.outputs or {}, said.outputs)
        for name, values in differences.items():
            self._difference(name).observe_each(values)
        found: dict[int, list[OutRecord]] = {}
        for row, (event, result) in enumerate(zip(answer.events, results, strict=True)):
            id_ = _outcome_id(route, event)
            score = ShadowScore(
                id_,
                route.pipeline,
                route.task_name,
                provenance.answerer,
                said.answerer,
                event.result,
                result,
                {name: values[row] for name, values in differences.items()},
                provenance.infer_us,
                took_us,
            )
            record_headers = [
                (headers.CONTENT_TYPE, self._codec.content_type.encode()),
                (headers.SCHEMA, SCHEMA.encode()),
                (headers.OUTCOME_ID, id_.encode()),
            ]
            record = OutRecord(event.record.key, self._codec.encode(score), record_headers, now_ms)
            found.setdefault(event.record.partition % self._to.partitions, []).append(record)
        return found

    def _written(self, events: int, done: "asyncio.Future[None]") -> None:
        if done.cancelled() or done.exception() is not None:
            self._failed(events, None if done.cancelled() else done.exception())
        else:
            self._counts("compared").add(events)

    def _failed(self, events: int, error: BaseException | None) -> None:
        """Counted always, told once: what an error of a task's code says may be an event's."""
        self._counts("failed").add(events)
        if not self._has_failed:
            self._has_failed = True
            why = str(error) if isinstance(error, InferstreamError) else type(error).__name__
            self._log.warning("shadow_failed", topic=self._to.topic, error=why)


def key_of(route: Route, event: Event) -> bytes:
    """What decides whether an event is one of a share: its key; without one, what its outcome is called."""
    key = event.record.key
    return _outcome_id(route, event).encode() if key is None else key


def _outcome_id(route: Route, event: Event) -> str:
    return outcome_id(route.group, route.input_topic, event.record.partition, event.record.offset)


def _rows_of(answer: Answer, rows: list[int]) -> Answer:
    """A copy of some rows: the whole arrays need not be kept for them."""
    tensors = {name: array[rows] for name, array in answer.tensors.items()}
    outputs = {name: array[rows] for name, array in (answer.outputs or {}).items()}
    return Answer([answer.events[row] for row in rows], tensors, outputs, answer.provenance)


def _differences(ours: Tensors, theirs: Tensors) -> dict[str, list[float]]:
    """By output, a value per row: the largest absolute difference. Texts, and shapes that differ, are left out."""
    found = {}
    for name, array in ours.items():
        other = theirs[name]
        if array.dtype.kind in "biuf" and array.shape == other.shape:
            distance = np.abs(array.astype(np.float64) - other.astype(np.float64))
            found[name] = distance.reshape(len(array), -1).max(axis=1, initial=0.0).tolist()
    return found
