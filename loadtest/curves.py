"""Goodput by load: the runs of one contestant at one SLO in one round. Pure."""

from collections.abc import Sequence

import numpy as np

from loadtest.result import Run


class Curve(dict[float, Run]):
    """A run by its load."""

    @property
    def best(self) -> float:
        """The highest goodput of its runs."""
        return max(map(goodput, self.values()), default=0.0)

    @property
    def has_peak(self) -> bool:
        """Whether a load near what the model can do is among them, and anything was scored."""
        return any(0.9 <= load <= 1.1 for load in self) and self.best > 0

    @property
    def capacity(self) -> float:
        """What load 1 stands for in these runs, as calibration found it for them, in events per second."""
        return float(sum(run["rate"] for run in self.values()) / sum(self))

    @property
    def area(self) -> float:
        """Under the curve."""
        return float(np.trapezoid([goodput(run) for run in self.values()], list(self)))

    def at(self, loads: Sequence[float]) -> "Curve":
        """The part of it at these."""
        return Curve({load: self[load] for load in loads})


def goodput(run: Run) -> float:
    """Events scored in time, per second."""
    return float(run["goodput_per_s"])


def loads_behind(both: Sequence[tuple[Curve, Curve]]) -> list[float]:
    """Loads at which the second one's goodput is higher, in the median of all rounds. A round's two have the same
    loads."""
    behind = []
    for load in sorted({load for mine, _ in both for load in mine}):
        pairs = [(goodput(mine[load]), goodput(other[load])) for mine, other in both if load in mine]
        mine_per_s, other_per_s = np.median(np.array(pairs), axis=0)
        if other_per_s > mine_per_s:
            behind.append(load)
    return behind
