"""How many calls may be tried once more: few of all, so that retries never multiply the load on a sick server."""


class RetryBudget:
    """A bucket that each call fills a little and each retry empties by one."""

    def __init__(self, share: float = 0.1, most: float = 10.0, at_first: float = 1.0) -> None:
        self._share, self._most = share, most
        self._tokens = at_first

    def called(self) -> None:
        """A call was made."""
        self._tokens = min(self._most, self._tokens + self._share)

    def take(self) -> bool:
        """Whether one more retry is within the share; it is counted."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
