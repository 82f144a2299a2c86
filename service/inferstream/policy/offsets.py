"""Which offset of a partition may be committed: resolved in any order, committable up to the first gap.

One tracker per partition and assignment; a new assignment gets a new one, so a late result cannot reach it.
"""

from collections import deque
from collections.abc import Container, Sequence


class OffsetTracker:
    """Follows the records taken from one partition in offset order until each one's outcome is acknowledged.

    Compacted topics and transactions leave holes in the offsets, so the tracker counts records, not numbers.
    """

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._committable: int | None = None
        self._advanced = 0
        self.taken = 0
        """Records taken so far."""

    def __len__(self) -> int:
        """Records taken and not yet below the committable offset."""
        return len(self._open)

    def track(self, offsets: Sequence[int]) -> None:
        """Records were taken. Offsets must grow."""
        if self._open and offsets and offsets[0] <= self._open[-1]:
            raise ValueError(f"offset {offsets[0]} taken after {self._open[-1]}")
        self._open.extend(offsets)
        self.taken += len(offsets)

    def resolve(self, offsets: Sequence[int]) -> None:
        """These records' outcomes (and dead letters, where they have one) are acknowledged."""
        opened, done = self._open, self._done
        before, last = len(opened), -1
        for offset in offsets:
            if not opened or offset < opened[0]:
                continue
            if offset == opened[0]:
                last = opened.popleft()
            else:
                done.add(offset)
        while opened and opened[0] in done:
            last = opened.popleft()
            done.remove(last)
        if last >= 0:
            self._committable = last + 1
            self._advanced += before - len(opened)

    @property
    def committable(self) -> int | None:
        """The offset to commit (that of the next record to read), or None while nothing is resolved."""
        return self._committable

    def committable_with(self, ready: Container[int]) -> int | None:
        """What `committable` would be if these records were resolved as well."""
        committable = self._committable
        for offset in self._open:
            if offset not in self._done and offset not in ready:
                break
            committable = offset + 1
        return committable

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
