"""Card numbers are refused: an event that brings one in a text becomes a dead letter that does not keep it.

Tokens and keyed hashes of a card are what a producer sends instead. Looked at are the key, all headers and every text
of the value, in fields that the event's type does not know as well; numbers are not.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from inferstream.events import cards
from inferstream.events.envelope import Event, Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.events.withheld import withhold

_DIGITS_AS_ZEROS = bytes(ord("0") if chr(byte) in "0123456789" else ord("x") for byte in range(256))
_ZEROS = b"0" * 13
_ROW = re.compile(rb"(?:2[2-7]|[3-689][0-9])(?:[ .\-]?[0-9]){11}")
_MOST_PARTS = 8_192  # of an event's value; what has more counts as if it held one
_UNREAD = frozenset({Cause.OVERSIZE, Cause.EMPTY})
_NUMBERS = frozenset({int, float, bool, type(None)})
_ELSEWHERE = "a field that the event's type does not have"


class CardNumbers:
    """What a pipeline does about them."""

    def __init__(self, event_type: Any) -> None:
        is_struct = isinstance(event_type, type) and issubclass(event_type, msgspec.Struct)
        self._known = frozenset(event_type.__struct_encode_fields__) if is_struct else frozenset()

    def look(self, event: Event) -> None:
        """Refuse the event if it holds one, and keep what holds it from everything written about the event."""
        record, verdict = event.record, event.verdict
        in_key = record.key is not None and _holds(record.key)
        in_headers = any(_holds(name.encode()) or _holds(value or b"") for name, value in record.headers)
        value = record.value or b""
        is_whole_unread = verdict is not None and verdict.cause in _UNREAD and len(value) > 0
        where = None if is_whole_unread or not _may_hold(value) else self._where(value)
        if not (in_key or in_headers or where or is_whole_unread):
            return
        event.record = withhold(record, key=in_key, body=bool(where) or is_whole_unread, headers=in_headers)
        if verdict is None:
            place = where or ("the record's key" if in_key else "a header")
            why = f"{place} holds what looks like a card number: send a token of the card instead"
            event.verdict = Verdict(Status.DEAD_LETTERED, Cause.CARD_NUMBER, "decode", why)
            event.payload = None
        elif where:  # it may be what holds it
            event.verdict = msgspec.structs.replace(verdict, event_id=None)

    def _where(self, value: bytes) -> str | None:
        """The field that holds one, in words; None if there is none."""
        for read in _READERS:
            try:
                return self._field(read(value))
            except Exception:  # noqa: S112 - not of this codec, or of none: then the bytes are looked at as they are
                continue
        return "the value" if _holds(value) else None

    def _field(self, document: Any) -> str | None:
        search = _PartSearch()
        if not isinstance(document, dict):
            return _ELSEWHERE if search.finds([document]) else None
        for name, part in document.items():
            if part.__class__ in _NUMBERS:
                continue
            if search.finds([part]):
                return f"field `{name}`" if name in self._known else _ELSEWHERE
        return _ELSEWHERE if search.finds(list(document)) else None


class _PartSearch:
    """A look at all texts of one document, of bounded work."""

    def __init__(self) -> None:
        self._search = cards.Search()
        self._left = _MOST_PARTS

    def finds(self, pending: list[Any]) -> bool:
        for one in pending:
            kind = one.__class__
            if kind is str or kind is bytes:
                if len(one) >= cards.FEWEST and self._search.finds(_text(one)):
                    return True
            elif kind is dict or kind is list:
                self._left -= len(one)
                if self._left < 0:
                    return True
                pending += [*one, *one.values()] if kind is dict else one
        return False


def _read_msgpack(value: bytes) -> Any:
    document = msgspec.msgpack.decode(value)
    if not isinstance(document, (dict, list)):
        raise ValueError("bytes of another codec, most likely")
    return document


_READERS: tuple[Callable[[bytes], Any], ...] = (_read_msgpack, msgspec.json.decode)


def _may_hold(raw: bytes) -> bool:
    """Cheap, and true of all bytes that may hold one: few are looked at more closely. JSON may escape a digit."""
    if _ZEROS not in raw.translate(_DIGITS_AS_ZEROS, b" .-") and b"\\u" not in raw:
        return False
    return _ROW.search(raw) is not None or b"\\u" in raw


def _holds(raw: bytes) -> bool:
    return _may_hold(raw) and cards.Search().finds(_text(raw))


def _text(one: str | bytes) -> str:
    return one if isinstance(one, str) else one.decode("latin-1")
