"""How long partitions were not answered, from what came when. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from loadtest.account import Books

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
LEAST_MS = 250.0
"""A shorter wait is no silence: outcomes of a partition leave in batches."""


class Silence(NamedTuple):
    """A partition had events waiting and no outcome of it came. Unix times."""

    partition: int
    began_ms: float
    ended_ms: float

    @property
    def seconds(self) -> float:
        return (self.ended_ms - self.began_ms) / 1000


class Window(NamedTuple):
    """From the moment a pod was told to end until the next one was, or until all was quiet again. Unix times."""

    pod: str
    began_ms: float
    ended_ms: float


class Cost(NamedTuple):
    """What one window cost the partition that suffered most."""

    pod: str
    longest_seconds: float
    summed_seconds: float


def silences(sent_ms: Floats, answered_ms: Floats, partitions: Ints) -> list[Silence]:
    """Of all partitions; times of events that were never answered are NaN, which is a silence without end."""
    found: list[Silence] = []
    for partition in np.unique(partitions).tolist():
        mine = partitions == partition
        came = np.where(np.isnan(answered_ms[mine]), np.inf, answered_ms[mine])
        order = np.argsort(came, kind="stable")
        came, oldest = came[order], np.minimum.accumulate(sent_ms[mine][order][::-1])[::-1]
        before = np.concatenate([[-np.inf], came[:-1]])
        began = np.maximum(before, oldest)
        rows = np.flatnonzero(came - began >= LEAST_MS)
        found += [Silence(partition, float(began[row]), float(came[row])) for row in rows]
    return found


def cost(window: Window, found: Sequence[Silence]) -> Cost:
    """Of the silences that began in the window."""
    mine = [each for each in found if window.began_ms <= each.began_ms < window.ended_ms]
    sums: dict[int, float] = {}
    for each in mine:
        sums[each.partition] = sums.get(each.partition, 0.0) + each.seconds
    return Cost(window.pod, max((each.seconds for each in mine), default=0.0), max(sums.values(), default=0.0))


def waited(sent_ms: Floats, answered_ms: Floats, partitions: Ints, found: Sequence[Silence]) -> Flags:
    """Which events waited through one of these silences."""
    through = np.zeros(len(sent_ms), np.bool_)
    for each in found:
        is_waiting = (sent_ms <= each.ended_ms) & ~(answered_ms < each.ended_ms)
        through |= (partitions == each.partition) & is_waiting
    return through


def times(books: Books) -> tuple[Floats, Floats]:
    """When each event was sent and answered, unix ms; NaN: never."""
    sent_ms = books.intended_ns / 1e6
    return sent_ms, sent_ms + books.append_ms
