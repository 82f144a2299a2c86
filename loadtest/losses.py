"""What we lose: every figure in which a peer is better than the service. Pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from loadtest.cells import SERVICE, SUSTAINABLE, THROUGHPUT, Cell, Runs, Spread, does_all_the_work
from loadtest.result import Run

_ANSWERED_SHARE = 0.99


class Loss(NamedTuple):
    """Both figures, over the rounds that both have."""

    peer: str
    where: str
    metric: str
    ours: Spread
    theirs: Spread

    def ranges(self) -> str:
        """Whether it may be chance."""
        if self.ours.rounds == 1:
            return "one run"
        is_apart = self.ours.low > self.theirs.high or self.ours.high < self.theirs.low
        return "apart" if is_apart else "overlap"


class _Metric(NamedTuple):
    name: str
    sign: int
    """1 where more is better."""
    value: Callable[[Run], float | None]
    """None where the run says nothing about it."""


def _latency(percentile: str) -> Callable[[Run], float | None]:
    """Where much is unanswered, the latency of the rest is no merit."""

    def value(run: Run) -> float | None:
        counts = run["counts"]
        answered = counts["in_time"] + counts["late"] + counts["fallback"]
        found: float | None = run["append_ms"][percentile]
        return found if answered >= _ANSWERED_SHARE * run["sent"] else None

    return value


def _cpu_us(run: Run) -> float | None:
    found: float | None = run["cpu_us_per_event"].get("contestant")
    return found if does_all_the_work(run) else None


_METRICS = (
    _Metric("goodput, events/s", 1, lambda run: float(run["goodput_per_s"])),
    _Metric("p50, ms", -1, _latency("p50")),
    _Metric("p99, ms", -1, _latency("p99")),
    _Metric("CPU, µs/event", -1, _cpu_us),
)


def find(runs: Runs) -> list[Loss]:
    """All of them, of a peer together."""
    return [loss for peer in runs.peers for loss in (*_at_all_cells(runs, peer), *_in_throughput(runs, peer))]


def compared(runs: Runs) -> list[str]:
    """The peers of which anything can be compared."""
    return [
        peer
        for peer in runs.peers
        if any(runs.pairs(SERVICE, peer, cell) for cell in runs.cells)
        or runs.throughputs(SERVICE).keys() & runs.throughputs(peer).keys()
        or runs.sustained(SERVICE).keys() & runs.sustained(peer).keys()
    ]


def _at_all_cells(runs: Runs, peer: str) -> Iterator[Loss]:
    for cell in runs.cells:
        for metric in _METRICS:
            yield from _at(runs, peer, cell, metric)


def _at(runs: Runs, peer: str, cell: Cell, metric: _Metric) -> Iterator[Loss]:
    pairs = [(metric.value(ours), metric.value(theirs)) for ours, theirs in runs.pairs(SERVICE, peer, cell)]
    known = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    yield from _compared(peer, cell.words(), metric.name, metric.sign, known)


def _in_throughput(runs: Runs, peer: str) -> Iterator[Loss]:
    most, mosts = runs.throughputs(SERVICE), runs.throughputs(peer)
    both = [(most[key], mosts[key]) for key in most if key in mosts]
    yield from _compared(peer, THROUGHPUT, "throughput, events/s", 1, both)
    ours, theirs = runs.sustained(SERVICE), runs.sustained(peer)
    both = [(ours[key], theirs[key]) for key in ours if key in theirs]
    yield from _compared(peer, SUSTAINABLE, "highest sustained rate, events/s", 1, both)


def _compared(peer: str, where: str, metric: str, sign: int, both: list[tuple[float, float]]) -> Iterator[Loss]:
    """A loss, if it is one."""
    if both:
        ours, theirs = (Spread.of(values) for values in zip(*both, strict=True))
        if sign * theirs.median > sign * ours.median:
            yield Loss(peer, where, metric, ours, theirs)
