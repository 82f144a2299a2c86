"""What is kept of every budget for the steps after the model, learned from how long they took. Seconds."""

from bisect import bisect_left, insort
from collections import deque

_WINDOW = 256
_LEAST, _MOST = 0.002, 1.0
_LEAST_FALLBACK = 0.0005


class RecentQuantile:
    """A quantile of the last values: exact, so it rises within a few of them and falls when they are forgotten."""

    def __init__(self, quantile: float, start: float, window: int = _WINDOW) -> None:
        self._quantile = quantile
        self._recent = deque([start] * (window // 4), maxlen=window)  # the guess is forgotten like anything else
        self._sorted = list(self._recent)

    @property
    def value(self) -> float:
        return self._sorted[int(self._quantile * (len(self._sorted) - 1))]

    def observe(self, value: float) -> None:
        if len(self._recent) == self._recent.maxlen:
            del self._sorted[bisect_left(self._sorted, self._recent[0])]
        self._recent.append(value)
        insort(self._sorted, value)


class Reserve:
    """The p99 of both steps: the chain answering a batch in the process, and an outcome being acknowledged.

    What is kept for the acknowledgement stays within what the tightest class can spare; `fixed` overrules it.
    """

    def __init__(self, tightest_slo: float, fixed: float | None = None) -> None:
        self._most = min(_MOST, tightest_slo / 2)
        self._fixed = fixed
        self._emit = RecentQuantile(0.99, min(0.01, self._most))
        self._fallback = RecentQuantile(0.99, 0.002)

    @property
    def emit(self) -> float:
        """Seconds to keep for the acknowledgement."""
        return self._fixed if self._fixed is not None else min(max(self._emit.value, _LEAST), self._most)

    @property
    def fallback(self) -> float:
        """Seconds to keep for the chain."""
        return max(self._fallback.value, _LEAST_FALLBACK)

    def acknowledged(self, seconds: float) -> None:
        """An outcome took so long from emit to acknowledgement."""
        self._emit.observe(seconds)

    def fell_back(self, seconds: float) -> None:
        """The chain took so long for a batch."""
        self._fallback.observe(seconds)
