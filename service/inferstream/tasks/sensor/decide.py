"""From an interval of cycles to a decision, with reason codes."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

Decision = Literal["run", "watch", "alert"]


class Reason(StrEnum):
    """What a reader of the result should know."""

    BELOW_LIMIT = "BELOW_LIMIT"
    """What is expected is less than `alert_below`."""
    LOW_END_BELOW_LIMIT = "LOW_END_BELOW_LIMIT"
    """More is expected, but the low end of the interval is less."""
    BEYOND_HORIZON = "BEYOND_HORIZON"
    """The high end reaches as far as wear can be told ahead: it may be more."""
    GAPS_FILLED = "GAPS_FILLED"
    """Readings were missing; the last one of their channel stood in."""


class Remaining(msgspec.Struct, gc=False):
    """The result of a window: cycles left, P10 and P90 around them, and a decision."""

    remaining: float
    low: float
    high: float
    unit: Literal["cycles"]
    remaining_ms: int
    decision: Decision
    gaps: int = 0
    reasons: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True):
    """In cycles: below which a machine needs care, and up to which wear can be told."""

    alert_below: float
    horizon: float


def decide(
    interval: npt.NDArray[Any], interval_ms: Sequence[int], gaps: Sequence[int], limits: Limits
) -> list[Remaining]:
    """One result per row of [rows, 3]: low end, middle, high end, in cycles."""
    rounded = np.round(np.maximum(interval.astype(np.float64), 0), 1).tolist()
    results = []
    for (low, remaining, high), cycle_ms, missing in zip(rounded, interval_ms, gaps, strict=True):
        decision, reasons = _decision(low, remaining, limits)
        if high >= limits.horizon:
            reasons.append(Reason.BEYOND_HORIZON.value)
        if missing:
            reasons.append(Reason.GAPS_FILLED.value)
        left_ms = int(remaining * cycle_ms)
        results.append(Remaining(remaining, low, high, "cycles", left_ms, decision, missing, tuple(reasons)))
    return results


def _decision(low: float, remaining: float, limits: Limits) -> tuple[Decision, list[str]]:
    if remaining < limits.alert_below:
        return "alert", [Reason.BELOW_LIMIT.value]
    if low < limits.alert_below:
        return "watch", [Reason.LOW_END_BELOW_LIMIT.value]
    return "run", []
