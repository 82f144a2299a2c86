"""What is kept of every budget for the steps after the model, learned from how long they took. Seconds."""

from inferstream.policy.quantile import RecentQuantile

_LEAST, _MOST = 0.002, 1.0
_LEAST_FALLBACK = 0.0005
_SLOW = 0.8  # of the most that is kept else: if half of the acknowledgements take longer, the broker is slow
_MOST_IF_SLOW = 0.8  # of the tightest SLO


class Reserve:
    """What an outcome takes to be acknowledged (p97), and the chain to answer a batch in the process (p90).

    Few events are answered at the last moment, so their tail need not be kept of everybody's time: with the p99 a
    broker's hiccup cost the model a tenth of its capacity (measured). Both stay within what the tightest class can
    spare, half of it and a tenth. Only where the broker is so slow that half is hardly enough for most outcomes, four
    fifths may be kept: then the chain answers nearly all, but in time. To keep a quarter of the SLO at most where the
    model answers scored no more at 20 ms, and cost a point in time at 50 ms while versions were switched (measured).
    The p90 lets the model score more at 20 ms, and at 50 ms only makes it late more often (measured).
    `fixed` overrules what is kept for the acknowledgement.
    """

    def __init__(self, tightest_slo: float, fixed: float | None = None) -> None:
        self._most, self._most_fallback = min(_MOST, tightest_slo / 2), tightest_slo / 10
        self._most_if_slow = _MOST_IF_SLOW * tightest_slo
        self._fixed = fixed
        self._emit = RecentQuantile(0.97, min(0.01, tightest_slo / 4))
        self._fallback = RecentQuantile(0.9, 0.002)
        self.emit = self._kept_for_emit()
        """Seconds to keep for the acknowledgement."""
        self.fallback = self._kept_for_fallback()
        """Seconds to keep for the chain."""

    def acknowledged(self, seconds: float) -> None:
        """An outcome took so long from emit to acknowledgement."""
        self._emit.observe(seconds)
        self.emit = self._kept_for_emit()

    def fell_back(self, seconds: float) -> None:
        """The chain took so long for a batch."""
        self._fallback.observe(seconds)
        self.fallback = self._kept_for_fallback()

    def _kept_for_emit(self) -> float:
        if self._fixed is not None:
            return self._fixed
        is_slow = self._emit.at(0.5) > _SLOW * self._most
        return min(max(self._emit.value, _LEAST), self._most_if_slow if is_slow else self._most)

    def _kept_for_fallback(self) -> float:
        return min(max(self._fallback.value, _LEAST_FALLBACK), self._most_fallback)
