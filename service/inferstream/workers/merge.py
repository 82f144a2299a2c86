"""One snapshot of those of several processes."""

from collections.abc import Callable, Iterable

from inferstream.signals import Merge, Reading, Sample, Snapshot

_LASTING = ("counter", "histogram")


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Of processes side by side: each family as the catalogue says, which is sum, largest or smallest."""
    return _merged(snapshots, lambda reading: reading.merge)


def succeeding(before: Snapshot, now: Snapshot) -> Snapshot:
    """Of a process and those that were in its place before it: all that was counted adds up."""
    return _merged([lasting(before), now], lambda reading: "sum" if reading.kind in _LASTING else reading.merge)


def _merged(snapshots: Iterable[Snapshot], how: Callable[[Reading], Merge]) -> Snapshot:
    families: dict[str, Reading] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for snapshot in snapshots:
        for reading in snapshot:
            families.setdefault(reading.name, reading)
            cells = values.setdefault(reading.name, {})
            for suffix, labels, value in reading.samples:
                key = suffix, labels
                cells[key] = _both(how(reading), cells[key], value) if key in cells else value
    return tuple(
        reading._replace(samples=tuple(Sample(*key, value) for key, value in values[name].items()))
        for name, reading in families.items()
    )


def lasting(snapshot: Snapshot) -> Snapshot:
    """What stays true of a process that has ended: what it counted, not how full it was."""
    return tuple(reading for reading in snapshot if reading.kind in _LASTING)


def _both(how: Merge, one: float, other: float) -> float:
    if how == "sum":
        return one + other
    return max(one, other) if how == "max" else min(one, other)
