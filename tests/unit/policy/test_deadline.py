"""Deadlines: header, class and default, in this order; nonsense is counted and never silently believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.events import headers
from inferstream.policy.deadline import Deadlines

NOW = 1_700_000_000_000
DEADLINES = Deadlines({"default": 50, "fast": 20, "slow": 500})


def deadline(*given_headers: tuple[str, bytes], timestamp: int = NOW) -> tuple[str, int, str | None]:
    """What a record with these headers gets."""
    return DEADLINES.of(timestamp, headers.read(given_headers), NOW)


@pytest.mark.parametrize(
    ("given_headers", "expected"),
    [
        ([], ("default", NOW + 50, None)),
        ([("slo-class", b"fast")], ("fast", NOW + 20, None)),
        ([("slo-ms", b"75")], ("default", NOW + 75, None)),
        ([("slo-class", b"slow"), ("slo-ms", b"75")], ("slow", NOW + 75, None)),
        ([("deadline-unix-ms", str(NOW + 5).encode()), ("slo-ms", b"75")], ("default", NOW + 5, None)),
        ([("slo-class", b"unheard-of")], ("default", NOW + 50, "slo-class")),
        ([("slo-ms", b"-1")], ("default", NOW + 50, "slo-ms")),
        ([("slo-ms", b"1e3")], ("default", NOW + 50, "slo-ms")),
        ([("slo-ms", b"")], ("default", NOW + 50, "slo-ms")),
        ([("slo-ms", b"99999999999999999999999")], ("default", NOW + 50, "slo-ms")),
        ([("deadline-unix-ms", b"tomorrow")], ("default", NOW + 50, "deadline-unix-ms")),
        ([("deadline-unix-ms", str(NOW + 366 * 86_400_000).encode())], ("default", NOW + 50, "deadline-unix-ms")),
        ([("deadline-unix-ms", b"x"), ("slo-ms", b"75")], ("default", NOW + 75, "deadline-unix-ms")),
    ],
)
def test_precedence(given_headers: list[tuple[str, bytes]], expected: tuple[str, int, str | None]) -> None:
    """The most specific header that makes sense wins; the others are reported."""
    assert deadline(*given_headers) == expected


def test_last_of_repeated_headers_counts() -> None:
    """Kafka allows a header twice; the last writer is the nearest one."""
    assert deadline(("slo-ms", b"10"), ("slo-ms", b"30")) == ("default", NOW + 30, None)


def test_deadline_in_the_past_is_believed() -> None:
    """A backlog's deadlines have passed; that is not nonsense."""
    assert deadline(("deadline-unix-ms", b"1000")) == ("default", 1000, None)


@given(st.lists(st.tuples(st.sampled_from(["deadline-unix-ms", "slo-ms", "slo-class"]), st.binary(max_size=40))))
def test_hostile_headers_never_raise(given_headers: list[tuple[str, bytes]]) -> None:
    """Whatever bytes a producer sends, there is a class and a deadline within a day."""
    slo_class, at, _ = deadline(*given_headers)
    assert slo_class in DEADLINES.classes
    assert at <= NOW + 86_400_000


@pytest.mark.parametrize("timestamp", [-1, NOW + 5_000, NOW + 366 * 86_400_000])
def test_a_timestamp_that_cannot_be_right_gives_the_class_time_from_now(timestamp: int) -> None:
    """A producer's clock that is wrong buys no time, and it is said."""
    assert deadline(timestamp=timestamp) == ("default", NOW + 50, "timestamp")
    assert deadline(("slo-class", b"fast"), timestamp=timestamp) == ("fast", NOW + 20, "timestamp")


def test_a_clock_a_little_ahead_is_no_mistake() -> None:
    """Clocks of two machines differ."""
    assert deadline(timestamp=NOW + 900) == ("default", NOW + 950, None)
