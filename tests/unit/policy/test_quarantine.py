"""When a partition is held, probed and lifted: by example, and against a plain model of the same rules."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.quarantine import Limit, Quarantine, Step, free_note, held_note, read_notes

LIMIT = Limit(ratio=0.05, window=1_000, in_a_row=100, probe_after=60.0, probe_events=100)
P = 3


def held(limit: Limit = LIMIT, now: float = 0.0) -> Quarantine:
    """One partition, held a moment ago."""
    policy = Quarantine(limit)
    assert policy.observe(P, [True] * (limit.in_a_row + 1), now) is Step.HOLD
    return policy


def test_a_stream_of_poison_is_held_after_a_hundred_in_a_row() -> None:
    policy = Quarantine(LIMIT)
    assert policy.observe(P, [True] * 100, 0.0) is None
    assert list(policy.partitions) == []
    assert policy.observe(P, [True], 0.0) is Step.HOLD
    assert list(policy.partitions) == [P]
    assert policy.reason(P) == "101 dead letters in a row"


def test_a_good_event_ends_a_row() -> None:
    policy = Quarantine(LIMIT._replace(ratio=1.0))
    for _ in range(50):
        assert policy.observe(P, [True] * 100, 0.0) is None
        assert policy.observe_good(P, 1, 0.0) is None


def test_a_trickle_of_poison_is_held_by_its_share() -> None:
    policy = Quarantine(LIMIT)
    for _ in range(100):  # one in twenty is what the limit allows
        assert policy.observe(P, [True] + [False] * 19, 0.0) is None
    steps = [policy.observe(P, [True] + [False] * 9, 0.0) for _ in range(40)]
    assert Step.HOLD in steps
    assert "51 dead letters among the last 1000 events" in policy.reason(P)


@pytest.mark.parametrize("before", [0, 150, 5_000])
def test_a_short_burst_trips_nothing_at_the_start_or_later(before: int) -> None:
    policy = Quarantine(LIMIT)
    if before:
        policy.observe_good(P, before, 0.0)
    assert policy.observe(P, [True] * 50, 0.0) is None
    for _ in range(30):
        assert policy.observe_good(P, 100, 0.0) is None
    assert list(policy.partitions) == []


def test_one_partition_is_held_and_the_others_go_on() -> None:
    policy = held()
    assert policy.observe_good(P + 1, 1_000, 0.0) is None
    assert list(policy.partitions) == [P]


def test_what_was_taken_before_is_no_news_to_a_held_partition() -> None:
    policy = held()
    assert policy.observe(P, [True] * 500, 1.0) is None
    assert policy.next_due() == 60.0


def test_a_good_probe_lifts_it_and_the_past_is_forgotten() -> None:
    policy = held()
    assert policy.due(59.9) == []
    assert policy.due(60.0) == [P]
    assert policy.took(P, 60) is False
    assert policy.took(P, 40) is True
    assert policy.observe(P, [False] * 60, 60.0) is None
    assert policy.observe(P, [True] * 5 + [False] * 35, 60.0) is Step.LIFT
    assert list(policy.partitions) == []
    assert policy.observe(P, [True] * 100, 60.0) is None


def test_a_bad_probe_fails_before_all_of_it_is_answered() -> None:
    policy = held()
    policy.due(60.0)
    assert policy.observe(P, [True] * 5, 60.0) is None
    assert policy.observe(P, [True], 60.0) is Step.HOLD
    assert list(policy.partitions) == [P]


def test_pauses_double_up_to_a_bound_and_start_small_again_after_good_times() -> None:
    policy = held()
    now, pauses = 0.0, []
    for _ in range(9):
        due = policy.next_due()
        assert due is not None
        pauses.append(due - now)
        now = due
        policy.due(now)
        assert policy.observe(P, [True] * 10, now) is Step.HOLD
    assert pauses == [60, 120, 240, 480, 960, 1_920, 3_840, 3_840, 3_840]
    due = policy.next_due()
    assert due is not None
    policy.due(due)
    assert policy.observe_good(P, 100, due) is Step.LIFT
    policy.observe_good(P, 1_000, due)
    policy.observe(P, [True] * 101, due)
    assert policy.next_due() == due + 60


def test_poison_right_after_a_probe_that_was_good_waits_longer() -> None:
    policy = held()
    policy.due(60.0)
    assert policy.observe_good(P, 100, 60.0) is Step.LIFT
    assert policy.observe(P, [True] * 101, 61.0) is Step.HOLD
    assert policy.next_due() == 61.0 + 120


def test_an_operator_lifts_it_at_once() -> None:
    policy = held()
    assert policy.lift(P) is True
    assert policy.lift(P) is False
    assert policy.next_due() is None


def test_a_partition_that_comes_back_is_still_held_and_a_cut_probe_begins_afresh() -> None:
    policy = held()
    assert policy.probe_again(P, 5.0) is True
    assert policy.next_due() == 60.0
    policy.due(60.0)
    policy.took(P, 100)
    assert policy.probe_again(P, 70.0) is True
    assert policy.due(70.0) == [P]
    assert policy.took(P, 99) is False
    assert policy.probe_again(P + 1, 70.0) is False


def test_what_another_process_held_is_held_here() -> None:
    policy = Quarantine(LIMIT)
    policy.hold(P, 10.0)
    assert list(policy.partitions) == [P]
    assert policy.due(70.0) == [P]


@pytest.mark.parametrize(
    "limit", [LIMIT._replace(in_a_row=0, ratio=1.0), LIMIT._replace(in_a_row=0, ratio=1.0, window=1)]
)
def test_limits_that_are_wide_open_hold_nothing(limit: Limit) -> None:
    assert Quarantine(limit).observe(P, [True] * 5_000, 0.0) is None


def _plain(events: Sequence[bool], limit: Limit) -> int | None:
    """After how many events the partition is held, worked out from the whole history each time."""
    row = 0
    for number, is_poison in enumerate(events, 1):
        row = row + 1 if is_poison else 0
        recent = sum(events[max(0, number - limit.window) : number])
        judged = number * 5 >= limit.window
        if (limit.in_a_row and row > limit.in_a_row) or (judged and recent > limit.ratio * limit.window):
            return number
    return None


histories = st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=40).map(
    lambda runs: [is_poison for is_poison, count in runs for _ in range(count)]
)


@given(histories, st.integers(1, 40), st.floats(0, 1), st.integers(0, 15), st.integers(1, 7))
def test_it_holds_when_the_plain_rules_do(
    events: list[bool], window: int, ratio: float, in_a_row: int, part: int
) -> None:
    """In parts of any size, the good ones by the short way; never earlier, never later, never twice."""
    limit = Limit(ratio, window, in_a_row, 60.0, 10)
    policy, steps = Quarantine(limit), []
    for start in range(0, len(events), part):
        some = events[start : start + part]
        steps.append(policy.observe(P, some, 0.0) if any(some) else policy.observe_good(P, len(some), 0.0))
    expected = _plain(events, limit)
    assert [step for step in steps if step] == ([] if expected is None else [Step.HOLD])
    if expected is not None:
        assert steps[(expected - 1) // part] is Step.HOLD


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=30), st.integers(1, 50))
def test_a_probe_ends_one_way_or_the_other(runs: list[tuple[bool, int]], events: int) -> None:
    """Lifted if and only if enough were answered before too many of them were poison."""
    limit = LIMIT._replace(probe_events=events)
    policy = held(limit)
    policy.due(60.0)
    answered = poison = 0
    for is_poison, count in runs:
        step = policy.observe(P, [is_poison] * count, 60.0)
        answered, poison = answered + count, poison + count * is_poison
        if poison > limit.ratio * events:
            assert step is Step.HOLD
            return
        if answered >= events:
            assert step is Step.LIFT
            return
        assert step is None


def test_notes_say_what_is_held_since_when_and_why() -> None:
    notes = {0: held_note(1_700_000_000_000, "101 dead letters in a row"), 1: free_note(), 2: "", 3: "held x y"}
    found = read_notes(notes)
    assert list(found) == [0]
    assert found[0].since_unix_ms == 1_700_000_000_000
    assert found[0].reason == "101 dead letters in a row"
