"""Whether others ask a model that we ask: its server has computed more rows of it than we sent.

Planned as if it were ours alone, a call that is sent ahead queues behind theirs, and its events grow old there.
"""

_OTHERS = 0.2  # share of the rows, from which it is not ours alone
_UNDER_WAY = 2  # largest calls that may be counted on one side of a look and not on the other


class Sharing:
    """Told of what we send, and now and then of what was computed for everybody since the last time."""

    def __init__(self) -> None:
        self.has_others = False
        self._sent = self._largest = 0

    def sent(self, rows: int) -> None:
        """A call of ours; also one that will fail."""
        self._sent += rows
        self._largest = max(self._largest, rows)

    def computed(self, rows: float) -> None:
        """Of all that ask."""
        self.has_others = rows > self._sent / (1 - _OTHERS) + _UNDER_WAY * max(1, self._largest)
        self._sent = self._largest = 0
