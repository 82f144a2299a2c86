"""What makes a run void, and what is sustained."""

from typing import Any

import numpy as np
import pytest
from loadtest import verdict
from loadtest.account import Received

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND


def test_the_generators_lag_is_never_negative() -> None:
    intended = BEGIN + np.arange(4, dtype=np.int64)
    left = intended + np.array([-5_000_000, 0, 1_000_000, 2_000_000])
    assert verdict.generator_lag(intended, left) == {"p50": 0.5, "p99": 1.97, "max": 2.0}


@pytest.mark.parametrize(
    ("p99_ms", "slo_ms", "failed", "is_void"),
    [(0.9, 10, 0, False), (1.1, 10, 0, True), (2.4, 50, 0, False), (2.6, 50, 0, True), (0.1, 50, 1, True)],
)
def test_a_late_generator_makes_a_run_void(p99_ms: float, slo_ms: int, failed: int, is_void: bool) -> None:
    assert (verdict.void_by_generator({"p99": p99_ms}, slo_ms, failed) is not None) is is_void


def waited(*medians_ms: float) -> Received:
    """Ten records a second that waited so long for the collector."""
    waits = np.repeat(medians_ms, 10)
    append_ms = BEGIN // 1_000_000 + np.arange(len(waits)) * 100
    receipt_ns = append_ms * 1_000_000 + (waits * 1e6).astype(np.int64)
    zeros = np.zeros(len(waits), np.int64)
    return Received(zeros, zeros, append_ms, receipt_ns, zeros, zeros.astype(bool))


@pytest.mark.parametrize(
    ("waits_ms", "is_void"),
    [
        ([2, 2, 2, 2, 2], False),
        ([2, 90, 2, 90, 90, 2], False),
        ([2, 20, 40, 60, 80], True),
        ([40, 40, 40, 40], False),  # always the same: clocks, not a queue
    ],
)
def test_a_collector_that_falls_behind_makes_a_run_void(waits_ms: list[float], is_void: bool) -> None:
    found = verdict.void_by_collector(waited(*waits_ms), BEGIN, len(waits_ms), 50, busy=0.5)
    assert (found is not None) is is_void


def test_a_collector_whose_core_is_full_makes_a_run_void() -> None:
    assert "core" in (verdict.void_by_collector(waited(1), BEGIN, 1, 50, busy=0.95) or "")


def run(**changes: Any) -> dict[str, Any]:
    rows = [{"receipt_p50_ms": 10.0} for _ in range(8)]
    return {
        "void": None,
        "sent": 1_000,
        "slo_ms": 50,
        "counts": {"in_time": 995, "lost": 0},
        "per_second": rows,
    } | changes


@pytest.mark.parametrize(
    ("changes", "is_sustained"),
    [
        ({}, True),
        ({"void": "why"}, False),
        ({"counts": {"in_time": 989, "lost": 0}}, False),
        ({"counts": {"in_time": 999, "lost": 1}}, False),
        ({"per_second": [{"receipt_p50_ms": ms} for ms in (5, 5, 6, 8, 12, 16, 20, 24)]}, False),
        ({"per_second": [{"receipt_p50_ms": None}]}, True),
    ],
)
def test_sustained_is_in_time_whole_and_not_growing(changes: dict[str, Any], is_sustained: bool) -> None:
    assert verdict.is_sustained(run(**changes)) is is_sustained
