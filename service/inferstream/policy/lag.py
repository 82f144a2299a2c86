"""How long the oldest record of a partition that was not taken yet has waited. Sans-IO; instants are unix milliseconds.

Its own timestamp is not known before it is taken. It is not older than the last record taken, and did not arrive before
we were last seen to have caught up: the later of the two gives an upper bound, and costs no question to the broker.
"""

from collections.abc import Mapping


class Lag:
    """Fed with what is looked at anyway."""

    def __init__(self) -> None:
        self._first_seen: dict[int, float] = {}
        self._caught_up: dict[int, float] = {}

    def look(self, behind: Mapping[int, int], taken_ms: Mapping[int, int], now_ms: float) -> dict[int, float]:
        """Seconds by partition, from the records it is behind and the timestamp of the last one taken.

        A partition nothing was ever taken from lags since it was first looked at, which is the least it can be.
        Partitions that are not among `behind` are forgotten.
        """
        for known in (self._first_seen, self._caught_up):
            for partition in [p for p in known if p not in behind]:
                del known[partition]
        return {partition: self._seconds(partition, n, taken_ms, now_ms) for partition, n in behind.items()}

    def _seconds(self, partition: int, behind: int, taken_ms: Mapping[int, int], now_ms: float) -> float:
        first_seen = self._first_seen.setdefault(partition, now_ms)
        if not behind:
            self._caught_up[partition] = now_ms
            return 0.0
        known = [at[partition] for at in (self._caught_up, taken_ms) if 0 <= at.get(partition, -1) <= now_ms]
        return (now_ms - max(known, default=first_seen)) / 1000
