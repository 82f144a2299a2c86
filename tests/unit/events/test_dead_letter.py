"""Dead-letter headers: the original's stay, inherited copies of ours go, Spring's names are there in Spring's form."""

import struct

from inferstream.events.dead_letter import dead_letter_headers
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
