"""How long a bench takes: from what its parts took on two cores, and, while it runs, from what they take here. Pure."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

from loadtest import contestants, scenario
from loadtest.cells import THROUGHPUT
from loadtest.forms import Form
from loadtest.scenario import Scenario

START_SECONDS = 25.0
"""Broker, Triton, calibration, and the direct calls at the end."""

_RUN_SECONDS = 2.8  # processes started and ended, topics, the audit
_EVENT_SECONDS = 6e-5  # an event of a backlog made and sent
_WORKED_OFF_PER_S = {"naive": 700, "quixstreams": 1_150, "concurrent": 4_000, "arroyo": 11_000, "flink": 25_000}
_OTHERS_WORK_OFF_PER_S = 40_000
_EXTRA_SECONDS = {"flink": 9.0, "bytewax": 2.0, "quixstreams": 1.0}  # start and end
_SPEED = {"naive": 0.25, "quixstreams": 0.2, "service": 99.0, "passthrough": 99.0}
"""What each can do, as a load; what is behind at the end of a run is waited for. The service never is behind."""
_OTHERS_SPEED = 1.0
_FEWEST_KNOWN = 3  # runs, before what they took says more than the estimate


def of_run(contestant: str, one: Scenario) -> float:
    """Seconds of one run, or of all that a search or a sweep stands for."""
    count = one.search.steps if one.search is not None else len(one.variants())
    load = getattr(one.arrivals, "load", None) or 0.0
    old = one.backlog_s * (getattr(one.arrivals, "rate", None) or 0.0)
    worked_off = min(old / _WORKED_OFF_PER_S.get(contestant, _OTHERS_WORK_OFF_PER_S), one.drain_s)
    warm_up = max(one.warm_up_s, contestants.find(contestant).warm_up_s if not old else 0.0)
    behind = (one.warm_up_s + one.seconds) * (load / _SPEED.get(contestant, _OTHERS_SPEED) - 1)
    drain = min(max(behind, 0.0), one.drain_s)
    own = _RUN_SECONDS + _EXTRA_SECONDS.get(contestant, 0.0)
    return count * (own + old * _EVENT_SECONDS + worked_off + warm_up + one.seconds + drain)


def of_form(form: Form) -> float:
    """Seconds of all runs, without START_SECONDS and the tuning of peers."""
    return sum(by_scenario(form).values())


def by_scenario(form: Form) -> dict[str, float]:
    """The same, of each scenario."""
    found: dict[str, float] = {}
    for part in form.parts:
        for name, one in product(part.contestants, part.scenarios):
            found[one.name] = found.get(one.name, 0.0) + part.rounds * of_run(name, one)
    return found


def of_tuning(form: Form) -> float:
    """Seconds of looking for the best options of the peers: a backlog for each choice."""
    backlog = scenario.load(THROUGHPUT)
    return sum(len(contestants.find(name).grid) * of_run(name, backlog) for name in form.tuned)


class Done(NamedTuple):
    """A run that was made: seconds as estimated, and real."""

    scenario: str
    estimated: float
    took: float


def left(totals: Mapping[str, float], done: Sequence[Done]) -> float:
    """Seconds still to go, of totals by scenario. Each goes on at its own pace, once some of its runs tell it."""
    seconds = 0.0
    for name, total in totals.items():
        mine = [each for each in done if each.scenario == name]
        estimated = sum(each.estimated for each in mine)
        pace = sum(each.took for each in mine) / estimated if len(mine) >= _FEWEST_KNOWN else 1.0
        seconds += max(0.0, total - estimated) * pace
    return seconds


def words(seconds: float) -> str:
    """Minutes, or hours and minutes, for people."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
