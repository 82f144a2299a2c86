"""Which offset of a partition may be committed: resolved in any order, committable up to the first gap.

One tracker per partition and assignment; a new assignment gets a new one, so a late result cannot reach it.
"""

from collections import deque


class OffsetTracker:
    """Follows the records taken from one partition in offset order until each one's outcome is acknowledged.

    Compacted topics and transactions leave holes in the offsets, so the tracker counts records, not numbers.
    """

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._committable: int | None = None
        self._advanced = 0

    def __len__(self) -> int:
        """Records taken and not yet below the committable offset."""
        return len(self._open)

    def track(self, offset: int) -> None:
        """A record was taken. Offsets must grow."""
        if self._open and offset <= self._open[-1]:
            raise ValueError(f"offset {offset} taken after {self._open[-1]}")
        self._open.append(offset)

    def resolve(self, offset: int) -> None:
        """The record's outcome (and its dead letter, if it has one) is acknowledged."""
        if not self._open or offset < self._open[0]:
            return
        if offset != self._open[0]:
            self._done.add(offset)
            return
        opened, done = self._open, self._done
        last = opened.popleft()
        advanced = 1
        while opened and opened[0] in done:
            last = opened.popleft()
            done.remove(last)
            advanced += 1
        self._committable = last + 1
        self._advanced += advanced

    @property
    def committable(self) -> int | None:
        """The offset to commit (that of the next record to read), or None while nothing is resolved."""
        return self._committable

    def take_advanced(self) -> int:
        """Records the committable offset passed since this was last asked."""
        advanced, self._advanced = self._advanced, 0
        return advanced

    @property
    def unsettled(self) -> int:
        """Records taken and not resolved."""
        return len(self._open) - len(self._done)

    @property
    def is_drained(self) -> bool:
        """Every record taken is resolved."""
        return not self._open
