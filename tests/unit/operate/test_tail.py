"""tail shows outcomes, dead letters and foreign records, and no personal data unless asked."""

import json

import msgpack
import msgspec
import pytest

from inferstream.events import dead_letter, headers
from inferstream.operate.foreign import schemaless
from inferstream.operate.tail import describe, line
from inferstream.testing import StoredRecord

SECRET = b'{"card_id": "c000123"}'


def record(value: bytes | None, *given: tuple[str, bytes]) -> StoredRecord:
    return StoredRecord("t", 1, 42, 1_700_000_000_123, b"k", value, given)


def test_an_outcome_is_one_line_with_its_result() -> None:
    body = {
        "event_id": "e7", "deadline_met": True, "times": {"fetch_us": 1000, "queue_us": 500},
        "answered_by": {"kind": "student"}, "result": {"probability": 0.25, "reasons": ["A", "B"]}, "cause": "slow",
    }  # fmt: skip
    value = msgspec.msgpack.encode(body)
    text = line(record(value, (headers.OUTCOME, b"fallback")), False).plain
    for part in ("22:13:20.123", "1/42", "fallback", "1.50 ms", "in time", "student", "probability=0.25", "A,B", "e7"):
        assert part in text


def test_a_partial_outcome_is_one_line_with_what_it_adds() -> None:
    body = {"event_id": "p7", "part": 3, "begin": 9, "result": {"text": " of\n the", "tokens": 8}}
    given = ((headers.OUTCOME_PART, b"3"), (headers.CONTENT_TYPE, b"application/msgpack"))
    text = line(record(msgspec.msgpack.encode(body), *given), False).plain
    for part in ("22:13:20.123", "1/42", "part 3", "text= of\\n the", "tokens=8", "p7"):
        assert part in text
    assert line(record(b"\xc1", *given), False).plain.endswith("a part that cannot be read")
    assert describe(record(msgspec.msgpack.encode(body), *given), False)["value"] == body


def test_what_a_producer_chose_cannot_steer_the_terminal() -> None:
    body = {"event_id": "\x1b[31mX\n17:00 fake", "result": [0.5, "\x1b[2J"], "cause": "slow"}
    text = line(record(msgspec.msgpack.encode(body), (headers.OUTCOME, b"scored")), False).plain
    assert text.isprintable()
    assert "\\x1b[31mX\\n17:00 fake" in text


def test_a_dead_letter_says_why_and_not_what() -> None:
    given = (
        (dead_letter.CAUSE, b"invalid"),
        (dead_letter.STAGE, b"decode"),
        (dead_letter.DETAIL, b"no amount"),
        (dead_letter.OUTCOME_ID, b"g/t/0/1"),
    )
    text = line(record(SECRET, *given), False).plain
    assert "g/t/0/1 invalid in decode: no amount" in text
    assert "c000123" not in text


def test_other_records_are_shown_by_size_unless_asked() -> None:
    assert line(record(SECRET), False).plain.endswith("22 bytes")
    assert "c000123" not in str(describe(record(SECRET), False))
    json_header = (headers.CONTENT_TYPE, b"application/json")
    assert "c000123" in line(record(SECRET, json_header), True).plain
    assert describe(record(SECRET, json_header), True)["value"] == {"card_id": "c000123"}
    assert line(record(None), False).plain.endswith("no value")


@pytest.mark.parametrize("value", [b"\xc1", b"\x91" * 1000, b"\xff" * 70_000, b""])
def test_bytes_that_cannot_be_read_are_shown_as_bytes(value: bytes) -> None:
    for content_type in ("application/msgpack", "application/json", ""):
        assert str(schemaless(value, content_type)).startswith(f"{len(value)} bytes")


@pytest.mark.parametrize("fetch_us", [10**15, -5_000_000])
def test_a_latency_from_a_timestamp_that_is_none_is_not_shown(fetch_us: int) -> None:
    body = {"event_id": "e", "deadline_met": False, "times": {"fetch_us": fetch_us, "queue_us": 5}}
    text = line(record(msgspec.msgpack.encode(body), (headers.OUTCOME, b"expired")), False).plain
    assert "       - ms LATE" in text


@pytest.mark.parametrize("timestamp", [-1, 10**17, 2**62])
def test_a_record_with_an_odd_timestamp_is_shown_all_the_same(timestamp: int) -> None:
    text = line(record(SECRET)._replace(timestamp=timestamp), False).plain
    assert text.endswith("1/42 22 bytes")


def test_an_outcome_that_cannot_be_read_is_said_to_be_so() -> None:
    assert "cannot be read" in line(record(b"\xc1", (headers.OUTCOME, b"scored")), False).plain


def test_headers_of_a_producer_are_shown_by_name_only() -> None:
    given = (("customer", b"Jane"), ("dlq-note", b"Jane"), ("__connect.errors.exception.message", b"Jane"))
    found = record(SECRET, *given, (headers.OUTCOME_ID, b"g/t/0/1"))
    shown = describe(found, False)["headers"]
    assert "Jane" not in str(shown)
    assert (shown["customer"], shown["outcome-id"]) == ("(hidden, --show-data)", "g/t/0/1")
    assert describe(found, True)["headers"]["customer"] == "Jane"


def test_maps_whose_keys_are_maps_are_shown_without_writing_them_out() -> None:
    """Each level quoted in the next would take twice the memory of the one below it."""
    nested = b"\x81" * 200 + b"\xa1k" + b"\x01" * 200
    assert len(str(schemaless(nested, "application/msgpack"))) < 100


def test_keys_that_json_does_not_have_are_shown_as_text() -> None:
    shown = schemaless(msgpack.packb({b"raw": 1, 7: 2, None: 3, "text": 4}), "application/msgpack")
    assert json.loads(json.dumps(shown)) == {"b'raw'": 1, "7": 2, "None": 3, "text": 4}
