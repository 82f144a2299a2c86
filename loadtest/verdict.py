"""What a run may be used for: pure judgements over its figures. A run that is void says why, in one line."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from loadtest.account import Floats, Ints, Received

_LAG_SHARE = 0.05  # of the SLO
_LEAST_LAG_MS = 1.0
_BEHIND_LEAST_MS = 10.0
_BEHIND_SECONDS = 3
_BUSY_SHARE = 0.9
_SUSTAINED_SHARE = 0.99
_GROWTH_LEAST_MS = 2.0


def generator_lag(intended_ns: Ints, left_ns: Ints) -> dict[str, float]:
    """How late events left, in ms."""
    lag_ms = np.maximum(left_ns - intended_ns, 0) / 1e6
    p50, p99 = np.percentile(lag_ms, [50, 99]).tolist() if len(lag_ms) else (0.0, 0.0)
    return {"p50": round(p50, 3), "p99": round(p99, 3), "max": round(float(lag_ms.max(initial=0)), 3)}


def void_by_generator(lag_ms: Mapping[str, float], slo_ms: int, failed: int) -> str | None:
    """The load was not the one that was asked for."""
    limit_ms = max(_LEAST_LAG_MS, _LAG_SHARE * slo_ms)
    if failed:
        return f"the broker did not acknowledge {failed} events of the generator"
    if lag_ms["p99"] > limit_ms:
        return f"the generator was late itself, p99 {lag_ms['p99']:.2f} ms where {limit_ms:.2f} ms are allowed"
    return None


def void_by_collector(received: Received, begin_ns: int, seconds: float, slo_ms: int, busy: float) -> str | None:
    """The times of receipt are the collector's own: its core is full, or records wait for it for seconds on end."""
    if busy > _BUSY_SHARE:
        return f"the collector used {busy:.0%} of a core, so it may have been the bottleneck"
    limit_ms = max(_BEHIND_LEAST_MS, _LAG_SHARE * slo_ms)
    medians = _waits_ms(received, begin_ns, seconds)
    is_behind = medians > np.min(medians, initial=np.inf) + limit_ms
    longest = max((len(run) for run in "".join("x" if b else " " for b in is_behind).split()), default=0)
    if longest >= _BEHIND_SECONDS:
        return f"the collector fell behind, records waited {medians.max():.0f} ms for it (median of a second)"
    return None


def _waits_ms(received: Received, begin_ns: int, seconds: float) -> Floats:
    """Append to receipt, the median of every second of the measured part that saw records."""
    second = (received.receipt_ns - begin_ns) // 1_000_000_000
    wait_ms = received.receipt_ns / 1e6 - received.append_ms
    wanted = [s for s in np.unique(second).tolist() if 0 <= s < seconds]
    return np.array([np.median(wait_ms[second == s]) for s in wanted])


def is_sustained(run: Mapping[str, Any]) -> bool:
    """99 % of all that was sent scored in time (so p99 is within the SLO), none lost, and latency not growing."""
    if run["void"] is not None:
        return False
    in_time, lost = run["counts"]["in_time"], run["counts"]["lost"]
    return in_time >= _SUSTAINED_SHARE * run["sent"] and not lost and not _grows(run)


def _grows(run: Mapping[str, Any]) -> bool:
    """Whether the last quarter's median latency exceeds the second quarter's by more than noise."""
    medians = [row["receipt_p50_ms"] for row in run["per_second"] if row["receipt_p50_ms"] is not None]
    quarter = len(medians) // 4
    if quarter == 0:
        return False
    before, after = np.median(medians[quarter : 2 * quarter]), np.median(medians[-quarter:])
    return bool(after > 2 * before + max(_GROWTH_LEAST_MS, _LAG_SHARE * run["slo_ms"]))
