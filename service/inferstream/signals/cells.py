"""The arrays the hot path writes to, each a cell of a family; and what exporters read of them."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar


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
    """A number that only grows: added to, or read from a function when exported."""

    __slots__ = ("read", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.read: Callable[[], float] | None = None

    def add(self, n: float = 1) -> None:
        self.value += n

    def samples(self, labels: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
        yield Sample("_total", labels, self.read() if self.read else self.value)


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

    def within(self, bound: float) -> int:
        """How many were at most this, which is one of the bounds."""
        return sum(self.counts[: self.bounds.index(bound) + 1])

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

    def drop(self, *values: str) -> None:
        """Show the cell of these label values no longer."""
        self._cells.pop(values, None)

    def samples(self) -> Iterator[Sample]:
        for values, cell in list(self._cells.items()):
            yield from cell.samples(tuple(zip(self.labels, values, strict=True)))

    def total(self, **labels: str) -> float:
        """Sum over the cells with these label values (histograms: their counts)."""
        wanted = set(labels.items())
        return sum(s.value for s in self.samples() if s.suffix in ("_total", "", "_count") and wanted <= set(s.labels))
