"""Letters are read from what we wrote, never from what a producer may have set, and shown without data."""

from datetime import UTC, datetime

import pytest

from inferstream.errors import SettingsError
from inferstream.events.dead_letter import dead_letter_headers
from inferstream.events.headers import Headers
from inferstream.operate.dlq import described, row
from inferstream.operate.letters import Letter, Wanted, pick, read_letter
from inferstream.operate.pipelines import choose
from inferstream.operate.when import parse_when, show_when
from inferstream.settings import Settings
from inferstream.testing import StoredRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def letter(given: Headers = (), detail: str = "why", value: bytes | None = b"s3cret") -> Letter:
    written = dead_letter_headers(
        given, outcome_id="g/t/3/7", cause="invalid", stage="decode", detail=detail, attempts=1, pipeline="fraud",
        service_version="1", topic="t", partition=3, offset=7, timestamp_ms=1_700_000_000_000, group="g",
    )  # fmt: skip
    found = read_letter(StoredRecord("dead", 0, 1, 1_700_000_000_000, b"s3cret-key", value, tuple(written)))
    assert found is not None
    return found


def test_a_letter_tells_what_was_refused_and_why() -> None:
    found = letter([("ce_id", b"e1")])
    assert (found.group, found.topic, found.place) == ("g", "t", "3@7")
    assert (found.cause, found.stage, found.event_id, found.replays) == ("invalid", "decode", "e1", 0)
    assert found.is_whole


def test_inherited_headers_do_not_steer_where_a_letter_belongs() -> None:
    forged = [("dlq-outcome-id", b"x/secret-topic/0/0"), ("dlq-original-topic", b"secret-topic"), ("dlq-replays", b"1")]
    assert (letter(forged).topic, letter(forged).partition) == ("t", 3)


@pytest.mark.parametrize("id_", [b"", b"g/t/3", b"g/t/3/x", b"g/t/-1/7", b"g/t/3/7/8", b"\xff"])
def test_a_record_without_an_id_of_ours_is_no_letter(id_: bytes) -> None:
    assert read_letter(StoredRecord("dead", 0, 1, 0, None, b"", (("dlq-outcome-id", id_),))) is None


@pytest.mark.parametrize("omitted", ["dlq-body-omitted", "dlq-headers-omitted", "dlq-key-omitted"])
def test_a_letter_that_lost_something_is_not_whole(omitted: str) -> None:
    record = letter(value=None).record
    assert isinstance(record, StoredRecord)
    found = read_letter(record._replace(headers=(*record.headers, (omitted, b"99"))))
    assert found is not None
    assert not found.is_whole
    assert letter().is_whole
    assert found.size_bytes == (99 if omitted == "dlq-body-omitted" else 0)


def test_a_line_and_a_description_hold_no_data_and_no_control_characters() -> None:
    found = letter([("ce_id", b"\x1b[2J\nfake")], detail="odd \x07")
    chosen = choose(Settings(), None)
    assert row(found).isprintable()
    assert "s3cret" not in row(found) + str(described(found, chosen, show_data=False))
    assert described(found, chosen, show_data=True)["key"] == "s3cret-key"


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(), True),
        (Wanted(causes=frozenset({"invalid", "empty"})), True),
        (Wanted(causes=frozenset({"empty"})), False),
        (Wanted(stages=frozenset({"infer"})), False),
        (Wanted(partitions=frozenset({3})), True),
        (Wanted(partitions=frozenset({0})), False),
        (Wanted(since_ms=1_700_000_000_000), True),
        (Wanted(since_ms=1_700_000_000_001), False),
        (Wanted(until_ms=1_700_000_000_001), True),
        (Wanted(until_ms=1_700_000_000_000), False),
    ],
)
def test_letters_are_picked(wanted: Wanted, takes: bool) -> None:
    assert wanted.takes(letter()) is takes


def test_options_are_read() -> None:
    wanted = pick(["empty"], None, [1], "2026-03-01", None)
    assert wanted == Wanted(frozenset({"empty"}), frozenset(), frozenset({1}), 1_772_323_200_000, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T11:00Z", "2026-03-01T11:00:00Z"),
        ("2026-03-01T11:00:30+02:00", "2026-03-01T09:00:30Z"),
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("90s", "2026-03-01T11:58:30Z"),
        ("2h", "2026-03-01T10:00:00Z"),
        ("7d", "2026-02-22T12:00:00Z"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, expected: str) -> None:
    found = parse_when("--since", text, NOW)
    assert found is not None
    assert show_when(found) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2h30m", "-1h", "999999999d", "2026-13-01", "5"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--since '.*' is no time"):
        parse_when("--since", text, NOW)


@pytest.mark.parametrize("timestamp", [-1, 2**62])
def test_a_timestamp_that_is_none_is_a_dash(timestamp: int) -> None:
    assert show_when(timestamp) == "-"
