"""Whether others ask a model that we ask: its server has computed more rows of it than we sent.

Planned as if it were ours alone, a call that is sent ahead queues behind theirs, and its events grow old there.
"""

_OTHERS = 0.2  # share of the rows, from which it is not ours alone
_ON_THE_WAY = 2  # largest calls that we count on one side of a look and the server on the other


class Sharing:
    """Told of our calls, and now and then of what was computed for everybody since the last time."""

    def __init__(self) -> None:
        self.has_others = False
        self._sent = self._largest = self._largest_before = 0
        self._under_way = self._under_way_before = 0

    def sent(self, rows: int) -> None:
        """A call of ours begins."""
        self._sent += rows
        self._under_way += rows
        self._largest = max(self._largest, rows)

    def ended(self, rows: int) -> None:
        """It is over, whatever came of it."""
        self._under_way -= rows

    def computed(self, rows: float) -> None:
        """Of all that ask. Who asks nothing shares nothing."""
        ours = self._sent + self._under_way_before
        on_the_way = _ON_THE_WAY * max(1, self._largest, self._largest_before)
        self.has_others = ours > 0 and rows > ours / (1 - _OTHERS) + on_the_way
        self._under_way_before, self._largest_before = self._under_way, self._largest
        self._sent = self._largest = 0
