"""How long to wait before a worker is started again. Pure: time comes in as an argument."""

import random
from collections.abc import Callable


class Backoff:
    """Doubles with every end in a row, up to a limit; begins anew after a worker that was well for a while.

    A delay is drawn from the upper half, so that workers that ended together do not rejoin their group together.
    """

    def __init__(
        self,
        first_seconds: float = 0.5,
        most_seconds: float = 30.0,
        well_seconds: float = 60.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first = self._next = first_seconds
        self._most = most_seconds
        self._well = well_seconds
        self._draw = draw

    def delay(self, well_seconds: float) -> float:
        """Seconds to wait, after a worker that was ready for `well_seconds`."""
        if well_seconds >= self._well:
            self._next = self._first
        now, self._next = self._next, min(self._most, self._next * 2)
        return now * (1 + self._draw()) / 2
