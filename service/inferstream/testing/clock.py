"""Clocks that go only when told to."""


class FakeClock:
    """Both clocks stand still; `advance` moves them together, `step_wall` moves the wall clock alone."""

    def __init__(self, unix_ms: float = 1_700_000_000_000.0) -> None:
        self._monotonic = 1_000.0
        self._unix_ms = unix_ms

    def monotonic(self) -> float:
        return self._monotonic

    def unix_ms(self) -> float:
        return self._unix_ms

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._monotonic += seconds
        self._unix_ms += seconds * 1000

    def step_wall(self, seconds: float) -> None:
        """Somebody set the wall clock."""
        self._unix_ms += seconds * 1000
