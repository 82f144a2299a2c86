"""No card number and no secret reaches a log, however it is wrapped; what is no secret stays readable."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cards import card, written

from inferstream.telemetry import redaction
from inferstream.telemetry.redaction import CARD, SECRET, redact

WRAPPINGS = [
    "{}",
    "invalid value '{}' - at `$.card_id`",
    "card={}",
    '{{"pan": "{}"}}',
    "tried {} and gave up",
    "({})",
    "…{}…",
    "card:{},amount:3",
]


def test_a_hundred_thousand_card_numbers_all_go() -> None:
    rng = random.Random(1)
    for _ in range(100_000):
        number = card(rng)
        shown = written(number, rng)
        said = redaction.text(rng.choice(WRAPPINGS).format(shown))
        assert shown not in said, shown
        assert CARD in said


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text() | st.binary(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))  # fmt: skip
def test_anything_can_be_redacted(value: object) -> None:
    redact(value)


def test_cards_are_found_in_containers_and_in_what_is_printed_as_text() -> None:
    number = card(random.Random(2))
    entry = {"event": "x", "deep": [{"a": (number, {number})}], "error": ValueError(f"bad {number}"), number: 1}
    assert number not in str(redaction.processor(None, "info", entry)["deep"])
    assert number not in str(redaction.processor(None, "info", entry)["error"])


@pytest.mark.parametrize("offset", [4111111111111111, 378282246310005])
def test_numbers_are_left_alone(offset: int) -> None:
    assert redaction.processor(None, "info", {"offset": offset}) == {"offset": offset}


@pytest.mark.parametrize(
    "text",
    ["2026-11-25T21:00:00.000000Z", "partition 12 offset 1234567890123456", "10.0.0.1:9092", "0000000000000000"],
)
def test_what_only_looks_like_a_card_is_left_alone(text: str) -> None:
    assert redaction.text(text) == text


@pytest.mark.parametrize(
    "key", ["password", "sasl_password", "Authorization", "api_key", "model_control_key", "pan", "card_number", "cvv"]
)
def test_what_is_called_a_secret_is_masked(key: str) -> None:
    assert redaction.processor(None, "info", {key: "hunter2"}) == {key: SECRET}
    assert redact({"inner": {key: "hunter2"}}) == {"inner": {key: SECRET}}


@pytest.mark.parametrize("text", ["password=hunter2", 'sasl "password": "hunter2"', "token: hunter2, more"])
def test_secrets_inside_text_are_masked(text: str) -> None:
    assert "hunter2" not in redaction.text(text)


def test_bytes_are_told_by_their_size() -> None:
    assert redact({"value": b"4111 1111"}) == {"value": "[9 bytes]"}
