"""The books: what is planted is found, and they balance whatever comes back."""

from typing import NamedTuple

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from loadtest import account
from loadtest.account import Received, Status
from loadtest.errors import AccountingError

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
SLO_MS = 50


class Line(NamedTuple):
    """A record, told by when it came after its event was to be sent."""

    sequence: int
    after_ms: int = 10
    status: Status = Status.SCORED
    is_letter: bool = False
    intended_ns: int | None = None


def sent(count: int) -> account.Ints:
    """One event every 10 ms."""
    return BEGIN + np.arange(count, dtype=np.int64) * 10_000_000


def received(intended: account.Ints, *lines: Line) -> Received:
    rows = []
    for line in lines:
        is_known = 0 <= line.sequence < len(intended)
        due = line.intended_ns or (int(intended[line.sequence]) if is_known else BEGIN)
        append_ms = due // 1_000_000 + line.after_ms
        rows.append((line.sequence, due, append_ms, append_ms * 1_000_000 + 500_000, int(line.status), line.is_letter))
    columns = np.array(rows, np.int64).reshape(-1, 6).T
    return Received(*columns[:5], columns[5].astype(bool))  # type: ignore[call-arg]


def settle(intended: account.Ints, *lines: Line, warm_up: int = 0) -> account.Books:
    return account.settle(intended, received(intended, *lines), SLO_MS, np.arange(len(intended)) < warm_up)


def figures(intended: account.Ints, *lines: Line) -> dict[str, object]:
    return account.figures(settle(intended, *lines), BEGIN, 1.0)


def test_every_kind_of_end_is_counted() -> None:
    found = figures(
        sent(7),
        Line(0),
        Line(1, after_ms=51),
        Line(2, status=Status.FALLBACK),
        Line(3, status=Status.FALLBACK, after_ms=80),
        Line(4, status=Status.EXPIRED),
        Line(5, status=Status.DEAD_LETTERED),
    )
    assert found["counts"] == {
        "in_time": 1, "late": 1, "fallback": 2, "expired": 1, "dead_lettered": 1, "lost": 1,
    }  # fmt: skip
    assert found["sent"] == 7
    assert found["fallback_in_time"] == 1
    assert found["goodput_per_s"] == 1
    assert found["answered_in_time_ratio"] == pytest.approx(2 / 7, abs=1e-6)


def test_a_planted_loss_is_found() -> None:
    lines = [Line(number) for number in range(100) if number != 42]
    books = settle(sent(100), *lines)
    assert np.flatnonzero(books.status == -1).tolist() == [42]


def test_a_planted_duplicate_is_found_and_the_first_record_counts() -> None:
    found = figures(sent(2), Line(0), Line(1), Line(0, after_ms=500))
    assert found["duplicates"] == 1
    assert found["counts"]["in_time"] == 2  # type: ignore[index]


@pytest.mark.parametrize("line", [Line(-1), Line(2), Line(1, intended_ns=BEGIN + 1)])
def test_a_record_of_an_event_that_was_never_sent_is_a_phantom(line: Line) -> None:
    found = figures(sent(2), Line(0), Line(1), line)
    assert found["phantoms"] == 1
    assert found["counts"]["in_time"] == 2  # type: ignore[index]
    assert found["duplicates"] == 0


def test_in_time_is_judged_by_the_append_in_whole_milliseconds() -> None:
    found = figures(sent(2), Line(0, after_ms=SLO_MS), Line(1, after_ms=SLO_MS + 1))
    assert (found["counts"]["in_time"], found["counts"]["late"]) == (1, 1)  # type: ignore[index]


def test_a_dead_letter_tells_of_an_event_only_where_no_outcome_does() -> None:
    letter = Line(0, status=Status.DEAD_LETTERED, is_letter=True)
    assert figures(sent(1), letter, Line(0, status=Status.EXPIRED))["counts"]["expired"] == 1  # type: ignore[index]
    assert figures(sent(1), letter)["counts"]["dead_lettered"] == 1  # type: ignore[index]


def test_warm_up_is_sent_and_known_but_not_counted() -> None:
    books = settle(sent(4), Line(0), Line(1), Line(2), Line(3, after_ms=99), warm_up=2)
    assert len(books.intended_ns) == 2
    assert books.phantoms == 0
    assert account.figures(books, BEGIN, 1)["counts"]["late"] == 1


def test_latencies_are_from_the_intended_time_and_of_answered_events_only() -> None:
    found = figures(sent(3), Line(0, after_ms=20), Line(1, after_ms=40), Line(2, after_ms=9, status=Status.EXPIRED))
    assert found["append_ms"]["max"] == 40  # type: ignore[index]
    assert found["receipt_ms"]["p50"] == pytest.approx(20.5, rel=0.001)  # type: ignore[index]
    histogram = HdrHistogram.decode(found["receipt_histogram"])
    assert histogram.get_total_count() == 2
    assert histogram.get_max_value() / 1_000 == pytest.approx(40.5, rel=0.001)


def test_seconds_are_those_of_the_intended_time() -> None:
    lines = [Line(number, after_ms=10 if number < 100 else 70) for number in range(150)]
    rows = account.figures(settle(sent(150), *lines), BEGIN + SECOND // 2, 1.0)["per_second"]
    assert [(row["second"], row["sent"], row["in_time"], row["late"]) for row in rows] == [
        (-1, 50, 50, 0),
        (0, 100, 50, 50),
    ]
    assert rows[1]["receipt_p99_ms"] == pytest.approx(70.5, rel=0.001)


def test_nothing_answered_has_no_percentiles() -> None:
    assert figures(sent(2))["append_ms"] == {"p50": None, "p90": None, "p99": None, "p99_9": None, "max": None}


def test_books_that_do_not_balance_are_no_figures() -> None:
    books = settle(sent(2), Line(0), Line(1))
    broken = books._replace(status=np.array([0, 7]))
    with pytest.raises(AccountingError, match="do not balance"):
        account.figures(broken, BEGIN, 1)


def test_every_event_has_the_deadline_of_its_class() -> None:
    intended, class_of = sent(4), np.array([0, 1, 1, 0], np.uint8)
    slos_ms = {"default": 50, "gold": 20}
    came = received(intended, Line(0, after_ms=40), Line(1, after_ms=40), Line(2, 20, Status.FALLBACK), Line(3, 51))
    of_each = np.array([*slos_ms.values()], np.int64)[class_of]
    books = account.settle(intended, came, of_each, np.zeros(4, bool))
    found = account.of_classes(books, class_of, slos_ms)
    assert [(name, one["sent"], one["in_time"], one["fallback_in_time"]) for name, one in found.items()] == [
        ("default", 2, 1, 0),
        ("gold", 2, 0, 1),
    ]
    assert found["gold"]["append_ms"]["max"] == 40
    assert found["gold"]["slo_ms"] == 20


def test_the_next_score_in_time_is_counted_from_what_happened() -> None:
    """Neither a late one, nor the fallback's, nor one before it."""
    lines = [Line(0, 10), Line(1, 90), Line(2, 10, Status.FALLBACK), Line(3, 30), Line(4, 5)]
    books = settle(sent(5), *lines)
    assert account.score_after_s(books, BEGIN + 15_000_000) == pytest.approx(0.03)
    assert account.score_after_s(books, BEGIN) == pytest.approx(0.01)
    assert account.score_after_s(books, BEGIN + SECOND) is None


def test_the_rate_of_expiry_is_that_of_the_old_events() -> None:
    """1,000 old events in 100 ms; those that expire later, one by one, are not of the backlog."""
    intended = BEGIN + np.concatenate([np.full(1_000, -SECOND), np.arange(20) * SECOND // 10]).astype(np.int64)
    old = [Line(n, 1_000 + n // 10, Status.EXPIRED) for n in range(1_000)]
    live = [Line(n, 60, Status.EXPIRED) for n in range(1_000, 1_020)]
    found = figures(intended, *old, *live)
    assert found["expired_per_s"] == pytest.approx(10_000, rel=0.05)
    assert figures(sent(1), Line(0))["expired_per_s"] is None


lines = st.builds(
    Line,
    st.integers(-1, 25),
    st.integers(0, 120),
    st.sampled_from(Status),
    st.booleans(),
    st.sampled_from([None, None, None, BEGIN + 3]),
)


@given(st.integers(1, 20), st.lists(lines, max_size=80), st.integers(0, 5))
def test_the_books_balance_whatever_comes_back(count: int, given_lines: list[Line], warm_up: int) -> None:
    intended = sent(count)
    books = settle(intended, *given_lines, warm_up=min(warm_up, count - 1))
    found = account.figures(books, BEGIN, 1)
    assert sum(found["counts"].values()) == found["sent"] == len(books.intended_ns)
    assert sum(row["sent"] for row in found["per_second"]) == found["sent"]
    outcomes = [line for line in given_lines if not line.is_letter]
    seen = len({line.sequence for line in outcomes if 0 <= line.sequence < count and line.intended_ns is None})
    known = sum(0 <= line.sequence < count and line.intended_ns is None for line in outcomes)
    assert books.duplicates == known - seen
