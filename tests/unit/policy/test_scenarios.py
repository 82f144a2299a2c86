"""The batcher's goodput under load, noise, bursts, faults and wrong guesses: scenario files with the bands expected.

A file has what its cases share; each case gives a load, as a fraction of what the backend can compute, what is
special about it, and bands. Time is simulated and everything drawn is seeded.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.unit.policy.simulation import Backend, Phase, Result, Setup, Simulation, arrivals

from inferstream.policy.batcher import SloClass

FOLDER = Path(__file__).parent / "scenarios"
WARM_UP = 1  # seconds that no band looks at

Band = tuple[float, float]


class Kind(msgspec.Struct, forbid_unknown_fields=True):
    """An SLO class and how much of the load is of it."""

    slo_ms: float
    weight: float = 1.0
    reserved_share: float = 0.0
    score_late: bool = False


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """The backend takes so many times as long between two instants (seconds)."""

    slower_by: float
    at: float
    until: float


class Expected(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Bands. Goodput is a fraction of capacity, that of a class a fraction of its own events; `recovery` seconds."""

    goodput: Band | None = None
    goodput_of: dict[str, Band] = {}
    goodput_in_second: dict[int, Band] = {}
    late_share: Band | None = None
    given_up_share: Band | None = None
    p50_ms: Band | None = None
    largest_batch: Band | None = None
    recovery: Band | None = None


class Scenario(msgspec.Struct, forbid_unknown_fields=True):
    """One run. `load` is a fraction of capacity, or several in turn, each for so many seconds: `turns`."""

    says: str
    expect: Expected
    classes: dict[str, Kind]
    capacity_at_slo_ms: float
    load: list[float]
    turns: list[float] = []
    alpha_ms: float = 0.8
    beta_ms: float = 0.05
    seconds: int = 2
    seed: int = 1
    noise: float = 0.08
    guess_times: float | None = None
    fallback_ms: float = 2.0
    reserve_ms: float = 0.0
    gives_up: bool = True
    fault: Fault | None = None


def scenarios() -> list[Any]:
    """Every case of every file, its file's part filled in."""
    found = []
    for file in sorted(FOLDER.glob("*.yaml")):
        shared = yaml.safe_load(file.read_text())
        for number, case in enumerate(shared.pop("cases"), 1):
            scenario = msgspec.convert(shared | case, Scenario)
            found.append(pytest.param(scenario, id=f"{file.stem}-{number}"))
    return found


def measured(scenario: Scenario, result: Result, capacity: float) -> dict[str, Any]:
    """What the bands are about."""
    of = {
        name: sum(n for (kind, second), n in result.scored.items() if kind == name and second >= WARM_UP)
        / max(1, sum(n for (kind, second), n in result.sent.items() if kind == name and second >= WARM_UP))
        for name in scenario.classes
    }
    in_second = [
        sum(n for (_, at), n in result.scored.items() if at == second) / capacity for second in range(scenario.seconds)
    ]
    sent = result.sent.total()
    return {
        "goodput": sum(in_second[WARM_UP:]) / (scenario.seconds - WARM_UP),
        "goodput_of": of,
        "goodput_in_second": dict(enumerate(in_second)),
        "late_share": result.late.total() / sent,
        "given_up_share": result.given_up / sent,
        "p50_ms": sorted(result.latencies)[len(result.latencies) // 2] * 1e3,
        "largest_batch": result.largest,
        "recovery": recovery(scenario, result, capacity),
    }


def recovery(scenario: Scenario, result: Result, capacity: float) -> float:
    """Seconds from the end of the fault until nine tenths of what can be scored is, for a tenth of a second."""
    if scenario.fault is None:
        return 0.0
    wanted = 0.09 * capacity * min(0.95, scenario.load[0])
    at = scenario.fault.until
    while sum(rows for now, rows in result.answers if at <= now < at + 0.1) < wanted and at < scenario.seconds:
        at += 0.02
    return at - scenario.fault.until


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Nested names in one."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= {f"{key}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {key: value}
    return found


@pytest.mark.parametrize("scenario", scenarios())
def test_scenario(scenario: Scenario) -> None:
    """Every measure is in its band, no event is lost or answered twice, and none is left to the fallback too late."""
    backend = Backend(scenario.alpha_ms / 1000, scenario.beta_ms / 1000, scenario.noise)
    capacity = backend.capacity(scenario.capacity_at_slo_ms / 1000)
    if scenario.fault is not None:
        fault = scenario.fault
        backend = backend._replace(slower_by=fault.slower_by, slower_at=fault.at, faster_at=fault.until)
    setup = Setup(reserve=scenario.reserve_ms / 1000, fallback=scenario.fallback_ms / 1000, gives_up=scenario.gives_up)
    if scenario.guess_times is not None:
        setup = setup._replace(guess=(backend.alpha * scenario.guess_times, backend.beta * scenario.guess_times))
    kinds = [
        (SloClass(name, kind.slo_ms / 1000, kind.reserved_share, kind.score_late), kind.weight)
        for name, kind in scenario.classes.items()
    ]
    simulation = Simulation(backend, [kind for kind, _ in kinds], scenario.seed, setup)
    result = simulation.run(arrivals(phases(scenario, capacity), kinds, scenario.seed + 100))

    values = flat(measured(scenario, result, capacity))
    bands = flat(msgspec.to_builtins(scenario.expect))
    outside = {
        name: f"{values[name]:.4f} not in {band}" for name, band in bands.items() if not is_in(values[name], band)
    }
    assert not outside, "measured " + ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    assert sorted(result.answered) == list(range(result.sent.total()))
    assert result.missed_late == 0


def phases(scenario: Scenario, capacity: float) -> list[Phase]:
    """One load throughout, or several in turn."""
    found, now = list[Phase](), 0.0
    turns = scenario.turns or [scenario.seconds]
    while now < scenario.seconds:
        for load, turn in zip(scenario.load, turns, strict=True):
            now += turn
            found.append(Phase(min(now, scenario.seconds), load * capacity))
    return found


def is_in(value: float, band: Band) -> bool:
    """The bounds are meant to be reached."""
    return band[0] <= value <= band[1]
