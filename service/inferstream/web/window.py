"""Two snapshots, some seconds apart: rates, means and quantiles of what happened between them."""

from collections.abc import Mapping

from inferstream.signals import Snapshot

_LAST = float("inf")

Cells = list[tuple[Mapping[str, str], float]]


class Values:
    """The values of a snapshot by name, without the prefix of all names; those of each pipeline apart."""

    def __init__(self, at_seconds: float, snapshot: Snapshot) -> None:
        self.at_seconds = at_seconds
        self._cells: dict[tuple[str, str, str], Cells] = {}
        for reading in snapshot:
            name = reading.name.removeprefix("inferstream_")
            for suffix, labels, value in reading.samples:
                own = dict(labels)
                self._cells.setdefault((own.get("pipeline", ""), name, suffix), []).append((own, value))

    def cells(self, name: str, suffix: str = "", pipeline: str = "", **labels: str) -> Cells:
        """Labels and value of each sample with these labels."""
        found = self._cells.get((pipeline, name, suffix), [])
        wanted = labels.items()
        return [cell for cell in found if wanted <= cell[0].items()] if labels else found

    def total(self, name: str, suffix: str = "_total", **labels: str) -> float:
        """Their sum."""
        return sum(value for _, value in self.cells(name, suffix, **labels))

    def highest(self, name: str, **labels: str) -> float:
        """The largest of a gauge; 0 if there is none."""
        return max((value for _, value in self.cells(name, **labels)), default=0.0)


class Window:
    """From an older snapshot, if there is one, to the newest. What cannot be told is None."""

    def __init__(self, new: Values, old: Values | None) -> None:
        self.new = new
        self._old = old
        self.seconds = 0.0 if old is None else new.at_seconds - old.at_seconds

    def grown(self, name: str, suffix: str = "_total", **labels: str) -> float:
        """By how much; 0 if unknown. A process that began anew has not shrunk."""
        if self._old is None:
            return 0.0
        return max(0.0, self.new.total(name, suffix, **labels) - self._old.total(name, suffix, **labels))

    def per_second(self, name: str, **labels: str) -> float | None:
        """Rate of a counter."""
        return self.grown(name, **labels) / self.seconds if self.seconds > 0 else None

    def share(self, part: str, whole: str, **labels: str) -> float | None:
        """Of what happened, `part` over `whole`; `part` is a counter with the label `indicator` as well."""
        all_of_it = self.grown(whole, **labels)
        return self.grown(part, indicator="answered", **labels) / all_of_it if all_of_it else None

    def mean(self, name: str, **labels: str) -> float | None:
        """Mean of a histogram, in its unit."""
        count = self.grown(name, "_count", **labels)
        return self.grown(name, "_sum", **labels) / count if count else None

    def quantile(self, name: str, q: float, **labels: str) -> float | None:
        """Of a histogram, in its unit, straight lines between its bounds; the last bound for what lies beyond."""
        up_to = sorted((float(own["le"]), value) for own, value in self._buckets(name, **labels))
        if not up_to or not up_to[-1][1]:
            return None
        wanted, low, below = q * up_to[-1][1], 0.0, 0.0
        for bound, count in up_to:
            if count >= wanted and count > below:
                return low if bound == _LAST else low + (bound - low) * (wanted - below) / (count - below)
            low, below = bound, count
        return low

    def _buckets(self, name: str, **labels: str) -> Cells:
        if self._old is None:
            return []
        before = {own["le"]: value for own, value in self._old.cells(name, "_bucket", **labels)}
        return [
            (own, max(0.0, value - before.get(own["le"], 0.0)))
            for own, value in self.new.cells(name, "_bucket", **labels)
        ]
