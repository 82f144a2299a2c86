"""Schedules have the rate they promise, and pacing sends what is due: all of it, none of it early."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtest import pacer

SECOND = 1_000_000_000

rates = st.floats(0.5, 2_000)
lengths = st.floats(0.1, 20)
schedules = st.lists(st.integers(0, 10 * SECOND), max_size=60).map(lambda times: np.array(sorted(times), np.int64))


def test_constant_events_are_evenly_spaced() -> None:
    schedule = pacer.evenly(pacer.constant(4, 1))
    assert schedule.tolist() == [0, SECOND // 4, SECOND // 2, 3 * SECOND // 4]


@given(rates, lengths)
def test_even_events_are_as_many_as_rate_and_length_say(rate: float, seconds: float) -> None:
    schedule = pacer.evenly(pacer.constant(rate, seconds))
    assert abs(len(schedule) - rate * seconds) <= 1
    assert (np.diff(schedule) >= 0).all()
    assert schedule[0] == 0
    assert schedule[-1] <= seconds * SECOND


@given(rates, lengths, st.integers(0, 2**32))
def test_a_poisson_process_is_seeded_sorted_and_within_its_length(rate: float, seconds: float, seed: int) -> None:
    profile = pacer.constant(rate, seconds)
    schedule = pacer.poisson(profile, seed)
    assert (schedule == pacer.poisson(profile, seed)).all()
    assert (np.diff(schedule) >= 0).all()
    assert ((schedule >= 0) & (schedule <= seconds * SECOND)).all()
    assert abs(len(schedule) - rate * seconds) <= 7 * np.sqrt(rate * seconds) + 7


def test_poisson_distances_vary_as_much_as_they_are_long() -> None:
    distances = np.diff(pacer.poisson(pacer.constant(1_000, 20), 1))
    assert distances.mean() == pytest.approx(SECOND / 1_000, rel=0.03)
    assert distances.std() == pytest.approx(distances.mean(), rel=0.03)


def test_bursts_come_at_the_end_of_every_period() -> None:
    schedule = pacer.poisson(pacer.bursts(1_000, 3_000, period_s=2, burst_s=0.5, seconds=6), 1)
    second = schedule / SECOND
    in_burst = second % 2 >= 1.5
    assert in_burst.sum() / 1.5 == pytest.approx(3_000, rel=0.06)
    assert (~in_burst).sum() / 4.5 == pytest.approx(1_000, rel=0.06)


def test_a_burst_that_the_end_cuts_off_is_shorter() -> None:
    assert len(pacer.evenly(pacer.bursts(10, 100, period_s=1, burst_s=0.5, seconds=0.75))) == 5 + 25


def test_a_pause_between_bursts_has_no_event() -> None:
    schedule = pacer.evenly(pacer.bursts(0, 100, period_s=1, burst_s=0.1, seconds=2)) / SECOND
    assert len(schedule) == 20
    assert (schedule % 1 >= 0.9 - 1e-9).all()


def test_a_spike_is_one_burst() -> None:
    schedule = pacer.evenly(pacer.spike(100, 10, at_s=1, length_s=0.5, seconds=3)) / SECOND
    assert ((schedule >= 1) & (schedule < 1.5)).sum() == pytest.approx(500, abs=1)
    assert len(schedule) == pytest.approx(250 + 500, abs=1)


def test_a_ramp_grows_linearly() -> None:
    schedule = pacer.evenly(pacer.ramp(0, 1_000, 10)) / SECOND
    assert len(schedule) == pytest.approx(5_000, abs=2)
    assert (schedule < 5).sum() == pytest.approx(1_250, abs=5)


def test_a_replay_keeps_the_distances() -> None:
    recorded = np.array([5_000, 5_010, 5_050], np.int64)
    assert pacer.replay(recorded, 2).tolist() == [0, 5, 25]


def test_a_recording_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        pacer.replay(np.array([2, 1], np.int64), 1)


@given(schedules, st.integers(0, 60), st.integers(0, 11 * SECOND))
def test_what_is_due_is_sent_and_the_next_one_waited_for(schedule: pacer.Schedule, sent: int, elapsed: int) -> None:
    sent = min(sent, len(schedule))
    until, wait_ns = pacer.pace(schedule, sent, elapsed)
    assert until >= sent
    assert (schedule[until:] > elapsed).all()
    assert (schedule[sent:until] <= elapsed).all()
    assert wait_ns == (schedule[until] - elapsed if until < len(schedule) else 0)


@given(schedules, st.lists(st.integers(1, 3 * SECOND), min_size=1, max_size=30))
def test_everything_is_sent_once_whatever_the_clock_does(schedule: pacer.Schedule, steps: list[int]) -> None:
    sent, elapsed, seen = 0, 0, list[int]()
    for step in [*steps, 11 * SECOND]:
        elapsed += step
        due = pacer.pace(schedule, sent, elapsed)
        seen += range(sent, due.until)
        sent = due.until
    assert seen == list(range(len(schedule)))


def test_behind_schedule_everything_goes_at_once() -> None:
    schedule = pacer.evenly(pacer.constant(1_000, 1))
    assert pacer.pace(schedule, 0, 499_500_000) == (500, 500_000)
