"""The part of a pipeline that meets foreign bytes, for each task: decode, features, and what is written."""

import time
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from inferstream.events import codecs, headers
from inferstream.events.envelope import Event, Record, Slice
from inferstream.events.outcome import Cause, Outcome, Status
from inferstream.operate.dead_letters.letters import read_letter
from inferstream.pipeline.decode import Decode, Decoding
from inferstream.pipeline.isolate import isolate
from inferstream.pipeline.outcomes import LetterWriter, OutcomeWriter, Route
from inferstream.policy.deadline import Deadlines
from inferstream.signals import Signals
from inferstream.tasks import Task
from inferstream.tasks.classification import ClassificationTask
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.segmentation import SegmentationTask
from inferstream.tasks.sensor import SensorTask
from inferstream.tasks.task import as_declared, finite_rows
from inferstream.tasks.task import load as load_task
from inferstream.testing import MeanTask

NOW_MS = 1_772_366_400_000
MOST_SECONDS = 0.005  # CPU time that decoding 64 KiB may take
_LIMIT = 1_000_000
_READ = msgspec.msgpack.Decoder(Outcome).decode
_ROUTE = Route("p", "t", "g", "in", "out", "dead", 1)
_TENSOR_OPTIONS = {
    "inputs": {"features": {"datatype": "FP32", "shape": [41]}, "word": {"datatype": "BYTES", "shape": [-1]}},
    "outputs": {"probability": {"datatype": "FP32", "shape": [1]}},
}
_DECODE_CAUSES = frozenset(
    {Cause.EMPTY, Cause.OVERSIZE, Cause.UNKNOWN_CODEC, Cause.UNKNOWN_SCHEMA, Cause.MALFORMED, Cause.INVALID}
    | {Cause.CARD_NUMBER, Cause.TOO_LATE}
)


class _Anything(MeanTask):
    event_type = dict


class _Clock:
    def monotonic(self) -> float:
        return NOW_MS / 1000

    def unix_ms(self) -> float:
        return NOW_MS


class Boundary:
    """Decode and the writers of one task, as a pipeline has them."""

    def __init__(self, task: Task, refuses_cards: bool = False) -> None:
        self.task = task
        late, known = frozenset({"late"}), codecs.installed()
        accepted = (task.event_type, task.schema, codecs.MSGPACK, known, "dead_letter", 65_536)
        decoding = Decoding(*accepted, late, refuses_cards, task.event_id)
        deadlines = Deadlines({"default": 50, "late": 50, "gold": 20})
        self._decode = Decode("p", decoding, deadlines, _Clock(), Signals())
        self._outcomes, self._letters = OutcomeWriter(_ROUTE, task, codecs.MSGPACK), LetterWriter(_ROUTE)

    def event(self, record: Record) -> Event:
        """What becomes of the record, with all that is promised of it."""
        began = time.thread_time()
        events, skipped = self._decode.slice_events(Slice(0, 1, [record]))
        took = time.thread_time() - began
        if took > MOST_SECONDS:  # once may be anything; the input itself takes long every time
            took = min(self._seconds(record) for _ in range(8))
        assert took <= MOST_SECONDS, f"decoding takes {took * 1000:.1f} ms"
        (event,) = events
        assert not skipped
        assert (event.verdict is None) != (event.payload is None)
        if event.verdict is not None:
            assert event.verdict.cause in _DECODE_CAUSES
            assert len(event.verdict.detail) <= 513
        return event

    def _seconds(self, record: Record) -> float:
        began = time.thread_time()
        self._decode.slice_events(Slice(0, 1, [record]))
        return time.thread_time() - began

    def write(self, event: Event) -> None:
        """Its outcome can be written whatever it is, and its dead letter leads back to it."""
        (out,) = self._outcomes.records([event], _LIMIT, 0.0, NOW_MS)
        assert out.size_bytes() <= _LIMIT
        said = _READ(out.value or b"")
        assert said.id == f"g/in/0/{event.record.offset}"
        if said.outcome is not Status.DEAD_LETTERED:
            return
        letter = self._letters.record(event, _LIMIT, NOW_MS)
        assert letter.size_bytes() <= _LIMIT
        stored = SimpleNamespace(
            topic="dead", partition=0, offset=0, timestamp=0, key=letter.key, value=letter.value, headers=letter.headers
        )
        found = read_letter(cast("Record", stored))
        assert found is not None
        assert (found.partition, found.offset) == (0, event.record.offset)
        assert found.size_bytes >= 0

    def features(self, event: Event) -> None:
        """The task makes tensors of what it takes, or the event a dead letter; nothing else."""

        def tensors(rows: slice) -> Any:
            made = as_declared(self.task.inputs, self.task.tensors([event.payload]), 1)
            return finite_rows(made)

        isolate([event], tensors, "infer")
        if event.verdict is not None:
            assert event.verdict.cause in (Cause.INVALID, Cause.TASK_FAILED)
            assert event.verdict.cause is Cause.INVALID or isinstance(self.task, MeanTask), event.verdict.detail


def _tasks() -> tuple[Task, ...]:
    shipped = (FraudTask(), SensorTask(), ClassificationTask(), SegmentationTask(), load_task("generation", {}))
    return (*shipped, load_task("tensor", _TENSOR_OPTIONS), MeanTask(), _Anything())


BOUNDARIES = [Boundary(task, refuses) for refuses in (False, True) for task in _tasks()]
"""Of each task without and with `refuse_card_numbers`."""


def record(value: bytes | None, given: headers.Headers = (), timestamp: int = NOW_MS, key: bytes = b"k") -> Record:
    """A record of the input topic."""
    made = SimpleNamespace(topic="in", partition=0, offset=7, timestamp=timestamp, key=key, value=value, headers=given)
    return cast("Record", made)
