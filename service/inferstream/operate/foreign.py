"""Foreign bytes and texts as people can look at them: shown, never trusted."""

import json
from collections.abc import Iterable
from typing import Any

import msgpack

from inferstream.events import cards, dead_letter, headers
from inferstream.events.headers import Headers

_MAX_BYTES = 2**20
_MAX_ELEMENTS = 65_536  # of one array or map
_DEPTH = 16
_PREVIEW_BYTES = 24
_HIDDEN = "(hidden, --show-data)"
# By whole names: a prefix would let through what others write under it. Of Kafka Connect's names the message is left
# out, since a connector repeats data in it; ours says the same as `dlq-detail`.
_TECHNICAL = frozenset(
    {
        headers.DEADLINE_UNIX_MS, headers.SLO_MS, headers.SLO_CLASS, headers.CONTENT_TYPE, headers.SCHEMA,
        headers.CE_ID, headers.OUTCOME, headers.OUTCOME_ID, headers.OUTCOME_PART, headers.OUTCOME_KEY_OMITTED,
        dead_letter.OUTCOME_ID, dead_letter.CAUSE, dead_letter.STAGE, dead_letter.DETAIL, dead_letter.ATTEMPTS,
        dead_letter.PIPELINE, dead_letter.SERVICE_VERSION, dead_letter.TOPIC, dead_letter.PARTITION,
        dead_letter.OFFSET, dead_letter.TIMESTAMP, dead_letter.GROUP, dead_letter.REPLAYS,
        dead_letter.BODY_OMITTED, dead_letter.HEADERS_OMITTED, dead_letter.KEY_OMITTED,
        dead_letter.SPRING_TOPIC, dead_letter.SPRING_PARTITION, dead_letter.SPRING_OFFSET,
        dead_letter.SPRING_TIMESTAMP, dead_letter.SPRING_GROUP,
        dead_letter.CONNECT_TOPIC, dead_letter.CONNECT_PARTITION, dead_letter.CONNECT_OFFSET,
        dead_letter.CONNECT_STAGE, dead_letter.CONNECT_CAUSE,
        "traceparent", "tracestate",
    }
)  # fmt: skip


def schemaless(value: bytes | None, content_type: str, preview_bytes: int = _PREVIEW_BYTES) -> Any:
    """What the bytes hold as far as can be told without a schema, else how they begin."""
    if value is None:
        return None
    if len(value) > _MAX_BYTES:
        return _preview(value, preview_bytes)
    try:
        if content_type.startswith("application/json"):
            return json.loads(value)
        limits = {"max_array_len": _MAX_ELEMENTS, "max_map_len": _MAX_ELEMENTS, "max_ext_len": 0}
        return msgpack.unpackb(value, raw=False, strict_map_key=False, object_pairs_hook=_text_keys, **limits)
    except Exception:  # any bytes may come: what cannot be read is shown as bytes
        return _preview(value, preview_bytes)


def printable(text: str) -> str:
    """What a producer chose must not steer the terminal or begin a line of its own, nor show a card number."""
    return cards.masked("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def masked(value: Any, depth: int = 0) -> Any:
    """What bytes hold, without card numbers in its texts; what is nested deep is cut off."""
    if isinstance(value, str):
        return cards.masked(value)
    if not isinstance(value, (dict, list)):
        return value
    if depth >= _DEPTH:
        return "…"
    if isinstance(value, dict):
        return {cards.masked(str(key)): masked(one, depth + 1) for key, one in value.items()}
    return [masked(one, depth + 1) for one in value]


def header_text(value: bytes | None) -> str:
    """A header as text; a binary one in hex."""
    if value is None:
        return "null"
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return decoded if decoded.isprintable() else value.hex()


def shown_headers(given: Headers, show_data: bool) -> dict[str, str]:
    """Headers as text. A producer's own may hold personal data: by name only, unless asked."""
    if show_data:
        return {name: header_text(value) for name, value in given}
    return {
        cards.masked(name): cards.masked(header_text(value)) if name in _TECHNICAL else _HIDDEN for name, value in given
    }


def _text_keys(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """As JSON has them; msgpack's may be anything, and maps again."""
    return {_key(key): value for key, value in pairs}


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return repr(key) if isinstance(key, (int, float, bytes, type(None))) else f"({type(key).__name__})"


def _preview(value: bytes, preview_bytes: int) -> str:
    more = "…" if len(value) > preview_bytes else ""
    return f"{len(value)} bytes {value[:preview_bytes].hex(' ')}{more}"
