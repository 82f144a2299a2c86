"""Letters are read from what we wrote, never from what a producer may have set, and shown without data."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inferstream.errors import SettingsError
from inferstream.events.dead_letter import dead_letter_headers
from inferstream.events.headers import Headers
from inferstream.operate.dead_letters.dlq import described, row
from inferstream.operate.dead_letters.letters import (
    CAUSES,
    STAGES,
    Letter,
    Wanted,
    no_such_partitions,
    pick,
    read_letter,
)
from inferstream.operate.dead_letters.resume import why_not
from inferstream.operate.pipelines import choose
from inferstream.operate.when import parse_when, show_when
from inferstream.policy.quarantine import Held
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


@pytest.mark.parametrize(
    ("causes", "stages", "said"),
    [
        (["invald"], None, "--cause 'invald'.*did you mean 'invalid'"),
        (["nonsense"], None, "--cause 'nonsense'.*there are: empty, "),
        (["too_late"], None, "--cause 'too_late'"),  # of an expired event, which has no letter
        (None, ["foo"], "--stage 'foo'.*there are: decode, infer, decide, emit"),
    ],
)
def test_what_no_letter_can_say_is_refused(causes: list[str] | None, stages: list[str] | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        pick(causes, stages, None, None, None)


def test_the_causes_and_stages_are_those_of_the_contract() -> None:
    schema = json.loads((Path(__file__).parents[4] / "schemas/dead_letter.v1.json").read_text())
    assert set(CAUSES) == set(schema["properties"]["dlq-cause"]["enum"])
    assert set(STAGES) == set(schema["properties"]["dlq-stage"]["enum"])


def test_an_inverted_time_range_is_refused() -> None:
    with pytest.raises(SettingsError, match="must be later"):
        pick(None, None, None, "2026-03-02", "2026-03-01")


def test_a_partition_that_is_not_there_is_named_with_those_that_are() -> None:
    chosen = choose(Settings(), None)
    assert no_such_partitions({0, 5}, chosen, 6) == ""
    assert no_such_partitions({3, 99}, chosen, 6).endswith("has no partition 99: there are 0 to 5")


def test_resume_tells_what_does_not_exist_from_what_is_not_held() -> None:
    chosen = choose(Settings(), None)
    lines = why_not(frozenset({1, 2, 44}), {1: Held(0, "poison")}, chosen, 6)
    assert len(lines) == 2
    assert "no partition 44: there are 0 to 5" in lines[0]
    assert lines[1].endswith("partition 2; held: 1")


def test_a_producers_own_headers_are_shown_by_name_only() -> None:
    chosen = choose(Settings(), None)
    found = letter([("ce_id", b"e1"), ("traceparent", b"00-ab"), ("customer", b"Jane")])
    shown = described(found, chosen, show_data=False)["headers"]
    assert (shown["ce_id"], shown["traceparent"], shown["dlq-cause"]) == ("e1", "00-ab", "invalid")
    assert shown["customer"] == "(hidden, --show-data)"
    assert described(found, chosen, show_data=True)["headers"]["customer"] == "Jane"
