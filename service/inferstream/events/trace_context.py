"""W3C trace context in Kafka headers: `traceparent` as text, else CloudEvents' `ce_traceparent`. Pure; never raises.

Other teams write these headers, so they are read strictly: what is not exactly a context is none. An unsampled
context is passed on as the bytes it came in.
"""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
CE_TRACEPARENT = "ce_traceparent"

_SAMPLED = 0x01
_VERSION_00 = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_LATER = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.DOTALL)
_LONGEST = 512  # bytes of a header that is looked at
_MOST_MEMBERS = 32

Headers = Sequence[tuple[str, bytes | None]]


class Context(NamedTuple):
    """A span somewhere: trace and span as numbers, and whether it is recorded there."""

    trace_id: int
    span_id: int
    is_sampled: bool

    def header(self) -> bytes:
        """As `traceparent` is written."""
        return b"00-%032x-%016x-%02x" % (self.trace_id, self.span_id, self.is_sampled)

    def ids(self) -> dict[str, str]:
        """As log lines name them."""
        return {"trace_id": f"{self.trace_id:032x}", "span_id": f"{self.span_id:016x}"}

    def child(self) -> "Context":
        """A span of the same trace that is recorded here."""
        return Context(self.trace_id, new_span_id(), True)


def new_trace() -> Context:
    """The root of a trace that begins here, recorded."""
    return Context(int.from_bytes(os.urandom(16)) or 1, new_span_id(), True)


def new_span_id() -> int:
    """Never 0."""
    return int.from_bytes(os.urandom(8)) or 1


def parse(raw: bytes | None) -> Context | None:
    """The context a header names; None if it is not one."""
    if raw is None or not 55 <= len(raw) <= _LONGEST:
        return None
    found = _VERSION_00.fullmatch(raw) or (None if raw.startswith(b"00") else _LATER.fullmatch(raw))
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return Context(trace_id, span_id, bool(flags & _SAMPLED)) if trace_id and span_id else None


def read(headers: Headers) -> Context | None:
    """The context of a record: of repeated headers the last one that is valid, `ce_traceparent` only without any."""
    fallback = None
    for name, value in reversed(headers):
        if name == TRACEPARENT and (context := parse(value)) is not None:
            return context
        if name == CE_TRACEPARENT and fallback is None:
            fallback = parse(value)
    return fallback


def may_be_kept(headers: Headers, below: int) -> bool:
    """Whether reading them is worth it, at a tenth of its cost: a context may be sampled, or its id be below a limit.

    The limit is of the 56 random bits of a trace id; unless it is 0, headers without any context are worth it too.
    """
    is_traced = False
    for name, value in headers:
        if name in (TRACEPARENT, CE_TRACEPARENT) and value is not None:
            is_traced = True
            if value[54:55] in b"13579bdf" or (below and _random_bits(value) < below):
                return True
    return below > 0 and not is_traced


def _random_bits(raw: bytes) -> int:
    try:
        return int(raw[21:35], 16)
    except ValueError:
        return 0


def replaced(headers: Headers, context: Context) -> list[tuple[str, bytes | None]]:
    """The headers with this context and no other; a `tracestate` too large to be one goes."""
    kept = [h for h in headers if h[0] != TRACEPARENT and not (h[0] == TRACESTATE and not _is_state(h[1]))]
    return [*kept, (TRACEPARENT, context.header())]


def _is_state(raw: bytes | None) -> bool:
    return raw is not None and len(raw) <= _LONGEST and raw.count(b",") < _MOST_MEMBERS
