"""The events of a run and what must be said of each: good ones, poison of every kind, several SLO classes."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np

from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import PipelineSettings, SloClassSettings
from inferstream.tasks import Tensors
from inferstream.testing import MeanTask, Reading
from inferstream.testing.simulation import Topic
from inferstream.testing.simulation.clock import EPOCH_MS

PARTITIONS = 3
INPUT, OUTPUT, LETTERS, GROUP = "in", "out", "dead", "g"
TOPICS = {INPUT: Topic(PARTITIONS), OUTPUT: Topic(PARTITIONS), LETTERS: Topic(2)}
SLO_MS = {"default": 200, "tight": 60, "patient": 1_000, "late": 100, "strict": 150}
SETTINGS = PipelineSettings(
    input_topic=INPUT,
    output_topic=OUTPUT,
    dead_letter_topic=LETTERS,
    group=GROUP,
    slo_ms=SLO_MS["default"],
    slo_classes={
        "tight": SloClassSettings(slo_ms=SLO_MS["tight"], reserved_share=0.3),
        "patient": SloClassSettings(slo_ms=SLO_MS["patient"]),
        "late": SloClassSettings(slo_ms=SLO_MS["late"], on_miss="score_late"),
        "strict": SloClassSettings(slo_ms=SLO_MS["strict"], on_miss="dead_letter"),
    },
    batching={"max_batch_size": 16, "max_queued": 16},
    max_event_bytes=200,
)
_REFUSED_BY_MODEL, _FAILS_THE_TASK = -7.0, -13.0
encode = msgspec.msgpack.encode


@dataclass(frozen=True)
class MarkedTask(MeanTask):
    """The mean of a reading; some readings are marked to break it."""

    def tensors(self, events: Sequence[Reading]) -> Tensors:
        if any(event.values[2] == _FAILS_THE_TASK for event in events):
            raise ValueError("a marked event")
        return super().tensors(events)


def model_refuses(tensors: Tensors) -> bool:
    """As the simulated server does: marked rows spoil their batch."""
    return bool(np.any(tensors["values"][:, 2] == _REFUSED_BY_MODEL))


class Planned(NamedTuple):
    """An event to be written. `scores` by answerer, None for poison; `may_be_letter`: it depends on the run."""

    at: float
    partition: int
    record: OutRecord
    slo_class: str
    deadline_unix_ms: int
    scores: dict[str, float] | None
    may_be_letter: bool


def plan(random_: random.Random, begin: float, seconds: float) -> list[Planned]:
    """All events of a run, in the order of their instants: a stream with bursts."""
    count = random_.randint(30, 110)
    instants = [begin + random_.random() * seconds for _ in range(count)]
    for _ in range(random_.randint(0, 2)):
        burst = begin + random_.random() * seconds
        instants += [burst + random_.random() * 0.01 for _ in range(random_.randint(5, 30))]
    return [_event(random_, number, at) for number, at in enumerate(sorted(instants))]


def _event(random_: random.Random, number: int, at: float) -> Planned:
    timestamp = int(EPOCH_MS + at * 1000)
    headers: list[tuple[str, bytes | None]] = []
    slo_class = random_.choices([*SLO_MS], [6, 1, 1, 1, 1])[0]
    deadline = timestamp + SLO_MS[slo_class]
    if slo_class != "default":
        headers.append(("slo-class", slo_class.encode()))
    elif random_.random() < 0.1:
        deadline = timestamp + random_.randint(20, 500)
        headers.append(("deadline-unix-ms", str(deadline).encode()))
    elif random_.random() < 0.05:
        timestamp, deadline = timestamp - 60_000, deadline - 60_000  # old already
    values = [float(number), random_.random(), random_.random()]
    value, scores, may_be_letter = _value(random_, number, values)
    record = OutRecord(str(number).encode(), value, headers, timestamp)
    may_be_letter = may_be_letter or slo_class == "strict"
    return Planned(at, random_.randrange(PARTITIONS), record, slo_class, deadline, scores, may_be_letter)


def _value(
    random_: random.Random, number: int, values: list[float]
) -> tuple[bytes | None, dict[str, float] | None, bool]:
    """What the record holds, its scores, and whether it may be a dead letter although it is good."""
    kind = random_.random()
    if kind < 0.85:
        return encode(Reading(str(number), values)), _scores(values), False
    if kind < 0.88:
        values[2] = _REFUSED_BY_MODEL
        return encode(Reading(str(number), values)), _scores(values), True
    if kind < 0.91:
        values[2] = _FAILS_THE_TASK
    elif kind < 0.94:
        values[1] = math.nan
    else:
        return random_.choice([b"", None, b"\xc1garbage", b"x" * 500, encode({"id": ""})]), None, False
    return encode(Reading(str(number), values)), None, False


def _scores(values: list[float]) -> dict[str, float]:
    return {"model": float(np.array(values, np.float32).mean()), "rules": values[0]}
