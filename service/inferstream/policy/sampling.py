"""Which events leave a trace: what was sampled upstream, what went wrong, and a share of the rest; under one budget.

A trace costs a tenth of a millisecond, so that in an outage where every event goes wrong only the budget's worth is
kept. What is refused is counted by reason, exactly.
"""

import math
from typing import Literal

Reason = Literal["head", "failed", "fallback", "slo_miss", "ratio"]

_RATIO_BITS = 56  # of a trace id are random (W3C level 2); all replicas decide alike by them


class TokenBucket:
    """So many a second, and as many at once, or one."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = self._tokens = max(1.0, per_second)
        self._at = float("-inf")

    def take(self, wanted: int, now: float) -> int:
        """How many of them may be had at `now` (monotonic seconds)."""
        self._tokens = min(self._most, self._tokens + self._per_second * max(0.0, now - self._at))
        self._at = now
        given = min(wanted, int(self._tokens))
        self._tokens -= given
        return given


class Ratio:
    """A share of traces, told by their ids; of what has none, every so manieth."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.below = int(share * (1 << _RATIO_BITS))
        self._passed = 0.0

    def takes(self, trace_id: int) -> bool:
        """Whether the trace of this id is of the share."""
        return trace_id & ((1 << _RATIO_BITS) - 1) < self.below

    def places(self, count: int) -> list[int]:
        """Which of the next `count` events without a trace id are of the share."""
        if not self.share:
            return []
        before = self._passed
        self._passed = (before + count * self.share) % 1.0
        chosen = int(before + count * self.share)
        return [min(count, math.ceil((n - before) / self.share)) - 1 for n in range(1, chosen + 1)]
