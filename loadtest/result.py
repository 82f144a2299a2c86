"""The figures of one run, as one JSON object. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest import account, verdict
from loadtest.account import Ints, Received
from loadtest.scenario import Scenario

Run = dict[str, Any]
"""`contestant`, `scenario`, …, `counts`, `append_ms`, `receipt_ms`, `per_second`, `cpu_us_per_event`, `memory_mib`
and `events`.

`void` says in one line why a run may not be used, or is null. `append_clock` is `broker` where the time of the append
is the broker's own, and `receipt` where the output topic does not keep it and the time of receipt stands in. What
happened during the run is in `events`, each with `score_after_s`: how long from then until the next in-time score of
the model. `classes`: by SLO class, where there are several; `expired_per_s`: how fast a backlog's old events got their
outcome.
"""


_PROCESSES = ("contestant", "triton", "kafka", "generator", "collector")

GIVEN_UP = "drain given up"
"""How the note of a run begins that did not wait for all events."""


class Observed(NamedTuple):
    """What the processes of a run found. `schedule` in ns from `begin_ns`; `class_of`: numbers of SLO classes;
    `left_ns`: when each event really left."""

    kafka: str
    schedule: Ints
    begin_ns: int
    class_of: npt.NDArray[np.uint8]
    left_ns: Ints
    failed: int
    received: Received
    is_brokers_clock: bool
    cpu_seconds: Mapping[str, float]
    memory_mib: Mapping[str, tuple[float, float]]
    events: list[dict[str, Any]]


def build(scenario: Scenario, observed: Observed, *, contestant: str, options: Mapping[str, Any], seed: int) -> Run:
    """The figures and what they are worth. Raises AccountingError unless the books balance."""
    begin_ns = observed.begin_ns + int(scenario.warm_up_s * 1e9)
    intended_ns = observed.schedule + observed.begin_ns
    is_live = intended_ns >= begin_ns
    received = observed.received
    if not observed.is_brokers_clock:
        received = received._replace(append_ms=received.receipt_ns // 1_000_000)
    warm_up = (observed.schedule >= 0) & ~is_live
    slos_ms = scenario.slos_ms
    of_each = np.array([*slos_ms.values()], np.int64)[observed.class_of]
    books = account.settle(intended_ns, received, of_each, warm_up)
    lag_ms = verdict.generator_lag(intended_ns[is_live], observed.left_ns[is_live])
    busy = observed.cpu_seconds["collector"] / scenario.seconds
    sent = len(books.intended_ns)
    return {
        "contestant": contestant,
        "scenario": scenario.name,
        "kafka": observed.kafka,
        "model": scenario.model,
        "codec": scenario.codec,
        "rate": round(int(is_live.sum()) / scenario.seconds, 2),
        "load": getattr(scenario.arrivals, "load", None),
        "slo_ms": scenario.slo_ms,
        "instances": scenario.instances,
        "backlog_s": scenario.backlog_s,
        "seconds": scenario.seconds,
        "seed": seed,
        "options": dict(options),
        "void": verdict.void_by_generator(lag_ms, scenario.slo_ms, observed.failed)
        or verdict.void_by_collector(received, begin_ns, scenario.seconds, scenario.slo_ms, busy),
        **account.figures(books, begin_ns, scenario.seconds),
        "append_clock": "broker" if observed.is_brokers_clock else "receipt",
        "generator_lag_ms": lag_ms,
        "cpu_us_per_event": {name: _cpu_us(observed.cpu_seconds.get(name), sent) for name in _PROCESSES},
        "memory_mib": {
            name: {"begin": round(begin, 1), "most": round(most, 1)}
            for name, (begin, most) in observed.memory_mib.items()
        },
        "classes": account.of_classes(books, observed.class_of[~warm_up], slos_ms) if len(slos_ms) > 1 else {},
        "events": [_told(event, books, begin_ns) for event in observed.events],
        "started_unix_ms": observed.begin_ns // 1_000_000,
    }


def _told(event: Mapping[str, Any], books: account.Books, begin_ns: int) -> dict[str, Any]:
    at_ns = begin_ns + int(event["at_s"] * 1e9)
    return {**event, "score_after_s": account.score_after_s(books, at_ns)}


def _cpu_us(used_seconds: float | None, events: int) -> float | None:
    """None for what is not ours to look at."""
    return None if used_seconds is None else round(1e6 * used_seconds / max(1, events), 2)
