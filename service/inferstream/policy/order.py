"""In which order answered events leave: within a lane (a partition's events of one SLO class) as they came in.

Events are answered in any order: calls run side by side, and what the model cannot make is answered at once. An
event leaves when all before it in its lane have left, or have a later deadline: then it overtakes them. While
deadlines do not decrease, waiting for a predecessor never costs one.
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class Ordered(Protocol):
    """What the order looks at."""

    @property
    def lane(self) -> tuple[int, int, str]: ...
    @property
    def deadline(self) -> float: ...
    @property
    def is_answered(self) -> bool: ...


E = TypeVar("E", bound=Ordered)


class EmitOrder(Generic[E]):
    """Events are admitted when they come and released when they are answered and their turn has come."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[int, int, str], _Lane[E]] = {}

    def admit(self, events: Iterable[E]) -> None:
        """Events came in, in this order."""
        key = None
        for event in events:
            if event.lane is not key:
                key = event.lane
                if key not in self._lanes:
                    self._lanes[key] = _Lane()
                lane = self._lanes[key]
            lane.admit(event)

    def release(self, answered: Iterable[E]) -> list[list[E]]:
        """These are answered now: what may leave, lane by lane, each in order. Events of lanes that went do not."""
        key, keys = None, []
        for event in answered:
            if event.lane is not key:
                key = event.lane
                keys.append(key)
        lanes = [self._lanes[key] for key in dict.fromkeys(keys) if key in self._lanes]
        return [released for lane in lanes if (released := lane.release())]

    def drop_partitions(self, partitions: set[int]) -> None:
        """These partitions are somebody else's; what is under way in them does not leave."""
        self._lanes = {key: lane for key, lane in self._lanes.items() if key[0] not in partitions}


class _Lane(Generic[E]):
    def __init__(self) -> None:
        self._open: deque[E] = deque()
        self._latest = float("-inf")
        self._overtaking = 0  # events in here with an earlier deadline than one before them

    def admit(self, event: E) -> None:
        if event.deadline < self._latest:
            self._overtaking += 1
        else:
            self._latest = event.deadline
        self._open.append(event)

    def release(self) -> list[E]:
        opened, released = self._open, []
        while opened and opened[0].is_answered:
            released.append(opened.popleft())
        if not opened:
            self._latest, self._overtaking = float("-inf"), 0
        elif self._overtaking:
            released += self._overtakers()
        return released

    def _overtakers(self) -> list[E]:
        """Those answered that wait only for events with a later deadline."""
        released: list[E] = []
        opened, self._open = self._open, deque()
        self._latest, self._overtaking = float("-inf"), 0
        earliest_open = float("inf")
        for event in opened:
            if event.is_answered and event.deadline < earliest_open:
                released.append(event)
            else:
                self.admit(event)
                earliest_open = min(earliest_open, event.deadline)
        return released
