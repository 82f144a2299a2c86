"""The last events that were not scored in time, for people to look at: where each was and where its time went.

Counters say how many; this says what one of them was like. Nothing of what an event says is kept.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

KEPT = 12
"""Of those that were late, and as many again of those in time."""

_PAUSE_SECONDS = 0.25  # between two that are kept: at an overload thousands miss each second


class Miss(msgspec.Struct, frozen=True):
    """An event whose outcome was late, or not the model's. `late_ms` is how late at its acknowledgement; 0: in time."""

    at_ms: int
    pipeline: str
    slo_class: str
    partition: int
    offset: int
    outcome: str
    cause: str
    late_ms: float
    fetch_us: int
    queue_us: int
    infer_us: int
    emit_us: int


class Misses:
    """A bounded ring. Keeps nothing until told to, since nobody may ever look."""

    def __init__(self) -> None:
        self._next_at = {True: float("inf"), False: float("inf")}
        self._kept: dict[bool, deque[Miss]] = {True: deque(maxlen=KEPT), False: deque(maxlen=KEPT)}

    def keep(self) -> None:
        """Begin to keep some."""
        self._next_at = {True: 0.0, False: 0.0}

    def wants(self, is_late: bool, now: float) -> bool:
        """Whether one would be kept at this instant (monotonic seconds). Those in time do not push out the late."""
        return now >= self._next_at[is_late]

    def add(self, miss: Miss, now: float) -> None:
        """Keep this one, and the next one of its kind only after a pause."""
        is_late = miss.late_ms > 0
        self._next_at[is_late] = now + _PAUSE_SECONDS
        self._kept[is_late].append(miss)

    def last(self) -> tuple[Miss, ...]:
        """Those that are kept, in no order."""
        return (*self._kept[True], *self._kept[False])


def newest(misses: Iterable[Miss]) -> list[Miss]:
    """Of those of several processes as many as of one, newest first."""
    by_age = sorted(misses, key=lambda miss: miss.at_ms, reverse=True)
    kept = [[miss for miss in by_age if (miss.late_ms > 0) is is_late][:KEPT] for is_late in (True, False)]
    return sorted((miss for each in kept for miss in each), key=lambda miss: miss.at_ms, reverse=True)
