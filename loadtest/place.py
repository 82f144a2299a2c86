"""Where runs are made, and what the processes of a run are told of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inferstream.local import Part, Stack
from loadtest import topics
from loadtest.arrivals import Replay
from loadtest.contestants import Job, Options, class_environ
from loadtest.pacer import Schedule
from loadtest.scenario import Scenario


class Topics(NamedTuple):
    """Where events go and outcomes come."""

    source: str
    target: str
    dead_letters: str | None


class Place(NamedTuple):
    """Where runs are made. `topics`: a user's own, on which a service runs already."""

    kafka: str
    kafka_kind: str
    triton: str
    stack: Stack | None
    parts: tuple[Part, ...]
    factor_file: Path
    folder: Path
    topics: Topics | None = None


def job(place: Place, mine: Topics, scenario: Scenario, group: str, options: Options) -> Job:
    """What a contestant is to do."""
    return Job(
        kafka=place.kafka,
        triton=place.triton,
        model=scenario.model,
        source=mine.source,
        target=mine.target,
        dead_letters=mine.dead_letters or "",
        group=group,
        slo_ms=scenario.slo_ms,
        codec=scenario.codec,
        options=options,
        environ=class_environ(scenario.classes) | dict(scenario.environ),
    )


def collector_plan(place: Place, mine: Topics, expected: int, folder: Path) -> Mapping[str, Any]:
    """What the collector reads, and where it writes `received.npz`."""
    return {
        "kafka": place.kafka,
        "output": mine.target,
        "dead_letters": mine.dead_letters,
        "expected": expected,
        "from_end": place.topics is not None,
        "result": str(folder / "received.npz"),
    }


def generator_plan(place: Place, mine: Topics, scenario: Scenario, seed: int, folder: Path) -> Mapping[str, Any]:
    """What the generator sends; `schedule.npy` and `class_of.npy` are in the folder. It writes `left.npy` there."""
    arrivals = scenario.arrivals
    return {
        "kafka": place.kafka,
        "topic": mine.source,
        "partitions": topics.partitions(place.kafka, mine.source)[mine.source],
        "schedule": str(folder / "schedule.npy"),
        "classes": list(scenario.slos_ms),
        "class_of": str(folder / "class_of.npy"),
        "codec": scenario.codec,
        "seed": seed,
        "recording": str(arrivals.file.resolve()) if isinstance(arrivals, Replay) else None,
        "result": str(folder / "left.npy"),
    }


def save_load(folder: Path, schedule: Schedule, class_of: npt.NDArray[np.uint8]) -> None:
    """What of a generator's plan is too long for a line."""
    np.save(folder / "schedule.npy", schedule)
    np.save(folder / "class_of.npy", class_of)
