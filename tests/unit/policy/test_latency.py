"""LatencyModel: learns what a batch takes from whatever it first believed, and plans with some slack."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.latency import LatencyModel

ALPHA, BETA = 0.0008, 0.00005


def observe(model: LatencyModel, batches: int, rows: Callable[[random.Random], int], noise: float = 0.08) -> None:
    """Show the model what a backend with the true costs answers."""
    rng = random.Random(1)
    for _ in range(batches):
        size = rows(rng)
        model.observe(size, (ALPHA + BETA * size) * max(0.3, rng.gauss(1, noise)))


def safety(model: LatencyModel, rows: int) -> float:
    """What a batch is planned with over what it takes on average."""
    return model.estimate(rows) / model.mean(rows)


def some_rows(rng: random.Random) -> int:
    """Batches as they are under a changing load."""
    return rng.randint(1, 200)


@pytest.mark.parametrize("times", [0.05, 0.2, 0.5, 1, 2, 5, 20])
def test_any_first_guess_is_forgotten_within_forty_batches(times: float) -> None:
    """Off by a factor of 20 either way, the mean is right within 15 % for the sizes that were seen."""
    model = LatencyModel(ALPHA * times, BETA * times)
    observe(model, 40, some_rows)
    for rows in (20, 100, 200):
        assert model.mean(rows) == pytest.approx(ALPHA + BETA * rows, rel=0.15)


@pytest.mark.parametrize("times", [0.05, 20])
def test_the_size_that_is_seen_is_right_within_thirty_batches(times: float) -> None:
    """While all batches are as large, nothing is learned about others, but what these take."""
    model = LatencyModel(ALPHA * times, BETA * times)
    observe(model, 30, lambda rng: 64)
    assert model.mean(64) == pytest.approx(ALPHA + BETA * 64, rel=0.15)


def test_the_cost_of_a_row_is_found_when_sizes_vary() -> None:
    """Alpha and beta are told apart, so that sizes never seen are foretold too."""
    model = LatencyModel(0.01, 0.000001)
    observe(model, 100, some_rows)
    assert model.correction * model.beta == pytest.approx(BETA, rel=0.15)
    assert model.mean(500) == pytest.approx(ALPHA + BETA * 500, rel=0.15)


def test_one_size_says_nothing_about_the_cost_of_a_row() -> None:
    """Nothing is made up from noise: beta stays as it was believed, or what all of a row's time would be."""
    model = LatencyModel(ALPHA, BETA)
    observe(model, 200, lambda rng: rng.randint(63, 65), noise=0.25)
    assert model.beta == BETA


def test_a_slow_backend_is_believed_within_a_few_batches() -> None:
    """Ten times as slow from one batch to the next, and back."""
    model = LatencyModel(ALPHA, BETA)
    observe(model, 50, some_rows)
    for _ in range(5):
        model.observe(100, 10 * (ALPHA + BETA * 100))
    assert model.mean(100) > 0.6 * 10 * (ALPHA + BETA * 100)
    for _ in range(10):
        model.observe(1, ALPHA + BETA)
    assert model.mean(1) < 2 * (ALPHA + BETA)


@pytest.mark.parametrize(("noise", "low", "high"), [(0.02, 1.25, 1.25), (0.08, 1.25, 1.4), (0.25, 1.5, 2.4)])
def test_the_slack_follows_the_noise(noise: float, low: float, high: float) -> None:
    """A steady backend is planned with a quarter more, a noisy one with what it needs; about 98 % are within it."""
    model = LatencyModel(ALPHA, BETA)
    observe(model, 1_000, lambda rng: 100, noise)
    assert low - 1e-9 <= safety(model, 100) <= high + 1e-9
    rng = random.Random(2)
    within = 0
    for _ in range(2_000):
        seconds = (ALPHA + BETA * 100) * max(0.3, rng.gauss(1, noise))
        within += seconds <= model.estimate(100)
        model.observe(100, seconds)
    assert within / 2_000 > 0.96


def test_what_delays_small_calls_does_not_keep_the_time_of_large_ones() -> None:
    """As measured: every call is late by up to 1.5 ms, whatever its size. A small one needs a wide margin for it."""
    model = LatencyModel(0.002, 0.0005)
    rng = random.Random(1)
    for _ in range(500):
        model.observe(3, 0.0035 + rng.uniform(-0.0015, 0.0015))
    assert safety(model, 3) > 1.35
    assert safety(model, 40) == pytest.approx(1.25)


def test_a_bad_start_is_forgotten() -> None:
    """Calls that took long while everything was cold say nothing of the calls 256 later."""
    model = LatencyModel(ALPHA, BETA)
    for _ in range(20):
        model.observe(100, 1.9 * model.mean(100))
    assert safety(model, 100) > 1.5
    observe(model, 256, lambda rng: 100, noise=0.02)
    assert safety(model, 100) == pytest.approx(1.25)


def test_a_backend_that_turned_slow_is_not_planned_with_as_a_noisy_one() -> None:
    """What takes ten times as long from now on has another mean, and the spread it had."""
    model = LatencyModel(ALPHA, BETA)
    observe(model, 300, lambda rng: 100, noise=0.02)
    for _ in range(40):
        model.observe(100, 10 * (ALPHA + BETA * 100))
    assert safety(model, 100) < 1.6


def test_large_calls_that_were_late_do_not_shut_out_small_ones() -> None:
    """What is kept of a call is never more than three times what it takes."""
    model = LatencyModel(0.001, 0.0005)
    for _ in range(20):
        model.observe(400, 1.9 * model.mean(400))
    for _ in range(60):
        model.observe(1, 0.0015)
    assert model.estimate(1) < 0.006


def test_a_call_that_takes_many_times_as_long_now_and_then_is_not_planned_with() -> None:
    """Every call would be given five times what it takes, for one of twenty that is let go at its time."""
    model = LatencyModel(ALPHA, BETA)
    for number in range(1, 400):
        model.observe(100, (5 if number % 20 == 0 else 1) * (ALPHA + BETA * 100))
    assert safety(model, 100) < 1.3


def test_a_call_given_up_widens_the_slack() -> None:
    """It is of the slowest that the slack is for, though nobody saw how slow."""
    model = LatencyModel(ALPHA, BETA)
    before = safety(model, 100)
    for _ in range(3):
        model.observe_at_least(100, 1.4 * model.mean(100))
    assert safety(model, 100) > before


def test_a_call_given_up_long_before_its_time_says_nothing() -> None:
    """That it took at least that long was to be expected."""
    model = LatencyModel(ALPHA, BETA)
    before = (model.mean(100), model.margin(100))
    model.observe_at_least(100, 0.9 * model.mean(100))
    assert (model.mean(100), model.margin(100)) == before


@given(st.lists(st.tuples(st.integers(1, 512), st.floats(0, 10)), max_size=50))
def test_calls_given_up_never_make_the_estimate_smaller(calls: list[tuple[int, float]]) -> None:
    """They tell only that the backend takes longer."""
    model = LatencyModel()
    for rows, seconds in calls:
        before = model.estimate(100)
        model.observe_at_least(rows, seconds)
        assert model.estimate(100) >= before


SEEN = st.lists(st.tuples(st.integers(1, 512), st.floats(0.00001, 1)), max_size=60)


@given(SEEN, st.floats(-0.1, 0.2))
def test_most_rows_is_the_inverse_of_estimate(seen: list[tuple[int, float]], seconds: float) -> None:
    """Whatever was learned: as many rows fit, one more does not."""
    model = LatencyModel()
    for batch in seen:
        model.observe(*batch)
    rows = model.most_rows(seconds)
    if rows > 0:
        assert model.estimate(rows) <= seconds + 1e-9
    assert model.estimate(rows + 1) > seconds - 1e-9


@given(SEEN)
def test_more_rows_never_take_less(seen: list[tuple[int, float]]) -> None:
    """Whatever was learned, the estimate grows with the rows, is positive and bounds the mean."""
    model = LatencyModel()
    for batch in seen:
        model.observe(*batch)
        estimates = [model.estimate(rows) for rows in (1, 2, 10, 100, 512)]
        assert estimates == sorted(estimates)
        assert 0 < model.mean(1) < estimates[0]
        assert all(1.25 - 1e-9 <= safety(model, rows) <= 3 + 1e-9 for rows in (1, 10, 512))
