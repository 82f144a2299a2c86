"""Results as the load tool writes them, made up for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from loadtest.histogram import encoded

_ENDS = ("in_time", "late", "fallback", "expired", "dead_lettered", "lost")


def run(contestant: str, *, p50: float = 10.0, p99: float = 20.0, cpu: float = 100.0, **changes: Any) -> dict[str, Any]:
    """A run in which all went well, but for the changes."""
    sent = changes.get("sent", 1_000)
    latencies = {"p50": p50, "p90": p99, "p99": p99, "p99_9": p99, "max": p99}
    made = {
        "contestant": contestant,
        "scenario": "steady",
        "kafka": "embedded",
        "model": "fraud",
        "codec": "msgpack",
        "rate": 1_000.0,
        "load": None,
        "slo_ms": 50,
        "seconds": 1.0,
        "seed": 1,
        "options": {},
        "void": None,
        "sent": sent,
        "counts": {"in_time": sent},
        "goodput_per_s": 1_000.0,
        "answered_per_s": 1_000.0,
        "answered_in_time_ratio": 1.0,
        "append_ms": latencies,
        "receipt_ms": latencies,
        "receipt_histogram": encoded(np.linspace(p50 / 2, p99, 500)),
        "per_second": seconds(sent=[500] * 4, in_time=[500] * 4),
        "cpu_us_per_event": {"contestant": cpu, "triton": 50.0, "kafka": 80.0, "generator": 9.0, "collector": 9.0},
        "events": [],
        "started_unix_ms": 0,
    } | changes
    return made | {"counts": dict.fromkeys(_ENDS, 0) | made["counts"]}


def goodput(contestant: str, load: float, per_s: float, **changes: Any) -> dict[str, Any]:
    """A run of scenario goodput, where the model can do 1,000 a second."""
    made: dict[str, Any] = {"scenario": "goodput", "model": "paced", "load": load, "rate": 1_000 * load}
    return run(contestant, **{**made, "goodput_per_s": per_s, **changes})


def seconds(*, sent: Sequence[int], in_time: Sequence[int]) -> list[dict[str, Any]]:
    """What became of the events of every second; the rest went to the fallback."""
    return [
        {
            "second": second,
            "sent": of,
            "in_time": done,
            "fallback": of - done,
            "late": 0,
            "receipt_p50_ms": 5.0,
            "receipt_p99_ms": 9.0,
        }
        for second, (of, done) in enumerate(zip(sent, in_time, strict=True))
    ]


def document(*runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A file of results."""
    return {
        "machine": {"cores": 2, "cpu": "a processor", "load_before": 0.1, "python": "3.11"},
        "commands": ["python -m loadtest bench --quick"],
        "calibration": {"alpha_ms": 2.0, "beta_ms": 0.5, "capacity_per_s": {"20": 900.0, "50": 1_000.0}},
        "grids": {},
        "unavailable": {},
        "runs": list(runs),
        **more,
    }
