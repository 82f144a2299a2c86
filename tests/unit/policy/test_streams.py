"""Which stream begins next: by deadline, within the limit, and never with next to no time."""

from typing import NamedTuple

import pytest

from inferstream.policy.batcher import SloClass
from inferstream.policy.streams import StreamQueue

INF = float("inf")


class Prompt(NamedTuple):
    name: str
    deadline: float
    taken_at: float = 0.0
    slo_class: str = "default"


def queue(most: int = 2, endpoints: int = 1, is_late_ok: bool = False) -> StreamQueue[Prompt]:
    made: StreamQueue[Prompt] = StreamQueue([SloClass("default", 10.0, 0.0, is_late_ok)], most, endpoints)
    made.keep(0.5)
    return made


def begun(queue: StreamQueue[Prompt], now: float) -> list[str]:
    """All that begins now."""
    names = []
    while (plan := queue.next(now)).begin is not None:
        names.append(plan.begin.name)
    return names


def test_the_earliest_deadline_begins_first_and_no_more_than_the_limit() -> None:
    streams = queue(most=2)
    streams.add([Prompt("c", 9.0), Prompt("a", 7.0), Prompt("b", 8.0)])
    assert begun(streams, 0.0) == ["a", "b"]
    assert (len(streams), streams.in_flight) == (1, 2)
    streams.done(0, 1.0)
    assert begun(streams, 1.0) == ["c"]


def test_equal_deadlines_keep_their_order() -> None:
    streams = queue(most=3)
    streams.add([Prompt(name, 9.0) for name in "abc"])
    assert begun(streams, 0.0) == ["a", "b", "c"]


def test_the_emptiest_endpoint_that_is_up_takes_the_next() -> None:
    streams = queue(most=2, endpoints=3)
    streams.set_up(1, is_up=False)
    streams.add([Prompt(str(n), 9.0) for n in range(5)])
    endpoints = []
    while (plan := streams.next(0.0)).begin is not None:
        endpoints.append(plan.endpoint)
    assert sorted(endpoints) == [0, 0, 2, 2]


def test_an_event_is_missed_when_less_than_half_of_what_streams_take_is_left() -> None:
    streams = queue(most=1)
    for _ in range(100):
        streams.add([Prompt("before", 10.0)])
        assert streams.next(0.0).begin is not None
        streams.done(0, 4.0)
    streams.add([Prompt("first", 10.0), Prompt("second", 10.0)])
    assert begun(streams, 0.0) == ["first"]
    plan = streams.next(7.4)
    assert plan.missed == []
    assert plan.wake_at == pytest.approx(10 - 0.5 - 2)
    assert [each.name for each in streams.next(plan.wake_at).missed] == ["second"]
    assert len(streams) == 0


def test_a_short_budget_is_judged_by_itself() -> None:
    """A class that has less than half of what others' streams take is not shut out."""
    streams = queue(most=1)
    for _ in range(100):
        streams.add([Prompt("long", 100.0)])
        assert streams.next(0.0).begin is not None
        streams.done(0, 60.0)
    streams.add([Prompt("short", 2.0)])
    assert begun(streams, 0.1) == ["short"]


def test_without_an_endpoint_half_of_the_time_is_enough_to_hope() -> None:
    streams = queue()
    streams.set_up(0, is_up=False)
    streams.add([Prompt("a", 10.0)])
    plan = streams.next(4.9)
    assert (plan.begin, plan.missed) == (None, [])
    assert plan.wake_at <= 5.0
    assert [each.name for each in streams.next(5.0).missed] == ["a"]


def test_what_may_be_late_waits_for_its_turn_and_is_not_cut() -> None:
    streams = queue(most=1, is_late_ok=True)
    streams.add([Prompt("a", 1.0), Prompt("b", 1.0)])
    assert begun(streams, 0.0) == ["a"]
    assert streams.next(50.0) == (None, -1, [], INF)
    assert streams.ends_at(Prompt("a", 1.0)) == INF
    streams.done(0, 1.0)
    assert begun(streams, 50.0) == ["b"]


def test_a_stream_ends_before_its_deadline_by_the_reserve() -> None:
    assert 6.4 < queue().ends_at(Prompt("a", 7.0)) < 6.5


def test_what_cutting_streams_takes_is_learned_and_forgotten() -> None:
    streams = queue()
    for _ in range(10):
        streams.was_cut(0.2)
    assert streams.ends_at(Prompt("a", 7.0)) == pytest.approx(6.3)
    for _ in range(300):
        streams.was_cut(-0.01)
    assert streams.ends_at(Prompt("a", 7.0)) == pytest.approx(6.5)


def test_dropped_events_do_not_begin() -> None:
    streams = queue(most=3)
    streams.add([Prompt("a", 9.0), Prompt("b", 9.0)])
    streams.drop(lambda prompt: prompt.name == "a")
    assert begun(streams, 0.0) == ["b"]
