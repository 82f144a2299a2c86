"""Headers: one scan, the last of repeated ones counts, hostile values are nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.events import headers


def test_no_headers_cost_no_object() -> None:
    assert headers.read([]) is headers.NONE


def test_the_last_of_repeated_headers_counts() -> None:
    assert headers.read([("slo-ms", b"1"), ("x", b""), ("slo-ms", b"2")]).slo_ms == b"2"


def test_every_header_that_is_read_reaches_its_field() -> None:
    names = ["deadline-unix-ms", "slo-ms", "slo-class", "content-type", "schema", "ce_id"]
    read = headers.read([(name, name.encode()) for name in names])
    for name in names:
        assert getattr(read, name.replace("-", "_")) == name.encode()


def test_what_we_write_anew_is_not_carried_and_all_else_is() -> None:
    given_headers = [
        ("traceparent", b"t"),
        ("outcome", b"old"),
        ("outcome-id", b"old"),
        ("own", b"x"),
        ("schema", b"s"),
    ]
    assert headers.carried(given_headers) == [("traceparent", b"t"), ("own", b"x")]


@pytest.mark.parametrize(
    "raw", [b"", b"-1", b"+1", b"1.0", b" 1", b"1e3", b"0x1", b"9" * 16, "\u0661".encode(), b"\xff"]
)
def test_what_is_not_plain_digits_is_no_time(raw: bytes) -> None:
    assert headers.parse_ms(raw) is None


@given(st.integers(0, 10**15 - 1))
def test_plain_digits_are_a_time(number: int) -> None:
    assert headers.parse_ms(str(number).encode()) == number


@given(st.binary(max_size=20))
def test_any_bytes_are_a_time_or_none(raw: bytes) -> None:
    parsed = headers.parse_ms(raw)
    assert parsed is None or parsed >= 0


def test_more_headers_than_are_taken_are_not_read() -> None:
    many = [("slo-ms", b"1")] * (headers.MOST + 1)
    assert headers.read(many) is headers.TOO_MANY
    assert headers.read(many[1:]).slo_ms == b"1"


def test_a_text_longer_than_any_of_ours_is_none() -> None:
    assert headers.text([("dlq-original-topic", b"t" * 1_000_000)], "dlq-original-topic") == ""
