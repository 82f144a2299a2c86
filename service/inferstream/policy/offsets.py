"""Which offset of a partition may be committed: resolved in any order, committable up to the first gap.

One tracker per partition and assignment; a new assignment gets a new one, so a late result cannot reach it.
"""

from collections import deque
from collections.abc import Container, Sequence
from typing import NamedTuple

_MOST_DONE = 4_096  # resolved records behind one that is not, before they are kept as runs


class _Run(NamedTuple):
    """Resolved records that follow one that is not: the offset after the last of them, and how many they are."""

    end: int
    records: int


class OffsetTracker:
    """Follows the records taken from one partition in offset order until each one's outcome is acknowledged.

    Compacted topics and transactions leave holes in the offsets, so the tracker counts records, not numbers. What one
    record with a day's time holds back is kept as runs: memory goes by what is unresolved, not by what came since.
    """

    def __init__(self, most_done: int = _MOST_DONE) -> None:
        self._most_done = most_done
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._runs: dict[int, _Run] = {}
        self._left: set[int] = set()
        self._left_in_order: deque[int] = deque()
        self._last_run_ends = -1
        self._last = -1
        self._committable: int | None = None
        self._advanced = 0
        self.taken = 0
        """Records taken so far."""

    def track(self, offsets: Sequence[int]) -> None:
        """Records were taken. Offsets must grow."""
        if not offsets:
            return
        if self._open and offsets[0] <= self._last:
            raise ValueError(f"offset {offsets[0]} taken after {self._last}")
        self._last = offsets[-1]
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
            elif offset >= self._last_run_ends or offset in self._left:
                done.add(offset)
        while opened and opened[0] in done:
            last = opened.popleft()
            done.remove(last)
        if last >= 0:
            self._committable = last + 1
            self._advanced += before - len(opened)
            if self._left:
                self._pass_runs(last)
        if len(done) >= self._most_done:
            self._make_runs()

    def _pass_runs(self, last: int) -> None:
        """Of records up to this one, which were resolved after what follows them."""
        while self._left_in_order and self._left_in_order[0] <= last:
            offset = self._left_in_order.popleft()
            self._left.remove(offset)
            run = self._runs.pop(offset, None)
            if run is not None:
                self._advanced += run.records
                if offset == last:
                    self._committable = run.end

    def _make_runs(self) -> None:
        """Forget the offsets of what is resolved."""
        unresolved, runs, done = deque[int](), self._runs, self._done
        begin, end, records = -1, -1, 0
        for offset in self._open:  # the first is never done
            if offset in done:
                end, records = offset + 1, records + 1
                if offset in runs:
                    own = runs.pop(offset)
                    end, records = own.end, records + own.records
                continue
            if records:
                runs[begin] = _Run(end, records)
            own = runs.get(offset, _Run(offset + 1, 0))
            begin, end, records = offset, own.end, own.records
            unresolved.append(offset)
        if records:
            runs[begin] = _Run(end, records)
        self._open, self._left, self._left_in_order = unresolved, set(unresolved), deque(unresolved)
        self._last_run_ends = self._last + 1
        done.clear()

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
            committable = self._runs[offset].end if offset in self._runs else offset + 1
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
