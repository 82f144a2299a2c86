"""Dead-letter headers: the original's stay, inherited copies of ours go, Spring's names are there in Spring's form."""

import struct

import pytest

from inferstream.events.dead_letter import dead_letter_headers, replay_headers, replays, source_of
from inferstream.events.headers import Headers
from inferstream.events.outcome import outcome_id


def made(original: Headers) -> list[tuple[str, bytes | None]]:
    return dead_letter_headers(
        original,
        outcome_id=outcome_id("g", "t", 3, 2**40),
        cause="invalid",
        stage="decode",
        detail="why",
        attempts=1,
        pipeline="p",
        service_version="1",
        topic="t",
        partition=3,
        offset=2**40,
        timestamp_ms=1_700_000_000_000,
        group="g",
    )


def test_the_originals_headers_come_first_and_unchanged() -> None:
    original = [("a", b"1"), ("a", b"2"), ("traceparent", b"\xff")]
    assert made(original)[:3] == original


def test_a_letter_of_a_letter_names_its_own_reason_once() -> None:
    twice = made(made([("own", b"x")]))
    names = [name for name, _ in twice]
    assert len(names) == len(set(names))
    assert names[0] == "own"


def test_springs_numbers_are_big_endian() -> None:
    found = {name: value or b"" for name, value in made([])}
    assert struct.unpack(">i", found["kafka_dlt-original-partition"]) == (3,)
    assert struct.unpack(">q", found["kafka_dlt-original-offset"]) == (2**40,)
    assert struct.unpack(">q", found["kafka_dlt-original-timestamp"]) == (1_700_000_000_000,)
    assert found["dlq-outcome-id"] == b"g/t/3/1099511627776"


def found(headers: Headers) -> dict[str, bytes | None]:
    return dict(headers)


def test_kafka_connects_names_are_text() -> None:
    written = found(made([]))
    assert written["__connect.errors.topic"] == b"t"
    assert written["__connect.errors.partition"] == b"3"
    assert written["__connect.errors.offset"] == str(2**40).encode()
    assert written["__connect.errors.exception.class.name"] == b"invalid"
    assert written["__connect.errors.exception.message"] == b"why"


def test_a_replay_keeps_the_producers_headers_and_names_the_source_alone() -> None:
    original = [("traceparent", b"00"), ("a", b"1"), ("a", b"2"), ("deadline-unix-ms", b"1"), ("slo-ms", b"7")]
    assert replay_headers(made(original), 50.0) == [
        ("traceparent", b"00"),
        ("a", b"1"),
        ("a", b"2"),
        ("slo-ms", b"50"),
        ("dlq-original-topic", b"t"),
        ("dlq-original-partition", b"3"),
        ("dlq-original-offset", str(2**40).encode()),
        ("dlq-original-timestamp", b"1700000000000"),
        ("dlq-replays", b"1"),
    ]


def test_however_often_it_comes_back_it_names_the_record_it_first_was_and_does_not_grow() -> None:
    first = made([("own", b"x")])
    letter: Headers = first
    for count in range(1, 5):
        event = replay_headers(letter, 50)
        letter = dead_letter_headers(
            event, outcome_id=f"g/t/3/{count}", cause="empty", stage="decode", detail="", attempts=1, pipeline="p",
            service_version="1", topic="t", partition=3, offset=count, timestamp_ms=count, group="g",
        )  # fmt: skip
        assert replays(letter) == count
        now, then = found(letter), found(first)
        for name in ("dlq-original-offset", "dlq-original-timestamp", "kafka_dlt-original-offset"):
            assert now[name] == then[name]
        assert now["dlq-outcome-id"] == f"g/t/3/{count}".encode()
        assert len(letter) == len(first) + 2  # slo-ms and dlq-replays
        assert source_of(event) == source_of(letter)


@pytest.mark.parametrize(
    "spoilt",
    [
        ("dlq-original-offset", b"-7"),
        ("dlq-original-partition", b"99999999999"),
        ("dlq-original-offset", b"9" * 19),
        ("dlq-original-timestamp", b"now"),
        ("dlq-original-topic", b""),
    ],
)
def test_a_source_that_a_producer_made_up_does_not_break_the_letter(spoilt: tuple[str, bytes]) -> None:
    event = [*replay_headers(made([]), 50), spoilt]
    written = found(made(event))
    assert written["dlq-original-offset"] == str(2**40).encode()
    assert written["dlq-original-topic"] == b"t"


def test_an_event_that_was_not_replayed_keeps_no_source() -> None:
    pretended = [("dlq-original-topic", b"other"), ("dlq-original-offset", b"1"), ("dlq-replays", b"0")]
    assert found(made(pretended))["dlq-original-topic"] == b"t"
    assert source_of(pretended) == {}


def test_a_letter_without_a_source_cannot_be_replayed() -> None:
    with pytest.raises(ValueError, match="where it came from"):
        replay_headers([("dlq-outcome-id", b"g/t/0/1")], 50)
