"""What must not be in a log: card numbers in any text, and whatever is called a secret. Numbers are left alone.

An offset may well look like a card number; only text is searched, and of it only what passes the check digit.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from inferstream.events import cards

CARD, SECRET = cards.MASK, "[secret]"

_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|authorization|cookie|api_?key|private_?key|control_?key"
    r"|^pan$|card_?number|cvv|cvc|iban|payload|features$",
    re.IGNORECASE,
)
_PAIRS = re.compile(r"(?i)\b(password|passwd|secret|token|api_?key)(\"?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;)}\"']+)")
_DEPTH = 6


def redact(value: Any, depth: int = 0) -> Any:
    """The same with nothing in it that must not be told. Containers are copied, deep ones cut off."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        if depth >= _DEPTH:
            return "…"
        if isinstance(value, Mapping):
            return {_key(key): SECRET if _is_secret(key) else redact(one, depth + 1) for key, one in value.items()}
        return [redact(one, depth + 1) for one in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return text(str(value))


def text(value: str) -> str:
    """Text without card numbers and without what follows `password=`."""
    if "=" in value or ":" in value:
        value = _PAIRS.sub(rf"\1\2{SECRET}", value)
    return cards.masked(value)


def processor(logger: object, method: str, entry: MutableMapping[str, Any]) -> dict[str, Any]:
    """For structlog: the last before the entry is written."""
    return {key: SECRET if _is_secret(key) else redact(value) for key, value in entry.items()}


def _key(key: Any) -> Any:
    return text(key) if isinstance(key, str) else key


def _is_secret(key: Any) -> bool:
    return isinstance(key, str) and _NAMES.search(key) is not None
