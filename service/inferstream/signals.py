"""The catalogue of everything the service counts and times, and the arrays the hot path writes to.

The data path binds its cells once (`signals.outcomes.cell("fraud", "scored")`) and then only adds to them;
exporters read `families()`. Label values are closed sets from the settings or an enum, never data.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

STAGES = ("consume", "decode", "batch", "infer", "decide", "emit", "commit")

SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
_SLO_PARTS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.5, 2.0, 4.0)


class Sample(NamedTuple):
    """One value of a family: suffix of its name (`_total`, `_bucket`, …), labels, value."""

    suffix: str
    labels: tuple[tuple[str, str], ...]
    value: float


Merge = Literal["sum", "max", "min"]
"""How one value is made of those of several processes."""


class Reading(NamedTuple):
    """A family's values at one moment."""

    kind: str
    name: str
    help: str
    merge: Merge
    samples: tuple[Sample, ...]


Snapshot = tuple[Reading, ...]
"""All families at one moment, in the catalogue's order."""


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, n: int = 1) -> None:
        self.value += n

    def samples(self, labels: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
        yield Sample("_total", labels, self.value)


class Level:
    """A number that goes up and down: set, or read from a function when exported."""

    __slots__ = ("read", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.read: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        self.value = value

    def samples(self, labels: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
        yield Sample("", labels, float(self.read() if self.read else self.value))


class Distribution:
    """Counts per bucket; a value on a bound belongs to the bucket that ends there."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, n: int = 1) -> None:
        """`n` events took `value` each."""
        self.counts[bisect_left(self.bounds, value)] += n
        self.sum += value * n

    def observe_each(self, values: Sequence[float]) -> None:
        """Each event took its own value. Those of one batch are mostly in one bucket, which costs one look."""
        lowest, highest = bisect_left(self.bounds, min(values)), bisect_left(self.bounds, max(values))
        if lowest == highest:
            self.counts[lowest] += len(values)
        else:
            for value in values:
                self.counts[bisect_left(self.bounds, value, lowest, highest)] += 1
        self.sum += sum(values)

    def samples(self, labels: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
        running = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            le = "+Inf" if bound == float("inf") else repr(float(bound))
            yield Sample("_bucket", (*labels, ("le", le)), running)
        yield Sample("_count", labels, running)
        yield Sample("_sum", labels, self.sum)


C = TypeVar("C", Count, Level, Distribution)


class Family(Generic[C]):
    """One metric of the catalogue with a cell per set of label values."""

    def __init__(
        self,
        kind: str,
        name: str,
        help_text: str,
        labels: Sequence[str],
        make: Callable[[], C],
        merge: Merge = "sum",
    ) -> None:
        self.kind = kind
        self.name = name
        self.help = help_text
        self.labels = tuple(labels)
        self.merge: Merge = merge
        self._make: Callable[[], C] = make
        self._cells: dict[tuple[str, ...], C] = {}

    def cell(self, *values: str, make: Callable[[], C] | None = None) -> C:
        """The cell of these label values; made once, then only written to."""
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has labels {self.labels}, got {values}")
        if values not in self._cells:
            self._cells[values] = (make or self._make)()
        return self._cells[values]

    def samples(self) -> Iterator[Sample]:
        for values, cell in list(self._cells.items()):
            yield from cell.samples(tuple(zip(self.labels, values, strict=True)))

    def total(self, **labels: str) -> float:
        """Sum over the cells with these label values (histograms: their counts)."""
        wanted = set(labels.items())
        return sum(s.value for s in self.samples() if s.suffix in ("_total", "", "_count") and wanted <= set(s.labels))


def slo_bounds(slo_seconds: float) -> tuple[float, ...]:
    """Latency buckets for a class: one bound is the SLO itself, so the share within it is exact."""
    return tuple(sorted({*(round(part * slo_seconds, 9) for part in _SLO_PARTS), *SECONDS}))


class Signals:
    """All families. One object per process, made by the composition root and handed to who writes to it."""

    def __init__(self) -> None:
        self._families: list[Family[Count] | Family[Level] | Family[Distribution]] = []
        pipeline = ("pipeline",)
        self.records = self._count("records", "records taken from the input topic", pipeline)
        self.lost_offsets = self._count("lost_offsets", "offsets gone from the topic before they were read", pipeline)
        self.skipped = self._count("skipped", "records that get no outcome by the settings (tombstones)", pipeline)
        self.outcomes = self._count(
            "outcomes", "outcomes acknowledged by the broker", ("pipeline", "slo_class", "outcome")
        )
        self.in_time = self._count(
            "outcomes_in_time",
            "outcomes acknowledged by their deadline",
            ("pipeline", "slo_class", "outcome"),
        )
        self.causes = self._count("causes", "outcomes that the model did not give, by cause", ("pipeline", "cause"))
        self.bad_headers = self._count(
            "bad_headers", "header values and timestamps that make no sense", ("pipeline", "header")
        )
        self.committed = self._count("committed", "records whose offsets were committed", pipeline)
        self.commit_errors = self._count("commit_errors", "commits the broker refused or left unanswered", pipeline)
        self.produce_errors = self._count("produce_errors", "produce requests that failed for good", pipeline)
        self.quarantines = self._count("quarantines", "times a partition was held for too much poison", pipeline)
        self.producers_replaced = self._count(
            "producers_replaced",
            "producers given up for a new one, which sent everything unacknowledged again",
            ("reason",),
        )
        self.rebalances = self._count("rebalances", "partitions assigned", pipeline)
        self.batches = self._count("batches", "calls to the model by result", ("pipeline", "result"))
        self.retries = self._count("retries", "events sent to the model once more after a failed call", pipeline)
        self.batch_rows = self._distribution("batch_rows", "rows of a call to the model", pipeline, ROWS)
        self.stage = self._distribution("stage_seconds", "time per event in a stage", ("pipeline", "stage"), SECONDS)
        self.latency = self._distribution(
            "latency_seconds", "record timestamp to acknowledged outcome", ("pipeline", "slo_class"), SECONDS
        )
        self.queued = self._level("queued_events", "events waiting for a batch", pipeline)
        self.in_flight = self._level("in_flight_batches", "calls to the model under way", pipeline)
        self.behind = self._level("behind_records", "records of our partitions that were not taken yet", pipeline)
        self.kept = self._level(
            "kept_seconds", "kept of every budget for the step after the model", ("pipeline", "step"), "max"
        )
        self.safety = self._level(
            "batch_safety_ratio", "what a batch is planned with over what it takes on average", pipeline, "max"
        )
        self.unsettled = self._level("unsettled_events", "events taken whose outcome is not acknowledged", pipeline)
        self.quarantined = self._level(
            "quarantined_partitions", "partitions this process holds for too much poison", pipeline
        )
        self.partitions = self._level("assigned_partitions", "partitions this process owns", pipeline)
        self.model_ready = self._level(
            "model_ready", "1 while calls go to the model at this endpoint", ("pipeline", "model", "endpoint"), "min"
        )
        self.loop_lag = self._level(
            "loop_lag_seconds", "worst lateness of the event loop in the last second", (), "max"
        )
        self.build = self._level("build_info", "always 1; the version is a label", ("version",), "max")
        self.ready_workers = self._level("ready_workers", "worker processes that are ready, of `run --workers`", ())
        self.worker_restarts = self._count("worker_restarts", "workers started again, by why", ("why",))

    def families(self) -> Sequence[Family[Count] | Family[Level] | Family[Distribution]]:
        """The catalogue in its order."""
        return self._families

    def snapshot(self) -> Snapshot:
        """Every value now."""
        return tuple(Reading(f.kind, f.name, f.help, f.merge, tuple(f.samples())) for f in self._families)

    def _count(self, name: str, help_text: str, labels: Sequence[str]) -> Family[Count]:
        return self._add(Family("counter", f"inferstream_{name}", help_text, labels, Count))

    def _level(self, name: str, help_text: str, labels: Sequence[str], merge: Merge = "sum") -> Family[Level]:
        return self._add(Family("gauge", f"inferstream_{name}", help_text, labels, Level, merge))

    def _distribution(
        self, name: str, help_text: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> Family[Distribution]:
        return self._add(Family("histogram", f"inferstream_{name}", help_text, labels, lambda: Distribution(bounds)))

    def _add(self, family: Family[C]) -> Family[C]:
        self._families.append(family)
        return family
