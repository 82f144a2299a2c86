"""What a run is asked for, and the names it uses."""

from typing import Literal

import msgspec
from tests.chaos.producer import PATIENT

Delivery = Literal["at_least_once", "exactly_once"]

GROUP, INPUT, OUTPUT, LETTERS = "chaos", "chaos-in", "chaos-out", "chaos-dead"
PARTITIONS = 6
SLO_MS = {"default": 5_000, PATIENT: 30_000}
REBALANCE_SECONDS = 10.0
SECONDS_A_KILL = 6.0
_SHORTEST_SECONDS = 30.0


class Options(msgspec.Struct, frozen=True):
    """`minutes`: how long the nemesis has, and so the load; None: as long as so many kills and zombies take."""

    events: int = 50_000
    kills: int = 10
    zombies: int = 2
    delivery: Delivery = "at_least_once"
    seed: int = 1
    workers: int = 3
    minutes: float | None = None
    session_seconds: float = 4.0
    stuck_seconds: float = 60.0

    @property
    def seconds(self) -> float:
        """What the nemesis has."""
        if self.minutes is not None:
            return self.minutes * 60
        return max(_SHORTEST_SECONDS, self.kills * SECONDS_A_KILL + self.zombies * 2 * self.session_seconds)

    @property
    def events_per_second(self) -> float:
        """The load, so that it lasts as long as the nemesis."""
        return self.events / self.seconds
