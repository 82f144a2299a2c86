"""Which version of its model a pipeline has been told to ask: a note that commands write and services read."""

from typing import NamedTuple

_PIN = "pin"
_NONE = "-"
_MOST_DIGITS = 18


class Pin(NamedTuple):
    """What the note of a pipeline says about its model."""

    model: str
    version: str = ""
    """Empty: the setting `model_version` holds."""
    previous: str = ""
    """What was asked before; empty: unknown."""
    resumed_unix_ms: int = 0
    """When a stopped canary was last let go on; 0: never."""


def pin_note(pin: Pin) -> str:
    """The line that `read_pin` reads."""
    return f"{_PIN} {pin.version or _NONE} {pin.previous or _NONE} {pin.resumed_unix_ms} {pin.model}"


def read_pin(note: str | None) -> Pin | None:
    """What the note says; None if there is none, or none of ours."""
    word, *rest = (note or "").split(" ", 4)
    if word != _PIN or len(rest) != 4 or not _is_number(rest[2]):
        return None
    version, previous, resumed, model = rest
    return Pin(model, version.strip(_NONE), previous.strip(_NONE), int(resumed))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
