"""The note that says which version is asked."""

import pytest

from inferstream.policy.pin import Pin, pin_note, read_pin


@pytest.mark.parametrize(
    "pin",
    [
        Pin("fraud", "2", "1", 1_790_000_000_000),
        Pin("fraud", "2"),
        Pin("fraud", previous="12"),
        Pin("a name with blanks - and dashes", "10", "9"),
    ],
)
def test_what_is_written_is_read(pin: Pin) -> None:
    assert read_pin(pin_note(pin)) == pin


@pytest.mark.parametrize("note", [None, "", "free", "held 17 reason of another kind", "pin 2 1 soon fraud", "pin 2 1"])
def test_anything_else_is_no_pin(note: str | None) -> None:
    assert read_pin(note) is None
