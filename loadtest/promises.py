"""What is promised of the service, beside what the runs say: met, not met, or not run. Pure."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from loadtest import ratios
from loadtest.cells import (
    BACKLOG,
    GOODPUT,
    OWN_TRITON,
    PASSTHROUGH,
    SERVICE,
    SHARED_TRITON,
    TRITON_KILLED,
    Cell,
    Runs,
    Spread,
    are_comparable,
)
from loadtest.curves import goodput
from loadtest.result import Run
from loadtest.tables import NOT_RUN, NOTHING, Table, spread

_SLO_MS, _TIGHT_SLO_MS = 50, 20
_IN_TIME_SHARE, _SHARE_BELOW_CEILING = 0.999, 0.001
_MODEL_SHARES = {0.5: 0.99, 1.0: 0.90}
_TAIL_LOAD, _TAIL_MS = 0.8, 14.0
_JOINT_SHARE = 0.85
_FIRST_SCORE_SECONDS = 2.0
_NEVER_BELOW_UP_TO, _TWICE_FROM, _TWICE = 1.0, 1.2, 2.0


class Finding(NamedTuple):
    """What the runs say of a promise."""

    value: str
    is_met: bool


class Line(NamedTuple):
    """A promise; without a finding it was not run."""

    promise: str
    target: str
    finding: Finding | None


def evaluate(document: Mapping[str, Any], runs: Runs) -> list[Line]:
    """All promises, of the runs on one kind of broker."""
    found = {ratio.name: ratio for ratio in ratios.evaluate(document, runs)}
    return [
        *_of_goodput(runs, found),
        *_of_latency(runs, found),
        *_of_trouble(runs, found),
        Line("Every event of every run has its outcome", "none lost", _none_lost(runs, document.get("failed", ()))),
    ]


def table(document: Mapping[str, Any], runs: Runs) -> Table:
    """A row for each promise."""
    rows = [[line.promise, *_told(line)] for line in evaluate(document, runs)]
    note = "Of the service. Median over the rounds (lowest to highest); shares are of all events that were sent."
    return Table("Promises", ("promise", "value", "target", "met"), rows, note)


def _told(line: Line) -> tuple[str, str, str]:
    if line.finding is None:
        return NOT_RUN, line.target, NOTHING
    return line.finding.value, line.target, "yes" if line.finding.is_met else "no"


def _of_goodput(runs: Runs, found: Mapping[str, ratios.Ratio]) -> Iterator[Line]:
    slo = f"SLO {_SLO_MS} ms"
    for load in (0.5, 1.0, 1.5, 2.0):
        target = "≥ 99.9 %, or pass-through's less 0.1 points where that is lower"
        yield Line(f"Answered in time at load {load:g}, {slo}", target, _in_time(runs, load))
    for load, least in _MODEL_SHARES.items():
        shares = [_scored(run) for run in _at(runs, GOODPUT, _SLO_MS, load)]
        yield Line(f"Scored in time at load {load:g}, {slo}", f"≥ {least:.0%}", _least(shares, least, _percent))
    yield Line(f"Goodput at load 2 over the best, {slo} (R3)", "≥ 0.95", _ratio(found["R3"], slo))
    yield Line(f"Best goodput over the model's capacity, {slo} (R4)", "≥ 0.90", _ratio(found["R4"], slo))
    promise = f"Goodput of 3 processes on one Triton over that of one, load 2, {slo}"
    yield Line(promise, f"≥ {_JOINT_SHARE}", _least(_joint(runs), _JOINT_SHARE, spread))
    promise = f"Goodput below no peer's up to load {_NEVER_BELOW_UP_TO:g} (R10)"
    yield Line(promise, "nowhere beyond the range of the rounds", _below_a_peer(runs))
    promise = f"Goodput over each peer's from load {_TWICE_FROM:g} (R10)"
    yield Line(promise, f"≥ {_TWICE:g}", _over_peers(runs))


def _of_latency(runs: Runs, found: Mapping[str, ratios.Ratio]) -> Iterator[Line]:
    promise = "p50 at a tenth of the load over pass-through's p50 and a direct call's (R5)"
    yield Line(promise, "≤ 1.3", _ratio(found["R5"], f"{GOODPUT}, paced"))
    promise = f"p99 at load {_TAIL_LOAD:g}, SLO {_TIGHT_SLO_MS} ms (R6)"
    yield Line(promise, f"≤ {_TAIL_MS:g} ms plus pass-through's p99", _tail(runs))


def _of_trouble(runs: Runs, found: Mapping[str, ratios.Ratio]) -> Iterator[Line]:
    promise = "Seconds after a tenfold spike until 99 % are scored in time again (R8)"
    yield Line(promise, "≤ SLO + 1 s, in whole seconds ≤ 1", _ratio(found["R8"], ""))
    target = "≤ 2 s and the backlog over the rate at which it expired"
    yield Line("First score in time after a backlog of old events, seconds", target, _after_backlog(runs))
    kills = _at(runs, TRITON_KILLED)
    shares = [run["answered_in_time_ratio"] for run in kills]
    promise = "Answered in time while Triton is away for a minute, load 0.5"
    yield Line(promise, "≥ 99.9 %", _least(shares, _IN_TIME_SHARE, _percent))
    yield Line("First score in time after Triton is ready again, seconds", "≤ 2 s", _after_kill(kills))


def _at(runs: Runs, scenario: str, slo_ms: int | None = None, load: float | None = None) -> list[Run]:
    """Runs of the service that count."""
    return [run for cell in _cells(runs, scenario, slo_ms, load) for run in runs.rounds(SERVICE, cell).values()]


def _cells(runs: Runs, scenario: str, slo_ms: int | None = None, load: float | None = None) -> list[Cell]:
    return [
        cell
        for cell in runs.cells
        if cell.scenario == scenario and slo_ms in (None, cell.slo_ms) and load in (None, cell.load)
    ]


def _scored(run: Run) -> float:
    return float(run["counts"]["in_time"] / max(1, run["sent"]))


def _percent(value: Spread) -> str:
    said = f"{value.median:.2%}"
    return said if value.rounds == 1 else f"{said} ({value.low:.2%} to {value.high:.2%})"


def _least(values: Sequence[float], least: float, say: Callable[[Spread], str]) -> Finding | None:
    if not values:
        return None
    value = Spread.of(values)
    return Finding(say(value), value.median >= least)


def _ratio(ratio: ratios.Ratio, of: str) -> Finding | None:
    """The part of a ratio that a promise is about; of several one that is not met."""
    mine = [part for part in ratio.parts if part.of.startswith(of)]
    worst = next((part for part in mine if not part.is_met), mine[0]) if mine else None
    return Finding(spread(worst.value), worst.is_met) if worst else None


def _in_time(runs: Runs, load: float) -> Finding | None:
    ours = [run["answered_in_time_ratio"] for run in _at(runs, GOODPUT, _SLO_MS, load)]
    if not ours:
        return None
    pairs = [pair for cell in _cells(runs, GOODPUT, _SLO_MS, load) for pair in runs.pairs(SERVICE, PASSTHROUGH, cell)]
    said = _percent(Spread.of(ours))
    if not pairs:
        return Finding(said, statistics.median(ours) >= _IN_TIME_SHARE)
    ceilings = [_scored(ceiling) for _, ceiling in pairs]
    spare = [
        run["answered_in_time_ratio"] - min(_IN_TIME_SHARE, ceiling - _SHARE_BELOW_CEILING)
        for (run, _), ceiling in zip(pairs, ceilings, strict=True)
    ]
    return Finding(f"{said}; pass-through {_percent(Spread.of(ceilings))}", statistics.median(spare) >= 0)


def _joint(runs: Runs) -> list[float]:
    """Three processes over one, of the same round and rate."""
    alone = {number: run for cell in _cells(runs, OWN_TRITON, _SLO_MS, 2.0) for number, run in _rounds(runs, cell)}
    return [
        goodput(run) / goodput(alone[number])
        for cell in _cells(runs, SHARED_TRITON, _SLO_MS, 2.0)
        for number, run in _rounds(runs, cell)
        if number in alone and are_comparable(run, alone[number]) and goodput(alone[number])
    ]


def _rounds(runs: Runs, cell: Cell) -> Iterator[tuple[Any, Run]]:
    yield from runs.rounds(SERVICE, cell).items()


def _against_peers(runs: Runs) -> Iterator[tuple[str, float, Spread, Spread]]:
    """Peer, load, and the goodput of both over the rounds that both have."""
    for cell in _cells(runs, GOODPUT):
        for peer in runs.peers:
            pairs = runs.pairs(SERVICE, peer, cell)
            if pairs and cell.load is not None:
                ours, theirs = (Spread.of([goodput(run) for run in side]) for side in zip(*pairs, strict=True))
                yield f"{peer}, SLO {cell.slo_ms} ms, load {cell.load:g}", cell.load, ours, theirs


def _below_a_peer(runs: Runs) -> Finding | None:
    compared = [
        (theirs.low - ours.high, where, ours, theirs)
        for where, load, ours, theirs in _against_peers(runs)
        if load <= _NEVER_BELOW_UP_TO
    ]
    if not compared:
        return None
    behind, where, ours, theirs = max(compared, key=lambda each: each[0])
    return Finding(f"at worst {spread(ours)} where {where}, has {spread(theirs)}", behind <= 0)


def _over_peers(runs: Runs) -> Finding | None:
    compared = [
        (ours.median / theirs.median if theirs.median else float("inf"), where)
        for where, load, ours, theirs in _against_peers(runs)
        if load >= _TWICE_FROM
    ]
    if not compared:
        return None
    least, where = min(compared)
    return Finding(f"{spread(Spread(least, least, least, 1))} at least ({where})", least >= _TWICE)


def _tail(runs: Runs) -> Finding | None:
    pairs = [
        (ours["append_ms"]["p99"], ceiling["append_ms"]["p99"])
        for cell in _cells(runs, GOODPUT, _TIGHT_SLO_MS, _TAIL_LOAD)
        for ours, ceiling in runs.pairs(SERVICE, PASSTHROUGH, cell)
    ]
    known = [(ours, ceiling) for ours, ceiling in pairs if ours is not None and ceiling is not None]
    if not known:
        return None
    ours, ceilings = (Spread.of(values) for values in zip(*known, strict=True))
    spare_ms = statistics.median(_TAIL_MS + ceiling - mine for mine, ceiling in known)
    return Finding(f"{spread(ours)} ms; pass-through {spread(ceilings)} ms", spare_ms >= 0)


def _after_backlog(runs: Runs) -> Finding | None:
    found = [(run, _score_after_s(run, "contestant ready")) for run in _at(runs, BACKLOG)]
    if not found:
        return None
    run, took_s = max(found, key=lambda each: float("inf") if each[1] is None else each[1])
    old = sum(row["sent"] for row in run["per_second"] if row["second"] < 0)
    per_s = run.get("expired_per_s")
    if took_s is None or per_s is None:
        return Finding(f"none; of {old:,} old events {run['counts']['expired']:,} expired", False)
    said = f"{took_s:.2f}; {old:,} old events, {per_s:,.0f}/s expired"
    return Finding(said, took_s <= _FIRST_SCORE_SECONDS + old / per_s)


def _after_kill(kills: Sequence[Run]) -> Finding | None:
    found = [_score_after_s(run, "triton ready again") for run in kills]
    if not found:
        return None
    if None in found:
        return Finding("never", False)
    worst = max(seconds for seconds in found if seconds is not None)
    return Finding(f"{worst:.2f}", worst <= _FIRST_SCORE_SECONDS)


def _score_after_s(run: Run, what: str) -> float | None:
    """Seconds from what happened to the next score of the model that was in time."""
    found: list[float | None] = [event.get("score_after_s") for event in run["events"] if event["what"] == what]
    return found[-1] if found else None


def _none_lost(runs: Runs, failed: Sequence[Mapping[str, Any]]) -> Finding | None:
    """A run whose audit fails has no figures: it is among those that failed, for whatever reason."""
    mine, broken = runs.all_of(SERVICE), [each for each in failed if each["contestant"] == SERVICE]
    if not mine and not broken:
        return None
    lost = sum(run["counts"]["lost"] for run in mine)
    said = f"{lost:,} lost of {sum(run['sent'] for run in mine):,} in {len(mine)} runs"
    if broken:
        said += f"; of {len(broken)} more nothing is known, the last: {broken[-1]['why']}"
    return Finding(said, lost == 0 and not broken)
