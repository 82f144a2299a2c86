"""How much of every budget is kept for the outcome to be acknowledged: learned from the acknowledgements."""

from inferstream.policy.latency import Quantile

_LEAST, _MOST = 0.002, 1.0


class EmitReserve:
    """The p99 of the time from emit to acknowledgement, within what the tightest class can spare.

    `fixed` overrules it. Seconds.
    """

    def __init__(self, tightest_slo: float, fixed: float | None = None) -> None:
        self._most = min(_MOST, tightest_slo / 2)
        self._fixed = fixed
        start = min(0.01, self._most)
        self._acknowledged = Quantile(0.99, start, start / 2)

    @property
    def seconds(self) -> float:
        """What to keep now."""
        return self._fixed if self._fixed is not None else self._acknowledged.value

    def observe(self, seconds: float) -> None:
        """An outcome took so long to be acknowledged."""
        self._acknowledged.observe(seconds)
        self._acknowledged.value = min(max(self._acknowledged.value, _LEAST), self._most)
