"""What the figures amount to: ten ratios, each from the runs that its definition names; else it is not run. Pure.

Beside the runs, `"triton_alone"` of the file of results is used: direct calls of a model, a row each.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from loadtest.cells import (
    GOODPUT,
    PASSTHROUGH,
    SERVICE,
    SPIKE,
    STEADY,
    TRACED,
    UNTRACED,
    Cell,
    Runs,
    Spread,
    are_comparable,
    does_all_the_work,
)
from loadtest.curves import Curve, goodput, loads_behind
from loadtest.result import Run

_LOW_LOAD, _HIGH_LOAD, _OVERLOAD = 0.1, 0.8, 2.0
_TIGHT_SLO_MS = 20
_SPIKE_FACTOR = 3  # times the median second
_RECOVERED_SHARE = 0.99


class Part(NamedTuple):
    """A value, and of what: an SLO, a peer."""

    of: str
    value: Spread
    is_met: bool


class Ratio(NamedTuple):
    """One ratio; without parts it was not run."""

    name: str
    definition: str
    target: str
    parts: Sequence[Part]


class _Given(NamedTuple):
    document: Mapping[str, Any]
    runs: Runs


class _Found(NamedTuple):
    """A value for every round, and whether what else the target asks for holds."""

    of: str
    values: Sequence[float]
    holds: bool = True


_Finds = Iterator[_Found]


class _Target(NamedTuple):
    text: str
    is_met: Callable[[float], bool]


def evaluate(document: Mapping[str, Any], runs: Runs) -> list[Ratio]:
    """R1 to R10 of the runs on one kind of broker."""
    given = _Given(document, runs)
    return [
        Ratio(name, " ".join((find.__doc__ or "").split()), target.text, [*_parts(find(given), target)])
        for name, (find, target) in _RATIOS.items()
    ]


def _parts(finds: _Finds, target: _Target) -> Iterator[Part]:
    for found in finds:
        if found.values:
            value = Spread.of(found.values)
            yield Part(found.of, value, target.is_met(value.median) and found.holds)


def _throughput_of_ceiling(given: _Given) -> _Finds:
    """Events/s of service over those of passthrough (ceiling A), model fraud: scenario throughput, runs in which
    nearly every answer is the model's"""
    ours, ceiling = given.runs.throughputs(SERVICE), given.runs.throughputs(PASSTHROUGH)
    yield _Found("throughput", [ours[key] / ceiling[key] for key in ours if key in ceiling])


def _throughput_of_both_ceilings(given: _Given) -> _Finds:
    """Events/s of service over 1/(1/A + 1/B), which is what A and B leave each other on shared cores: service and A as
    in R1, B the most rows/s of model fraud asked directly (triton_alone)"""
    direct = max((row["rows_per_s"] for row in _direct(given, "fraud")), default=None)
    if direct is not None:
        ours, ceiling = given.runs.throughputs(SERVICE), given.runs.throughputs(PASSTHROUGH)
        values = [ours[key] * (1 / ceiling[key] + 1 / direct) for key in ours if key in ceiling]
        yield _Found("throughput", values)


def _goodput_in_overload(given: _Given) -> _Finds:
    """Goodput of service at load 2.0 over its best in that round: scenario goodput, load 2.0 and one near 1.0 among
    those that were run"""
    for slo_ms, rounds in given.runs.curves(SERVICE).items():
        curves = [curve for curve in rounds.values() if curve.has_peak and _OVERLOAD in curve]
        yield _Found(f"SLO {slo_ms} ms", [goodput(curve[_OVERLOAD]) / curve.best for curve in curves])


def _goodput_of_capacity(given: _Given) -> _Finds:
    """Best goodput of service in a round over the capacity b*/L(b*) of the model, which is load 1.0: scenario goodput,
    one near 1.0 among those that were run"""
    for slo_ms, rounds in given.runs.curves(SERVICE).items():
        curves = [curve for curve in rounds.values() if curve.has_peak]
        yield _Found(f"SLO {slo_ms} ms", [curve.best / curve.capacity for curve in curves])


def _latency_at_low_load(given: _Given) -> _Finds:
    """p50 to the append of service over p50 of passthrough plus p50 of a direct call of one row (triton_alone):
    scenario steady, and scenario goodput at load 0.1"""
    slow = [cell for cell in given.runs.cells if cell.scenario == GOODPUT and cell.load == _LOW_LOAD]
    for cell in [*slow, *_steady_cells(given.runs)]:
        rows = _direct(given, cell.model)
        calls = [row["p50_ms"] for row in rows if (row["batch"], row["in_flight"]) == (1, 1)]
        pairs = given.runs.pairs(SERVICE, PASSTHROUGH, cell)
        p50s_ms = [(ours["append_ms"]["p50"], ceiling["append_ms"]["p50"]) for ours, ceiling in pairs]
        known = [(ours, ceiling) for ours, ceiling in p50s_ms if None not in (ours, ceiling)]
        yield _Found(cell.words(), [ours / (ceiling + calls[0]) for ours, ceiling in known if calls])


def _direct(given: _Given, model: str) -> list[Mapping[str, Any]]:
    """Direct calls of a model; older files of results have those of fraud alone, and do not name it."""
    return [row for row in given.document.get("triton_alone", []) if row.get("model", "fraud") == model]


def _steady_cells(runs: Runs) -> list[Cell]:
    return [cell for cell in runs.cells if cell.scenario == STEADY and cell.model == "fraud"]


def _tail_at_high_load(given: _Given) -> _Finds:
    """p99 to the append of service at load 0.8 over the SLO of 20 ms, answers of the fallback included: scenario
    goodput"""
    for cell in given.runs.cells:
        if (cell.scenario, cell.model, cell.slo_ms, cell.load) == (GOODPUT, "paced", _TIGHT_SLO_MS, _HIGH_LOAD):
            tails_ms = [run["append_ms"]["p99"] for run in given.runs.rounds(SERVICE, cell).values()]
            yield _Found(f"SLO {cell.slo_ms} ms", [tail / cell.slo_ms for tail in tails_ms if tail is not None])


def _cpu_of_best_peer(given: _Given) -> _Finds:
    """CPU µs/event of service over that of the peer that needs least: scenario steady, runs in which both score 99 %
    with a p99 below 1 s; else the CPU time is not that of the events sent"""
    for cell in _steady_cells(given.runs):
        found = [(peer, _cpu_ratios(given.runs, peer, cell)) for peer in given.runs.peers]
        known = [(peer, values) for peer, values in found if values]
        if known:
            peer, values = max(known, key=lambda one: Spread.of(one[1]).median)
            yield _Found(f"{peer}, least of {len(known)} peers, {cell.words()}", values)


def _cpu_ratios(runs: Runs, peer: str, cell: Cell) -> list[float]:
    pairs = [pair for pair in runs.pairs(SERVICE, peer, cell) if all(map(does_all_the_work, pair))]
    used_us = [[run["cpu_us_per_event"].get("contestant") for run in pair] for pair in pairs]
    return [_over(ours, theirs) for ours, theirs in used_us if None not in (ours, theirs)]


def _recovery(given: _Given) -> _Finds:
    """Whole seconds between the spike and the first second of whose events service scores 99 % in time: scenario
    spike"""
    for cell in given.runs.cells:
        if cell.scenario == SPIKE:
            found = [recovery_s(run) for run in given.runs.rounds(SERVICE, cell).values()]
            yield _Found(f"SLO {cell.slo_ms} ms", [seconds for seconds in found if seconds is not None])


def recovery_s(run: Run) -> float | None:
    """Whole seconds after the spike until one of whose events enough are in time; inf if there is none. None where
    there is no spike, or nothing after it."""
    sent = {row["second"]: row["sent"] for row in run["per_second"]}
    least = _SPIKE_FACTOR * float(np.median([*sent.values()])) if sent else math.inf
    end = max((second for second, count in sent.items() if count > least), default=None)
    if end is None or end == max(sent):
        return None
    good = [row["second"] for row in run["per_second"] if row["in_time"] >= _RECOVERED_SHARE * row["sent"]]
    return min((float(second - end - 1) for second in good if second > end), default=math.inf)


def _throughput_with_tracing(given: _Given) -> _Finds:
    """Events/s of service with 1 % of events traced over those without traces, metrics going to the same collector:
    scenarios traced and untraced"""
    traced, untraced = (
        {(cell[1:], number): per_s for (cell, number), per_s in given.runs.throughputs(SERVICE, name).items()}
        for name in (TRACED, UNTRACED)
    )
    yield _Found("throughput", [traced[key] / untraced[key] for key in traced if key in untraced])


def _goodput_area(given: _Given) -> _Finds:
    """Area under the goodput curve of service over each peer's, at the loads that were run for both in a round, and
    whether at one of them the peer's median is higher: scenario goodput"""
    ours = given.runs.curves(SERVICE)
    for peer in given.runs.peers:
        for slo_ms, rounds in given.runs.curves(peer).items():
            mine = ours.get(slo_ms, {})
            both = [_at_common_loads(mine[r], rounds[r]) for r in mine if r in rounds]
            values = [_over(curve.area, other.area) for curve, other in both if len(curve) > 1]
            yield _Found(f"{peer}, SLO {slo_ms} ms", values, holds=not loads_behind(both))


def _at_common_loads(curve: Curve, other: Curve) -> tuple[Curve, Curve]:
    loads = [load for load in sorted(curve) if load in other and are_comparable(curve[load], other[load])]
    return curve.at(loads), other.at(loads)


def _over(value: float, other: float) -> float:
    return value / other if other else math.inf


_RATIOS: Mapping[str, tuple[Callable[[_Given], _Finds], _Target]] = {
    "R1": (_throughput_of_ceiling, _Target("≥ 0.35", lambda v: v >= 0.35)),
    "R2": (_throughput_of_both_ceilings, _Target("≥ 0.80", lambda v: v >= 0.80)),
    "R3": (_goodput_in_overload, _Target("≥ 0.95", lambda v: v >= 0.95)),
    "R4": (_goodput_of_capacity, _Target("≥ 0.90", lambda v: v >= 0.90)),
    "R5": (_latency_at_low_load, _Target("≤ 1.3", lambda v: v <= 1.3)),
    "R6": (_tail_at_high_load, _Target("≤ 0.7", lambda v: v <= 0.7)),
    "R7": (_cpu_of_best_peer, _Target("≤ 0.5", lambda v: v <= 0.5)),
    "R8": (_recovery, _Target("≤ SLO + 1 s, in whole seconds ≤ 1", lambda v: v <= 1)),
    "R9": (_throughput_with_tracing, _Target("≥ 0.95", lambda v: v >= 0.95)),
    "R10": (_goodput_area, _Target("> 1, at no load lower", lambda v: v > 1)),
}
"""The docstring of each function is its definition."""
