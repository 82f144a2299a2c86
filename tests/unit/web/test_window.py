"""What happened between two snapshots."""

import pytest

from inferstream.signals import Signals
from inferstream.web.window import Values, Window


def signals() -> Signals:
    made = Signals()
    made.outcomes.cell("p", "default", "scored").add(10)
    made.latency.cell("p", "default").observe(9.0, 50)
    return made


def window(counted: Signals, seconds: float = 5.0) -> Window:
    """A window in which: 20 scored, 5 expired; 90 events took under 1 ms, 10 between 20 and 50 ms."""
    before = Values(100.0, counted.snapshot())
    counted.outcomes.cell("p", "default", "scored").add(20)
    counted.outcomes.cell("p", "default", "expired").add(5)
    counted.latency.cell("p", "default").observe(0.0009, 90)
    counted.latency.cell("p", "default").observe(0.03, 10)
    return Window(Values(100.0 + seconds, counted.snapshot()), before)


def test_rates_are_of_the_window_and_of_the_labels_asked_for() -> None:
    seen = window(signals())
    assert seen.per_second("outcomes", pipeline="p") == 5.0
    assert seen.per_second("outcomes", pipeline="p", outcome="expired") == 1.0
    assert seen.per_second("outcomes", pipeline="another") == 0.0


def test_quantiles_know_nothing_of_what_was_before() -> None:
    seen = window(signals())
    assert 0.0005 <= (seen.quantile("latency_seconds", 0.5, pipeline="p") or 0) <= 0.001
    assert 0.02 < (seen.quantile("latency_seconds", 0.99, pipeline="p") or 0) <= 0.05
    assert seen.mean("latency_seconds", pipeline="p") == pytest.approx((90 * 0.0009 + 10 * 0.03) / 100)


def test_what_lies_beyond_the_last_bound_is_that_bound() -> None:
    counted = signals()
    before = Values(0.0, counted.snapshot())
    counted.latency.cell("p", "default").observe(60.0, 10)
    assert Window(Values(1.0, counted.snapshot()), before).quantile("latency_seconds", 0.5, pipeline="p") == 10.0


def test_what_cannot_be_told_is_none() -> None:
    counted = signals()
    first = Window(Values(0.0, counted.snapshot()), None)
    assert first.per_second("outcomes", pipeline="p") is None
    assert first.quantile("latency_seconds", 0.5, pipeline="p") is None
    still = Window(Values(1.0, counted.snapshot()), Values(0.0, counted.snapshot()))
    assert still.per_second("outcomes", pipeline="p") == 0.0
    assert still.quantile("latency_seconds", 0.5, pipeline="p") is None
    assert still.mean("latency_seconds", pipeline="p") is None


def test_counters_that_began_anew_have_not_shrunk() -> None:
    old = Values(0.0, signals().snapshot())
    assert Window(Values(1.0, Signals().snapshot()), old).per_second("outcomes", pipeline="p") == 0.0
