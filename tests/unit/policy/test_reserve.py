"""Reserve: the p97 of acknowledgements, within what the tightest class can spare, and of the fallback."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.reserve import Reserve


def test_it_starts_with_a_guess_that_the_tightest_class_can_spare() -> None:
    """10 ms, or a quarter of a tighter SLO: more would look like a broker that is slow."""
    assert Reserve(0.05).emit == 0.01
    assert Reserve(0.02).emit == 0.005
    assert Reserve(0.008).emit == 0.002


def test_what_was_seen_replaces_the_guess_within_64() -> None:
    """A process that has just started is not to keep a guess from the model for seconds."""
    reserve = Reserve(0.1)
    for _ in range(60):
        reserve.acknowledged(0.003)
        reserve.fell_back(0.0007)
    assert reserve.emit == 0.01
    for _ in range(4):
        reserve.acknowledged(0.003)
    assert (reserve.emit, reserve.fallback) == (0.003, 0.0007)


@pytest.mark.parametrize("scale", [0.003, 0.02, 0.08])
def test_it_settles_above_most_acknowledgements(scale: float) -> None:
    """For any acknowledgement time: nearly all are below it, and it is not much more than that takes."""
    rng = random.Random(1)
    reserve = Reserve(1.0)
    took = [scale * rng.lognormvariate(0, 0.2) for _ in range(6_000)]
    below, kept = 0, list[float]()
    for seconds in took:
        reserve.acknowledged(seconds)
        below += seconds <= reserve.emit
        kept.append(reserve.emit)
    assert below / len(took) > 0.95
    p99 = sorted(took)[int(0.99 * len(took))]
    assert sum(kept[3_000:]) / 3_000 < 1.5 * p99 + 0.005


def test_slow_brokers_are_believed_soon_and_forgiven_later() -> None:
    """From 2 ms to 100 ms within a few acknowledgements; back when those are no longer among the last 256."""
    reserve = Reserve(1.0)
    for _ in range(1_000):
        reserve.acknowledged(0.001)
    assert reserve.emit == 0.002
    for _ in range(10):
        reserve.acknowledged(0.1)
    assert reserve.emit >= 0.1
    for _ in range(245):
        reserve.acknowledged(0.001)
    assert reserve.emit >= 0.1
    for _ in range(11):
        reserve.acknowledged(0.001)
    assert reserve.emit == 0.002


def test_the_fallbacks_time_is_learned_from_a_guess() -> None:
    """It begins with 2 ms, follows what the chain takes nine times of ten, and is neither nothing nor too much."""
    reserve = Reserve(0.05)
    assert reserve.fallback == 0.002
    for _ in range(300):
        reserve.fell_back(0.0009)
    assert reserve.fallback == 0.0009
    for _ in range(20):
        reserve.fell_back(0.004)
    assert reserve.fallback == 0.0009
    for _ in range(20):
        reserve.fell_back(0.004)
    assert reserve.fallback == 0.004
    for _ in range(300):
        reserve.fell_back(0.2)
    assert reserve.fallback == 0.005
    for _ in range(300):
        reserve.fell_back(0.0)
    assert reserve.fallback > 0


def test_a_fixed_reserve_does_not_learn() -> None:
    """The setting overrules what is seen, zero too."""
    reserve = Reserve(0.05, fixed=0.0)
    reserve.acknowledged(0.5)
    assert reserve.emit == 0.0


@given(st.floats(0.001, 10), st.lists(st.floats(0, 100), max_size=300))
def test_it_stays_within_its_bounds(tightest: float, took: list[float]) -> None:
    """Never more than half of the tightest SLO nor than a second, or four fifths if most take so long; never less than
    2 ms if that can be spared."""
    reserve = Reserve(tightest)
    for seconds in took:
        reserve.acknowledged(seconds)
        most = min(1.0, tightest / 2)
        assert min(0.002, most) <= reserve.emit <= max(most, 0.8 * tightest)


def test_a_hiccup_of_the_broker_takes_no_more_than_half_and_a_slow_broker_what_it_takes() -> None:
    """A third of slow acknowledgements is a hiccup; when most are slow, the chain must answer early to be in time."""
    reserve = Reserve(0.05)
    for _ in range(256):
        reserve.acknowledged(0.002)
    for _ in range(85):
        reserve.acknowledged(0.03)
    assert reserve.emit == 0.025
    for _ in range(85):
        reserve.acknowledged(0.03)
    assert reserve.emit == 0.03
    for _ in range(256):
        reserve.acknowledged(0.06)
    assert reserve.emit == pytest.approx(0.04)
    for _ in range(256):
        reserve.acknowledged(0.002)
    assert reserve.emit == 0.002
