"""Foreign bytes and texts as people can look at them: shown, never trusted."""

import json
from typing import Any

import msgpack

_MAX_BYTES = 65_536
_PREVIEW_BYTES = 24


def schemaless(value: bytes | None, content_type: str, preview_bytes: int = _PREVIEW_BYTES) -> Any:
    """What the bytes hold as far as can be told without a schema, else how they begin."""
    if value is None:
        return None
    try:
        if content_type.startswith("application/json"):
            return json.loads(value)
        if len(value) <= _MAX_BYTES:
            return msgpack.unpackb(value, raw=False, strict_map_key=False)
    except Exception:  # any bytes may come: what cannot be read is shown as bytes
        return _preview(value, preview_bytes)
    return _preview(value, preview_bytes)


def printable(text: str) -> str:
    """What a producer chose must not steer the terminal or begin a line of its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def header_text(value: bytes | None) -> str:
    """A header as text; a binary one in hex."""
    if value is None:
        return "null"
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return decoded if decoded.isprintable() else value.hex()


def _preview(value: bytes, preview_bytes: int) -> str:
    more = "…" if len(value) > preview_bytes else ""
    return f"{len(value)} bytes {value[:preview_bytes].hex(' ')}{more}"
