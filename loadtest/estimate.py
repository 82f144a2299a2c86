"""How long a bench takes: from what its parts took on two cores, and, while it runs, from what they take here. Pure."""

from collections.abc import Sequence

from loadtest.forms import Form
from loadtest.scenario import Scenario

START_SECONDS = 25.0
"""Broker, Triton, calibration, and the direct calls at the end."""

_RUN_SECONDS = 2.8  # processes started and ended, topics, the audit
_EVENT_SECONDS = 6e-5  # an event of a backlog made, sent and worked off
_EXTRA_SECONDS = {"flink": 9.0, "bytewax": 2.0, "quixstreams": 1.0}  # start and end
_SPEED = {"naive": 0.25, "quixstreams": 0.2, "service": 99.0, "passthrough": 99.0}
"""What each can do, as a load; what is behind at the end of a run is waited for. The service never is behind."""
_OTHERS_SPEED = 1.0
_FEWEST_KNOWN = 3  # runs, before what they took says more than the estimate


def of_run(contestant: str, one: Scenario) -> float:
    """Seconds of one run, or of all that a search or a sweep stands for."""
    count = one.search.steps if one.search is not None else len(one.variants())
    load = getattr(one.arrivals, "load", None) or 0.0
    old = one.backlog_s * (getattr(one.arrivals, "rate", None) or 0.0) * _EVENT_SECONDS
    behind = (one.warm_up_s + one.seconds) * (load / _SPEED.get(contestant, _OTHERS_SPEED) - 1)
    drain = min(max(behind, 0.0), one.drain_s)
    return count * (_RUN_SECONDS + _EXTRA_SECONDS.get(contestant, 0.0) + old + one.warm_up_s + one.seconds + drain)


def of_form(form: Form) -> float:
    """Seconds of all runs, without START_SECONDS and the tuning of peers."""
    return sum(
        part.rounds * of_run(name, one) for part in form.parts for name in part.contestants for one in part.scenarios
    )


def left(total: float, done: Sequence[tuple[float, float]]) -> float:
    """Seconds still to go; `done` are the runs so far, estimated and real."""
    estimated = sum(guess for guess, _ in done)
    took = sum(real for _, real in done)
    pace = took / estimated if len(done) >= _FEWEST_KNOWN else 1.0
    return max(0.0, total - estimated) * pace


def words(seconds: float) -> str:
    """Minutes, or hours and minutes, for people."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
