"""The clocks of one simulated process: the monotonic one is the loop's, the wall clock is wrong as told."""

from inferstream.testing.virtual_loop import VirtualLoop

EPOCH_MS = 1_700_000_000_000.0
"""The wall time at which the loop's time is 0."""


class SimClock:
    """`skew_ms` is what the wall clock is ahead of the cluster's; `step_wall` sets it anew."""

    def __init__(self, loop: VirtualLoop, skew_ms: float = 0.0) -> None:
        self._loop = loop
        self.skew_ms = skew_ms

    def monotonic(self) -> float:
        return self._loop.time()

    def unix_ms(self) -> float:
        return EPOCH_MS + self._loop.time() * 1000 + self.skew_ms

    def step_wall(self, seconds: float) -> None:
        """Somebody set the wall clock."""
        self.skew_ms += seconds * 1000
