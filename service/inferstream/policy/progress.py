"""Whether a partition stands still for no reason that is known: then only a restart helps.

Sans-IO; instants are seconds of one clock. A partition owes something while records wait on the broker or were taken
and have no outcome yet. It may stand still for long without a fault of ours: the broker is away, acknowledgements are
pending, it is held. Anything else that lasts is a defect, ours or the client library's.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Seen(NamedTuple):
    """One partition under one assignment, at one look."""

    epoch: int
    behind: int
    """Records on the broker that were not taken yet."""
    taken: int
    """Records taken under this assignment so far."""
    unsettled: int
    """Of these, how many have no acknowledged outcome."""
    is_excused: bool
    """It may stand still: it is held, or waits for the broker."""


class Progress:
    """The partitions of one pipeline. `patience` is how long (seconds) one may stand still."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: dict[int, tuple[Seen, float]] = {}

    def look(self, partitions: Mapping[int, Seen], now: float) -> str | None:
        """What is seen now. The reason why we are stuck, or None."""
        self._last = {
            number: (seen, since if self._stands_still(number, seen) else now)
            for number, seen in partitions.items()
            for since in [self._last.get(number, (seen, now))[1]]
        }
        for number, (seen, since) in self._last.items():
            if now - since > self._patience:
                return (
                    f"partition {number} stands still for {now - since:.0f} s: "
                    f"{seen.behind} records behind, {seen.unsettled} taken and not answered"
                )
        return None

    def excuse_all(self) -> None:
        """Nothing can be said now: the broker does not answer."""
        self._last = {}

    def _stands_still(self, number: int, seen: Seen) -> bool:
        before = self._last[number][0] if number in self._last else None
        if before is None or seen.is_excused or not (seen.behind or seen.unsettled):
            return False
        return (before.epoch, before.taken, before.unsettled) == (seen.epoch, seen.taken, seen.unsettled)
