"""What is said of a rolling upgrade follows from when events were sent and answered."""

import numpy as np
import pytest
from loadtest.account import Books
from tests.helm.kubelet.node import Said
from tests.helm.rolling.load import Seen
from tests.helm.rolling.silences import Window, cost, silences
from tests.helm.rolling.steps import judge, windows

NEVER = float("nan")


def seen(*events: tuple[int, float, float]) -> Seen:
    """Partition, when sent and how long until it was answered, in ms; in time within 100 ms."""
    partitions, sent_ms, took_ms = (np.array(column) for column in zip(*events, strict=True))
    answered = ~np.isnan(took_ms)
    status = np.where(answered, 0, -1).astype(np.int64)
    in_time = answered & (took_ms <= 100)
    books = Books((sent_ms * 1e6).astype(np.int64), status, in_time, took_ms.astype(float), took_ms.astype(float), 0, 0)
    return Seen(books, partitions.astype(np.int64))


def found(given: Seen) -> list[tuple[int, float, float]]:
    sent_ms = given.books.intended_ns / 1e6
    return [
        (each.partition, each.began_ms, each.ended_ms)
        for each in silences(sent_ms, sent_ms + given.books.append_ms, given.partitions)
    ]


def test_a_partition_is_silent_while_events_wait_and_nothing_comes() -> None:
    assert found(seen((0, 0, 10), (0, 1_000, 2_000), (0, 1_500, 1_600), (0, 3_150, 10))) == [(0, 1_000, 3_000)]


def test_without_events_there_is_no_silence() -> None:
    assert found(seen((0, 0, 10), (0, 10_000, 10))) == []


def test_an_event_of_long_ago_counts_from_the_last_answer_on() -> None:
    assert found(seen((0, 0, 5_000), (0, 1_000, 100))) == [(0, 0, 1_100), (0, 1_100, 5_000)]


def test_partitions_are_silent_each_for_itself() -> None:
    steady = [(1, ms, 10.0) for ms in range(0, 5_000, 100)]
    assert found(seen((0, 0, 10), (0, 1_000, 2_000), *steady)) == [(0, 1_000, 3_000)]


def test_a_window_costs_its_worst_partition_by_one_silence_and_in_sum() -> None:
    given = [(0, 100.0, 1_100.0), (0, 2_000.0, 4_000.0), (1, 100.0, 2_600.0), (1, 50_000.0, 59_000.0)]
    quiet = [silences(np.array([b, e]), np.array([e, e + 1.0]), np.array([p, p]))[0] for p, b, e in given]
    assert cost(Window("p", 0, 10_000), quiet) == ("p", 2.5, 3.0)


def test_each_pod_that_ends_has_a_window_until_the_next_does() -> None:
    """It opens a moment before: an event on its way to the pod waits for the next one."""
    said = [
        Said(at, f"p{at}", "", what)
        for at, what in ((500, "is to end"), (2_000, "is to end"), (2_200, "is gone"), (4_000, "is to end"))
    ]
    assert windows(said, 1_000, 6_000) == [("p2000", 1_900, 3_900), ("p4000", 3_900, 6_000)]
    assert windows(said, 5_000, 6_000) == [("no pod ended", 5_000, 6_000)]


@pytest.mark.parametrize(
    ("late", "outside"),
    [((0, 1_000, 2_000.0), 1.0), ((0, 1_000, 200.0), 0.5), ((0, 1_000, NEVER), 1.0)],
    ids=["waited through a silence", "late without one", "never answered"],
)
def test_what_waits_through_a_silence_is_apart(late: tuple[int, float, float], outside: float) -> None:
    result = judge("step", 1.0, seen((0, 0, 10), late), [Window("p", 0, 10_000)])
    assert result.in_time == 0.5
    assert result.in_time_outside == outside
    assert result.lost == int(np.isnan(late[2]))


def test_a_silence_that_no_pod_explains_is_held_against_us() -> None:
    result = judge("step", 1.0, seen((0, 0, 10), (0, 20_000, 2_000)), [Window("p", 0, 10_000)])
    assert result.in_time_outside == 0.5
    assert result.costs == [("p", 0.0, 0.0)]
    assert "only 50.000% in time" in result.problems[0]
