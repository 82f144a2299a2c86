"""The runs of a file of results told apart: who was measured, at what, in which round, and which of them count. Pure.

A void run never counts. Runs on different kinds of broker are never compared, nor runs whose rates differ: a load is
a fraction of what calibration found, and two calibrations are two rates.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from loadtest.curves import Curve
from loadtest.result import Run
from loadtest.verdict import is_sustained

SERVICE, PASSTHROUGH = "service", "passthrough"
GOODPUT, THROUGHPUT, SUSTAINABLE, STEADY = "goodput", "throughput", "sustainable", "steady"
TRACED, UNTRACED = "traced", "untraced"
SPIKE, BURSTS, BACKLOG = "spike", "bursts", "backlog"
SHARED_TRITON, OWN_TRITON, TRITON_KILLED = "shared_triton", "own_triton", "triton_killed"
_BACKLOGS = (THROUGHPUT, TRACED, UNTRACED)
_NO_PEERS = (SERVICE, PASSTHROUGH, "yours")
_NEAR = 1.05  # rates of one setting; seeds make them differ by a little
_SAME_RATE = 0.02
_WHOLE_SHARE = 0.99
_WHOLE_P99_MS = 1_000

Round = tuple[int, int]
"""Seed, and the how manieth run with it. Runs of one round are compared with each other."""


class Spread(NamedTuple):
    """A figure over several rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


class Cell(NamedTuple):
    """What was asked. Where the scenario names no load, the rate tells its runs apart."""

    scenario: str
    model: str
    codec: str
    slo_ms: int
    load: float | None
    rate: float

    def words(self) -> str:
        """For people."""
        codec = "" if self.codec == "msgpack" else f", {self.codec}"
        pace = f"{self.rate:,.0f}/s" if self.load is None else f"load {self.load:g}"
        return f"{self.scenario}, {self.model}{codec}, SLO {self.slo_ms} ms, {pace}"


class Runs:
    """The runs on one kind of broker."""

    def __init__(self, runs: Iterable[Run]) -> None:
        ordered = sorted(runs, key=lambda run: run["started_unix_ms"])
        self._labels = _labels(ordered)
        found = {label: run for run in ordered for label in [self.label(run)]}
        self.options = {label: run["options"] for label, run in found.items()}
        kinds = {label: run["contestant"] for label, run in found.items()}
        self.contestants = sorted(kinds, key=lambda label: (label != SERVICE, kinds[label] in _NO_PEERS, label))
        self.peers = [label for label in self.contestants if kinds[label] not in _NO_PEERS]
        self._was_run = {(self.label(run), run["scenario"]) for run in ordered}
        self._searches: dict[str, dict[Round, list[Run]]] = defaultdict(lambda: defaultdict(list))
        self._rounds: dict[tuple[str, Cell], dict[Round, Run]] = defaultdict(dict)
        for run in ordered:
            if run["scenario"] == SUSTAINABLE:
                self._searches[self.label(run)][run["seed"], run["slo_ms"]].append(run)
        self._sort([run for run in ordered if run["scenario"] != SUSTAINABLE])

    def _sort(self, runs: Sequence[Run]) -> None:
        """A void run keeps its place among the rounds, so that those after it meet the right ones."""
        rates = _nominal_rates(runs)
        seen: Counter[tuple[str, Cell, int]] = Counter()
        for run in runs:
            place = self.label(run), _cell(run, rates)
            number = seen[*place, run["seed"]]
            seen[*place, run["seed"]] += 1
            if run["void"] is None:
                self._rounds[place][run["seed"], number] = run

    def label(self, run: Run) -> str:
        """The contestant; one that was run with several options is several."""
        return self._labels[run["contestant"], _options(run)]

    @property
    def cells(self) -> list[Cell]:
        """All that was asked of anyone within a time, so not how much it can do at most."""
        cells = {cell for _, cell in self._rounds if cell.scenario not in _BACKLOGS}
        return sorted(cells, key=lambda cell: (*cell[:4], cell.load or 0, cell.rate))

    def rounds(self, contestant: str, cell: Cell) -> Mapping[Round, Run]:
        """What a contestant did with it."""
        return self._rounds.get((contestant, cell), {})

    def all_of(self, contestant: str) -> list[Run]:
        """All its runs that count."""
        mine = [run for (name, _), rounds in self._rounds.items() if name == contestant for run in rounds.values()]
        searched = [run for runs in self._searches.get(contestant, {}).values() for run in runs]
        return mine + [run for run in searched if run["void"] is None]

    def pairs(self, contestant: str, other: str, cell: Cell) -> list[tuple[Run, Run]]:
        """The runs of two that may be compared."""
        mine, theirs = self.rounds(contestant, cell), self.rounds(other, cell)
        return [(mine[r], theirs[r]) for r in mine if r in theirs and are_comparable(mine[r], theirs[r])]

    def curves(self, contestant: str) -> dict[int, dict[Round, Curve]]:
        """By SLO and round: the runs of scenario goodput."""
        found: dict[int, dict[Round, Curve]] = defaultdict(lambda: defaultdict(Curve))
        for cell in self.cells:
            if cell.scenario == GOODPUT and cell.model == "paced" and cell.load is not None:
                for number, run in self.rounds(contestant, cell).items():
                    found[cell.slo_ms][number][cell.load] = run
        return found

    def throughputs(self, contestant: str, scenario: str = THROUGHPUT) -> dict[tuple[Cell, Round], float]:
        """Of a backlog: events per second, where the model answered; also of one that did not get to the end."""
        return {
            (cell, number): float(run["answered_per_s"])
            for (label, cell), rounds in self._rounds.items()
            if label == contestant and cell.scenario == scenario
            for number, run in rounds.items()
            if _is_of_the_model(run) and run["answered_per_s"] is not None
        }

    def sustained(self, contestant: str) -> dict[Round, float]:
        """By seed and SLO: the highest rate that scenario sustainable found, where it did find one."""
        limits = {key: _limit(runs) for key, runs in self._searches.get(contestant, {}).items()}
        return {key: limit for key, limit in limits.items() if limit is not None}

    def was_run(self, contestant: str, scenario: str) -> bool:
        """Whether there is any run, void or not."""
        return (contestant, scenario) in self._was_run


def by_broker(document: Mapping[str, Any]) -> Iterator[tuple[str, Runs]]:
    """The runs of a file of results, for each kind of broker."""
    for kafka in sorted({run["kafka"] for run in document["runs"]}):
        yield kafka, Runs(run for run in document["runs"] if run["kafka"] == kafka)


def _labels(runs: Sequence[Run]) -> dict[tuple[str, str], str]:
    """By contestant and options: the name, and the options where there are several."""
    found: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        found[run["contestant"]].add(_options(run))
    return {
        (name, options): f"{name} ({options})" if options and len(several) > 1 else name
        for name, several in found.items()
        for options in several
    }


def _options(run: Run) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(run["options"].items()))


def are_comparable(run: Run, other: Run) -> bool:
    """Whether both were sent the same."""
    rate, others = float(run["rate"]), float(other["rate"])
    return abs(rate - others) <= _SAME_RATE * max(rate, others)


def does_all_the_work(run: Run) -> bool:
    """Whether the CPU time of a run is that of the events sent in it: nearly all were scored, and without delay."""
    p99_ms: float | None = run["append_ms"]["p99"]
    return _scores_all(run) and p99_ms is not None and p99_ms <= _WHOLE_P99_MS


def _scores_all(run: Run) -> bool:
    """Whether next to nothing is left to the fallback, or to no one."""
    return bool(_scored(run) >= _WHOLE_SHARE * run["sent"])


def _is_of_the_model(run: Run) -> bool:
    """Whether next to no answer is the fallback's, whose speed is not the model's."""
    return _scored(run) >= _WHOLE_SHARE * (_scored(run) + int(run["counts"]["fallback"]))


def _scored(run: Run) -> int:
    return int(run["counts"]["in_time"] + run["counts"]["late"])


def _cell(run: Run, rates: Mapping[tuple[Any, ...], float]) -> Cell:
    rate = 0.0 if run["load"] is not None else rates[*_setting(run), run["rate"]]
    return Cell(*_setting(run), run["load"], rate)


def _setting(run: Run) -> tuple[str, str, str, int]:
    return run["scenario"], run["model"], run.get("codec", "msgpack"), run["slo_ms"]


def _nominal_rates(runs: Sequence[Run]) -> dict[tuple[Any, ...], float]:
    """By setting and rate: the middle of the rates near it."""
    found: dict[tuple[Any, ...], set[float]] = defaultdict(set)
    for run in runs:
        found[_setting(run)].add(run["rate"])
    nominal: dict[tuple[Any, ...], float] = {}
    for setting, rates in found.items():
        groups: list[list[float]] = []
        for rate in sorted(rates):
            if not groups or rate > _NEAR * groups[-1][-1]:
                groups.append([])
            groups[-1].append(rate)
        nominal |= {(*setting, rate): statistics.median(group) for group in groups for rate in group}
    return nominal


def _limit(runs: Sequence[Run]) -> float | None:
    """The highest rate that was sustained. None where the next higher one says nothing, or there is none: then the
    limit is the search's and not the contestant's."""
    best = max((run["rate"] for run in runs if is_sustained(run)), default=None)
    if best is None:
        return None
    above = min((run for run in runs if run["rate"] > best), key=lambda run: run["rate"], default=None)
    return best if above is not None and above["void"] is None else None
