"""Offsets: committable is the contiguous prefix, whatever order results come in."""

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.offsets import OffsetTracker


def test_nothing_is_committable_before_anything_is_resolved() -> None:
    """A partition that was only read has no offset to commit."""
    tracker = OffsetTracker()
    tracker.track([7])
    assert tracker.committable is None
    assert not tracker.is_drained


def test_a_gap_holds_the_offset_back() -> None:
    """The offset passes a record only when everything below it is resolved."""
    tracker = OffsetTracker()
    tracker.track([5, 6, 9])  # 7 and 8 are transaction markers
    tracker.resolve([9])
    tracker.resolve([6])
    assert tracker.committable is None
    tracker.resolve([5])
    assert tracker.committable == 10
    assert tracker.is_drained
    assert tracker.take_advanced() == 3
    assert tracker.take_advanced() == 0


def test_unsettled_counts_records_not_offsets() -> None:
    """Holes in the offsets are nobody's records."""
    tracker = OffsetTracker()
    tracker.track([1, 100, 200])
    tracker.resolve([200])
    assert tracker.unsettled == 2


def test_offsets_must_grow() -> None:
    """A source that goes back is a bug, not something to paper over."""
    tracker = OffsetTracker()
    tracker.track([3])
    with pytest.raises(ValueError, match="offset 3 taken after 3"):
        tracker.track([3])


@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=60).map(sorted), st.randoms(), st.data())
def test_commit_never_passes_an_unresolved_record(offsets: list[int], rng: object, data: st.DataObject) -> None:
    """For any order of results the committable offset is one past the longest resolved prefix."""
    tracker = OffsetTracker()
    tracker.track(offsets)
    resolved: set[int] = set()
    for offset in data.draw(st.permutations(offsets)):
        tracker.resolve([offset])
        tracker.resolve([offset])  # a second acknowledgement changes nothing
        resolved.add(offset)
        prefix = [o for i, o in enumerate(offsets) if set(offsets[: i + 1]) <= resolved]
        assert tracker.committable == (prefix[-1] + 1 if prefix else None)
    assert tracker.is_drained
    assert tracker.unsettled == 0


@given(rng=st.randoms(use_true_random=False), most=st.sampled_from([1, 2, 5, 40]))
def test_runs_change_nothing_but_what_is_kept(rng: random.Random, most: int) -> None:
    """Beside a tracker that never makes any: takes and results in any order, some of them late, some told twice."""
    plain, tracker = OffsetTracker(10**9), OffsetTracker(most)
    waiting: list[int] = []
    at = 0
    for _ in range(60):
        taken = [at := at + rng.choice([1, 1, 1, 7]) for _ in range(rng.randrange(4))]
        rng.shuffle(waiting)
        count = rng.randrange(5)
        resolved, waiting = waiting[:count], waiting[count:] + taken
        told = []
        for each in (plain, tracker):
            each.track(taken)
            each.resolve(resolved)
            each.resolve(resolved)
            ready = each.committable_with(set(waiting[:3]))
            told.append((each.committable, ready, each.unsettled, each.is_drained, each.take_advanced()))
        assert told[0] == told[1]


def test_what_one_record_holds_back_takes_no_memory() -> None:
    """It has a day's time while the model is away, and two hundred thousand others are answered meanwhile."""
    tracker = OffsetTracker()
    tracker.track([0])
    tracemalloc.start()
    for start in range(1, 200_001, 500):
        tracker.track(range(start, start + 500))
        tracker.resolve(range(start, start + 500))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 4_000_000
    assert (tracker.unsettled, tracker.committable) == (1, None)
    tracker.resolve([0])
    assert tracker.committable == 200_001
    assert tracker.take_advanced() == tracker.taken == 200_001
    assert tracker.is_drained
