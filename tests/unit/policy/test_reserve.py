"""EmitReserve: the p99 of acknowledgements, within what the tightest class can spare."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.reserve import EmitReserve


def test_it_starts_with_a_guess_that_the_tightest_class_can_spare() -> None:
    """10 ms, or half of a tighter SLO."""
    assert EmitReserve(0.05).seconds == 0.01
    assert EmitReserve(0.008).seconds == 0.004


@pytest.mark.parametrize("scale", [0.003, 0.02, 0.08])
def test_it_settles_above_most_acknowledgements(scale: float) -> None:
    """For any acknowledgement time: about 99 % are below it, and it is not much more than that takes."""
    rng = random.Random(1)
    reserve = EmitReserve(1.0)
    took = [scale * rng.lognormvariate(0, 0.2) for _ in range(6_000)]
    below, kept = 0, list[float]()
    for seconds in took:
        reserve.observe(seconds)
        below += seconds <= reserve.seconds
        kept.append(reserve.seconds)
    assert below / len(took) > 0.97
    p99 = sorted(took)[int(0.99 * len(took))]
    assert sum(kept[3_000:]) / 3_000 < 1.5 * p99 + 0.005


def test_slow_brokers_are_believed_soon() -> None:
    """From 2 ms to 100 ms within thirty acknowledgements; back more slowly."""
    reserve = EmitReserve(1.0)
    for _ in range(1_000):
        reserve.observe(0.001)
    assert reserve.seconds == 0.002
    for _ in range(30):
        reserve.observe(0.1)
    assert reserve.seconds >= 0.1
    for _ in range(500):
        reserve.observe(0.001)
    assert 0.05 < reserve.seconds < 0.1


def test_a_fixed_reserve_does_not_learn() -> None:
    """The setting overrules what is seen, zero too."""
    reserve = EmitReserve(0.05, fixed=0.0)
    reserve.observe(0.5)
    assert reserve.seconds == 0.0


@given(st.floats(0.001, 10), st.lists(st.floats(0, 100), max_size=300))
def test_it_stays_within_its_bounds(tightest: float, took: list[float]) -> None:
    """Never more than half of the tightest SLO nor than a second; never less than 2 ms if that can be spared."""
    reserve = EmitReserve(tightest)
    for seconds in took:
        reserve.observe(seconds)
        most = min(1.0, tightest / 2)
        assert min(0.002, most) <= reserve.seconds <= most
