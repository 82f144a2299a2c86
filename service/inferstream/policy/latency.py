"""How long a backend takes for a batch, learned from every one it answers.

L(rows) = correction * (alpha + beta * rows). Alpha and beta are a decayed least-squares fit; the correction follows
the last answers, so that a backend that turns slow is believed within a few batches. What is planned with is the
estimate: L times a safety factor that follows the p99 of what answers took over what was expected of them. An
estimate that is too high costs a little throughput; one that is too low costs every deadline (simulated).
"""

_GAIN = 0.1
_SURPRISED_GAIN = 0.5  # an answer twice or half as long as expected, or none: the backend has changed
_CORRECTIONS = (0.1, 20.0)
_SAFETIES = (1.05, 3.0)
_DECAY = 0.98  # of the fit's memory, per batch: about the last 50 count
_REFIT_EVERY = 8
_FLAT = 0.05  # sizes that vary less (relative variance) say nothing about beta
_LEAST = 1e-5
_MOST_OF_IT = 0.7  # of the time that was planned with, which is never kept exactly


class Quantile:
    """A quantile of a stream that drifts: one number, moved a little by each value."""

    def __init__(self, quantile: float, start: float, step: float) -> None:
        self._up, self._down = step * quantile, step * (1 - quantile)
        self.value = start

    def observe(self, value: float) -> None:
        """Rises by `step * quantile` on a larger value, falls by `step * (1 - quantile)` on a smaller one."""
        self.value += self._up if value > self.value else -self._down


class LatencyModel:
    """Seconds a batch keeps one backend busy. Made with a guess that rather errs high."""

    def __init__(self, alpha: float = 0.001, beta: float = 0.00002) -> None:
        self.alpha, self.beta = alpha, beta
        self.correction = 1.0
        self._ratio = Quantile(0.99, 1.3, 0.05)
        self.expected_seconds = self.actual_seconds = 0.0
        """Of all batches observed, in sum."""
        self._n = self._b = self._bb = self._t = self._bt = 0.0
        self._until_refit = _REFIT_EVERY

    @property
    def safety(self) -> float:
        """What the mean is multiplied with to plan."""
        return self._ratio.value

    def mean(self, rows: int) -> float:
        """Expected seconds."""
        return self.correction * (self.alpha + self.beta * rows)

    def estimate(self, rows: int) -> float:
        """Seconds that a batch seldom exceeds."""
        return self.safety * self.mean(rows)

    def most_rows(self, seconds: float) -> int:
        """The largest batch whose estimate fits; 0 or less if not even one row does."""
        left = seconds / (self.safety * self.correction) - self.alpha
        return int(min(left / self.beta, 1e9)) if left > 0 else 0

    def observe(self, rows: int, seconds: float) -> None:
        """A batch was answered after keeping the backend busy for so long."""
        self.expected_seconds += self.mean(rows)
        self.actual_seconds += seconds
        ratio = seconds / self.mean(rows)
        self._correct(ratio, _SURPRISED_GAIN if ratio > 2 or ratio < 0.5 else _GAIN)
        self._spread(ratio)
        for name, value in (("_n", 1.0), ("_b", rows), ("_bb", rows * rows), ("_t", seconds), ("_bt", rows * seconds)):
            setattr(self, name, getattr(self, name) * _DECAY + value)
        self._until_refit -= 1
        if self._until_refit <= 0:
            self._until_refit = _REFIT_EVERY
            self._refit()

    def observe_at_least(self, rows: int, seconds: float) -> None:
        """A batch was given up after so long: it would have taken longer. Says nothing if that was to be expected.

        Of the spread it tells only if it had most of the time that is planned with: one that was tried with less tells
        no more than that the mean is passed now and then.
        """
        ratio = seconds / self.mean(rows)
        if ratio > 1:
            if _MOST_OF_IT * self.safety <= ratio <= 2:  # above that the mean is wrong, not the spread
                self._spread(max(ratio, self.safety + _LEAST))
            self._correct(ratio, _SURPRISED_GAIN)

    def _correct(self, ratio: float, gain: float) -> None:
        low, high = _CORRECTIONS
        self.correction = min(max(self.correction * (1 + gain * (min(ratio, 10.0) - 1)), low), high)

    def _spread(self, ratio: float) -> None:
        low, high = _SAFETIES
        self._ratio.observe(min(ratio, high))
        self._ratio.value = min(max(self._ratio.value, low), high)

    def _refit(self) -> None:
        """A new line through what was seen; the correction is what remains between it and the last answers."""
        mean_rows, mean_seconds = self._b / self._n, self._t / self._n
        before = self.mean(max(1, round(mean_rows)))
        variance = self._bb / self._n - mean_rows * mean_rows
        if variance > _FLAT * mean_rows * mean_rows:
            self.beta = max((self._bt / self._n - mean_rows * mean_seconds) / variance, _LEAST / 100)
        self.beta = min(self.beta, mean_seconds / mean_rows)
        self.alpha = max(mean_seconds - self.beta * mean_rows, _LEAST)
        low, high = _CORRECTIONS
        self.correction = min(max(before / (self.alpha + self.beta * mean_rows), low), high)
