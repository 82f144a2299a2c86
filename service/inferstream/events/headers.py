"""Header names on the wire and the one scan over a record's headers. Contract: `schemas/headers.md`."""

from collections.abc import Sequence

import msgspec

DEADLINE_UNIX_MS = "deadline-unix-ms"
SLO_MS = "slo-ms"
SLO_CLASS = "slo-class"
CONTENT_TYPE = "content-type"
SCHEMA = "schema"
CE_ID = "ce_id"
OUTCOME = "outcome"
OUTCOME_ID = "outcome-id"
OUTCOME_PART = "outcome-part"
OUTCOME_KEY_OMITTED = "outcome-key-omitted"

Headers = Sequence[tuple[str, bytes | None]]
"""As Kafka has them: names may repeat, a value may be null."""

_READ = frozenset({DEADLINE_UNIX_MS, SLO_MS, SLO_CLASS, CONTENT_TYPE, SCHEMA, CE_ID})
# Written anew on every record we produce, so an inherited copy is dropped.
_WRITTEN = frozenset({CONTENT_TYPE, SCHEMA, OUTCOME, OUTCOME_ID, OUTCOME_PART, OUTCOME_KEY_OMITTED})
_MAX_DIGITS = 15  # milliseconds until the year 33658: more is not a time
_FRAME_BYTES = 10  # of a header: two lengths
_LONGEST_TEXT = 1_024  # bytes of a header that is read as text: no name or number of ours is longer

FEW = 8
"""So many cost nothing worth counting."""
MOST = 128
"""Headers that a record may have. One with more is refused unread, and nothing inherits them."""


class Read(msgspec.Struct, gc=False):
    """What the service reads from a record's headers; the last of repeated ones counts. Raw, not yet judged."""

    deadline_unix_ms: bytes | None = None
    slo_ms: bytes | None = None
    slo_class: bytes | None = None
    content_type: bytes | None = None
    schema: bytes | None = None
    ce_id: bytes | None = None


_FIELDS = {name: name.replace("-", "_") for name in _READ}
NONE = Read()
TOO_MANY = Read()


def read(headers: Headers) -> Read:
    """One pass over the headers. `NONE` itself: they are few and none of them is ours; `TOO_MANY`: above `MOST`."""
    found = NONE
    if len(headers) > FEW:
        if len(headers) > MOST:
            return TOO_MANY
        found = Read()
    for name, value in headers:
        field = _FIELDS.get(name)
        if field is not None:
            if found is NONE:
                found = Read()
            setattr(found, field, value)
    return found


def inherit(written: list[tuple[str, bytes | None]], given: Headers) -> int:
    """Add to what is written what an outcome inherits: all (trace context, CloudEvents, the producer's own) but ours.

    Gives the bytes that it takes on the wire at most.
    """
    most = 0
    for header in given:
        name, value = header
        if name not in _WRITTEN:
            written.append(header)
            most += 4 * len(name) + _FRAME_BYTES + (len(value) if value else 0)
    return most


def carried(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers that an outcome inherits, alone."""
    inherited: list[tuple[str, bytes | None]] = []
    inherit(inherited, headers)
    return inherited


def text(headers: Headers, name: str) -> str:
    """A header as text; empty if it is missing, null, no text or longer than any of ours."""
    for given, value in reversed(headers):
        if given == name:
            return "" if value is None or len(value) > _LONGEST_TEXT else value.decode("utf-8", "replace")
    return ""


def parse_ms(raw: bytes) -> int | None:
    """Milliseconds as ASCII decimal, or None if it is anything else (sign, float, spaces, too long)."""
    if 0 < len(raw) <= _MAX_DIGITS and raw.isdigit():
        return int(raw)
    return None
