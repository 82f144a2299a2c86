"""A quantile of what was seen lately."""

from bisect import bisect_left, insort
from collections import deque

_WINDOW = 256


class RecentQuantile:
    """A quantile of the last values: exact, so it rises within a few of them and falls when they are forgotten."""

    def __init__(self, quantile: float, start: float, window: int = _WINDOW) -> None:
        self._quantile = quantile
        self._recent = deque([start] * (window // 4), maxlen=window)
        self._guesses = len(self._recent)  # one goes with each value, so that those do not wait for a whole window
        self._sorted = list(self._recent)

    @property
    def value(self) -> float:
        return self.at(self._quantile)

    def at(self, quantile: float) -> float:
        """Another quantile of the same values."""
        return self._sorted[int(quantile * (len(self._sorted) - 1))]

    def observe(self, value: float) -> None:
        if self._guesses or len(self._recent) == self._recent.maxlen:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
            self._guesses = max(0, self._guesses - 1)
        self._recent.append(value)
        insort(self._sorted, value)
