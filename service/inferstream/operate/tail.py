"""tail: what a topic holds, a line per record; foreign bytes are shown, never trusted."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgpack
from rich.console import Console
from rich.text import Text

from inferstream.events import dead_letter, headers
from inferstream.events.envelope import Record
from inferstream.kafka import Reader
from inferstream.operate.pipelines import choose
from inferstream.settings import Settings

_COLOURS = {"scored": "green", "fallback": "yellow", "expired": "red", "dead_lettered": "magenta"}
_MAX_BYTES = 65_536
_PREVIEW_BYTES = 24


class View(NamedTuple):
    """What to show and for how long."""

    from_beginning: bool
    limit: int | None
    show_data: bool
    as_json: bool


async def run_tail(settings: Settings, pipeline: str | None, topic: str | None, view: View) -> int:
    """Follow the topic until interrupted, or until `limit` records were shown."""
    topic = topic or choose(settings, pipeline).settings.output_topic
    console = Console(highlight=False, soft_wrap=True)
    shown = 0
    async with Reader(topic, settings.kafka) as reader:
        if not view.from_beginning:
            await reader.seek_to_end()
        print(f"topic '{topic}', ctrl-C ends", file=sys.stderr)
        async for records in reader.follow():
            for record in records:
                if view.as_json:
                    print(json.dumps(describe(record, view.show_data), default=repr), flush=True)
                else:
                    console.print(line(record, view.show_data))
                shown += 1
                if shown == view.limit:
                    return 0
    return 0


def describe(record: Record, show_data: bool) -> dict[str, Any]:
    """A record as JSON can hold it. The body of anything but an outcome is personal data: only on demand."""
    given = {name: _text(value) for name, value in record.headers}
    described: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "headers": given,
        "bytes": None if record.value is None else len(record.value),
    }
    if headers.OUTCOME in given or show_data:
        described["value"] = schemaless(record.value, given.get(headers.CONTENT_TYPE, ""))
    return described


def line(record: Record, show_data: bool) -> Text:
    """A record in one line: outcomes by what they say, dead letters by why, others by their size."""
    given = dict(record.headers)
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    text = Text(f"{at} {record.partition}/{record.offset} ")
    if headers.OUTCOME in given:
        return text.append(_outcome(record, given))
    if dead_letter.CAUSE in given:
        why = [_text(given.get(name, b"")) for name in (dead_letter.CAUSE, dead_letter.STAGE, dead_letter.DETAIL)]
        source = _text(given.get(dead_letter.OUTCOME_ID, b""))
        text.append(f"{source} ").append(why[0], "magenta").append(f" in {why[1]}: {why[2]}")
    else:
        text.append(f"{'no value' if record.value is None else f'{len(record.value)} bytes'}")
    if show_data:
        text.append(f" {schemaless(record.value, _text(given.get(headers.CONTENT_TYPE, b'')))!r}", "dim")
    return text


def _outcome(record: Record, given: Mapping[str, bytes | None]) -> Text:
    kind = _text(given[headers.OUTCOME])
    text = Text(f"{kind:<13}", _COLOURS.get(kind, ""))
    body = schemaless(record.value, _text(given.get(headers.CONTENT_TYPE, b"")))
    if not isinstance(body, dict):
        return text.append(" an outcome that cannot be read", "red")
    times = body.get("times") or {}
    total_ms = sum(value for value in times.values() if isinstance(value, int)) / 1000
    by = (body.get("answered_by") or {}).get("kind", "-")
    text.append(f" {total_ms:8.2f} ms {'in time' if body.get('deadline_met') else 'LATE   '} {by:<8}")
    if body.get("result") is not None:
        text.append(_printable(f" {_result(body['result'])}"))
    if body.get("cause"):
        text.append(_printable(f" {body['cause']}"), "dim")
    return text.append(_printable(f" {body.get('event_id') or ''}"), "dim")


def _result(result: Any) -> str:
    """A task's result: a mapping as its fields, anything else as it is."""
    if isinstance(result, dict):
        return " ".join(f"{name}={_short(value)}" for name, value in result.items())
    return _short(result)


def schemaless(value: bytes | None, content_type: str) -> Any:
    """What the bytes hold as far as can be told without a schema, else how they begin."""
    if value is None:
        return None
    try:
        if content_type.startswith("application/json"):
            return json.loads(value)
        if len(value) <= _MAX_BYTES:
            return msgpack.unpackb(value, raw=False, strict_map_key=False)
    except Exception:  # any bytes may come: what cannot be read is shown as bytes
        return _preview(value)
    return _preview(value)


def _printable(text: str) -> str:
    """What a producer chose must not steer the terminal or begin a line of its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _preview(value: bytes) -> str:
    more = "…" if len(value) > _PREVIEW_BYTES else ""
    return f"{len(value)} bytes {value[:_PREVIEW_BYTES].hex(' ')}{more}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)[:60]


def _text(value: bytes | None) -> str:
    """A header as text; a binary one in hex."""
    if value is None:
        return "null"
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return decoded if decoded.isprintable() else value.hex()
