"""How long a backend takes for a batch, learned from every one it answers.

L(rows) = correction * (alpha + beta * rows). Alpha and beta are a decayed least-squares fit; the correction follows
the last answers, so that a backend that turns slow is believed within a few batches. What is planned with is the
estimate: L and a margin for what seldom takes longer. An estimate that is too high costs a little throughput; one that
is too low costs every deadline (simulated).

The margin grows with the root of L, as the spread of many small delays does: on a busy machine a call of 4 ms and one
of 22 ms are late by as much (p99 1.2 to 1.6 ms beyond the mean, measured). It is never less than a quarter of L, which
is what keeps answers in time where every call is as large as its deadlines allow, and never more than twice L: what
delayed large calls must not shut out small ones.
"""

import math

from inferstream.policy.quantile import RecentQuantile

_GAIN = 0.1
_SURPRISED_GAIN = 0.5  # an answer twice or half as long as expected, or none: the backend has changed
_CORRECTIONS = (0.1, 20.0)
_SPREAD_QUANTILE = 0.98
_FIRST_SPREAD = 0.01  # 0.3 ms beyond a call of 1 ms
_LEAST_MARGIN, _MOST_MARGIN = 0.25, 2.0  # of the mean
_GIVEN_UP = 0.05  # of the mean: by how much at least a call that was given up went beyond its estimate
_DECAY = 0.98  # of the fit's memory, per batch: about the last 50 count
_REFIT_EVERY = 8
_FLAT = 0.05  # sizes that vary less (relative variance) say nothing about beta
_LEAST = 1e-5
_MOST_OF_IT = 0.7  # of the time that was planned with, which is never kept exactly


class LatencyModel:
    """Seconds a batch keeps one backend busy. Made with a guess that rather errs high."""

    def __init__(self, alpha: float = 0.001, beta: float = 0.00002) -> None:
        self.alpha, self.beta = alpha, beta
        self.correction = 1.0
        self._spread = RecentQuantile(_SPREAD_QUANTILE, _FIRST_SPREAD)  # seconds beyond the mean, over its root
        self.expected_seconds = self.actual_seconds = 0.0
        """Of all batches observed, in sum."""
        self._n = self._b = self._bb = self._t = self._bt = 0.0
        self._until_refit = _REFIT_EVERY

    def mean(self, rows: int) -> float:
        """Expected seconds."""
        return self.correction * (self.alpha + self.beta * rows)

    def margin(self, rows: int) -> float:
        """Seconds beyond the mean that a batch seldom exceeds."""
        mean = self.mean(rows)
        return min(max(self._spread.value * math.sqrt(mean), _LEAST_MARGIN * mean), _MOST_MARGIN * mean)

    def estimate(self, rows: int) -> float:
        """Seconds that a batch seldom exceeds."""
        return self.mean(rows) + self.margin(rows)

    def most_rows(self, seconds: float) -> int:
        """The largest batch whose estimate fits; 0 or less if not even one row does."""
        if seconds <= 0:
            return 0
        spread = max(self._spread.value, 0.0)
        root = (math.sqrt(spread * spread + 4 * seconds) - spread) / 2  # of the mean: root² + spread * root = seconds
        mean = max(min(root * root, seconds / (1 + _LEAST_MARGIN)), seconds / (1 + _MOST_MARGIN))
        return self.most_rows_on_average(mean)

    def most_rows_on_average(self, seconds: float) -> int:
        """The largest batch whose mean fits; 0 or less if not even that of one row does."""
        left = seconds / self.correction - self.alpha
        return int(min(left / self.beta, 1e9)) if left > 0 else 0

    def observe(self, rows: int, seconds: float) -> None:
        """A batch was answered after keeping the backend busy for so long."""
        mean = self.mean(rows)
        self.expected_seconds += mean
        self.actual_seconds += seconds
        ratio = seconds / mean
        if ratio <= 2:  # else the mean is wrong, not the spread
            self._spread.observe((seconds - mean) / math.sqrt(mean))
        self._correct(ratio, _SURPRISED_GAIN if ratio > 2 or ratio < 0.5 else _GAIN)
        self._n = self._n * _DECAY + 1.0
        self._b = self._b * _DECAY + rows
        self._bb = self._bb * _DECAY + rows * rows
        self._t = self._t * _DECAY + seconds
        self._bt = self._bt * _DECAY + rows * seconds
        self._until_refit -= 1
        if self._until_refit <= 0:
            self._until_refit = _REFIT_EVERY
            self._refit()

    def observe_at_least(self, rows: int, seconds: float) -> None:
        """A batch was given up after so long: it would have taken longer. Says nothing if that was to be expected.

        Of the spread it tells only if it had most of the time that is planned with: one that was tried with less tells
        no more than that the mean is passed now and then.
        """
        mean = self.mean(rows)
        ratio = seconds / mean
        if ratio > 1:
            if seconds >= _MOST_OF_IT * self.estimate(rows) and ratio <= 2:
                beyond = max(seconds - mean, self.margin(rows)) + _GIVEN_UP * mean
                self._spread.observe(beyond / math.sqrt(mean))
            self._correct(ratio, _SURPRISED_GAIN)

    def _correct(self, ratio: float, gain: float) -> None:
        low, high = _CORRECTIONS
        self.correction = min(max(self.correction * (1 + gain * (min(ratio, 10.0) - 1)), low), high)

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
