"""RecentQuantile: exact over the last values."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.quantile import RecentQuantile


@given(st.floats(0.5, 0.99), st.integers(0, 2**32))
def test_a_quantile_is_found_in_a_stream(quantile: float, seed: int) -> None:
    """As many values are below it as its name says."""
    rng = random.Random(seed)
    found = RecentQuantile(quantile, 0.5)
    for _ in range(500):
        found.observe(rng.random())
    below = 0
    for _ in range(3_000):
        value = rng.random()
        below += value <= found.value
        found.observe(value)
    assert below / 3_000 == pytest.approx(quantile, abs=0.04)


@given(st.lists(st.floats(-1e6, 1e6), max_size=700))
def test_it_is_that_of_the_last_values_and_of_no_others(values: list[float]) -> None:
    """The guess counts like a quarter of the window, and as many values are the end of it."""
    found = RecentQuantile(0.9, 7.0, window=64)
    for value in values:
        found.observe(value)
    last = sorted(([7.0] * max(0, 16 - len(values)) + values)[-64:])
    assert found.value == last[int(0.9 * (len(last) - 1))]
    assert found.at(0.5) == last[int(0.5 * (len(last) - 1))]
