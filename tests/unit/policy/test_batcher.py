"""Batcher: eager, bounded, first in first out; decided events ride along and need no call."""

import math

from hypothesis import given
from hypothesis import strategies as st

from inferstream.events.envelope import Batch, Event, Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.policy.batcher import Batcher
from inferstream.testing import StoredRecord

EXPIRED = Verdict(Status.EXPIRED, Cause.TOO_LATE, "decode")


def event(offset: int, *, deadline: float = 10.0, verdict: Verdict | None = None, partition: int = 0) -> Event:
    """An event at an offset, live unless it has a verdict."""
    record = StoredRecord("in", partition, offset, 0, None, b"", ())
    payload: dict[str, str] | None = None if verdict else {}
    return Event(record, 1, "default", deadline, 0, 0.0, 0, payload=payload, verdict=verdict)


def offsets(events: list[Event]) -> list[int]:
    """Which events these are."""
    return [e.record.offset for e in events]


def test_what_waits_is_sent_at_once() -> None:
    """Nothing lingers: one event is a batch when a call may be made."""
    batcher = Batcher(max_batch_size=8, max_in_flight=2)
    batcher.add([event(0, deadline=3.0), event(1, deadline=2.0)])
    batch = batcher.next(1.0)
    assert batch is not None
    assert offsets(batch.events) == [0, 1]
    assert (batch.deadline, batch.sent_at) == (2.0, 1.0)
    assert batcher.next(1.0) is None


def test_calls_under_way_are_bounded_and_the_batch_grows_meanwhile() -> None:
    """While every call is taken the queue fills; the next batch takes what is there, up to its size."""
    batcher = Batcher(max_batch_size=3, max_in_flight=1)
    batcher.add([event(0)])
    first = batcher.next(0.0)
    assert first is not None
    batcher.add([event(i) for i in range(1, 6)])
    assert batcher.next(0.0) is None
    assert (len(batcher), batcher.in_flight) == (5, 1)
    batcher.done(first)
    second = batcher.next(0.0)
    assert second is not None
    assert offsets(second.events) == [1, 2, 3]


def test_decided_events_leave_without_a_call() -> None:
    """A backlog that expired, or poison, does not wait for the model."""
    batcher = Batcher(max_batch_size=1, max_in_flight=1)
    batcher.add([event(0)])
    batcher.next(0.0)
    batcher.add([event(1, verdict=EXPIRED), event(2, verdict=EXPIRED), event(3)])
    batch = batcher.next(0.0)
    assert batch is not None
    assert offsets(batch.events) == [1, 2]
    assert batch.deadline == math.inf
    assert batcher.in_flight == 1


def test_partitions_that_went_away_are_forgotten() -> None:
    """Their new owner answers them."""
    batcher = Batcher(max_batch_size=8, max_in_flight=1)
    batcher.add([event(0, partition=0), event(0, partition=1)])
    batcher.drop_partitions({0})
    batch = batcher.next(0.0)
    assert batch is not None
    assert [e.record.partition for e in batch.events] == [1]


@given(st.lists(st.booleans(), max_size=3_000), st.integers(1, 9), st.integers(1, 3), st.data())
def test_nothing_is_lost_repeated_or_reordered(
    live: list[bool], max_rows: int, max_calls: int, data: st.DataObject
) -> None:
    """Whatever the mix, all events leave once, in order, never more rows or calls than allowed."""
    batcher = Batcher(max_rows, max_calls)
    batcher.add([event(i, verdict=None if is_live else EXPIRED) for i, is_live in enumerate(live)])
    left: list[int] = []
    under_way: list[Batch] = []
    while len(batcher) or under_way:
        batch = batcher.next(0.0)
        if batch is not None:
            rows = sum(e.is_live for e in batch.events)
            assert rows <= max_rows
            assert (rows == 0) == (batch.deadline == math.inf)
            left += offsets(batch.events)
            under_way += [batch] if rows else []
            assert len(under_way) == batcher.in_flight <= max_calls
        else:
            batcher.done(under_way.pop(data.draw(st.integers(0, len(under_way) - 1), label="which")))
    assert left == list(range(len(live)))
