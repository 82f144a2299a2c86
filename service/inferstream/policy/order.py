"""In which order finished batches leave: within a partition and SLO class as they came in.

Batches run side by side and may finish in any order. A part of a batch (its events of one partition and
class: a lane) leaves once every part before it in its lane has left, unless the one before has a later
deadline: then the earlier deadline overtakes. While deadlines do not decrease, waiting never costs one.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

L = TypeVar("L", bound=Hashable)


class Part(NamedTuple, Generic[L]):
    """The events of one batch in one lane; `deadline` is that of its first event."""

    batch: int
    lane: L
    deadline: float


class EmitOrder(Generic[L]):
    """Parts are admitted when their batch is sent and released when it is done and its turn has come."""

    def __init__(self) -> None:
        self._lanes: dict[L, deque[Part[L]]] = {}
        self._parts: dict[int, list[Part[L]]] = {}
        self._done: set[int] = set()

    def admit(self, batch: int, lanes: Iterable[tuple[L, float]]) -> None:
        """A batch is under way with events in these lanes (lane, deadline of the first event in it)."""
        parts = [Part(batch, lane, deadline) for lane, deadline in lanes]
        self._parts[batch] = parts
        for part in parts:
            self._lanes.setdefault(part.lane, deque()).append(part)

    def complete(self, batch: int) -> list[Part[L]]:
        """The batch is done: the parts, of it and of others, that may leave now, in the order to leave in."""
        self._done.add(batch)
        released: list[Part[L]] = []
        for part in self._parts.pop(batch):
            released.extend(self._release(self._lanes[part.lane]))
            if not self._lanes[part.lane]:
                del self._lanes[part.lane]
        waiting = {part.batch for lane in self._lanes.values() for part in lane}
        self._done &= waiting
        return released

    def _release(self, lane: deque[Part[L]]) -> list[Part[L]]:
        """All parts of a lane that are done and wait only for parts with a later deadline."""
        released = []
        earliest_open = float("inf")
        kept: deque[Part[L]] = deque()
        for part in lane:
            if part.batch in self._done and part.deadline < earliest_open:
                released.append(part)
            else:
                kept.append(part)
                earliest_open = min(earliest_open, part.deadline)
        lane.clear()
        lane.extend(kept)
        return released
