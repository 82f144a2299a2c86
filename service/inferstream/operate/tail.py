"""tail: what a topic holds, a line per record; foreign bytes are shown, never trusted."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from inferstream.events import dead_letter, headers
from inferstream.events.envelope import Record
from inferstream.kafka import Reader
from inferstream.operate.foreign import header_text, masked, printable, schemaless, shown_headers
from inferstream.operate.pipelines import choose
from inferstream.settings import Settings

_COLOURS = {"scored": "green", "fallback": "yellow", "expired": "red", "dead_lettered": "magenta"}
_NO_TIME = "--:--:--.---"
_LONGEST_MS = 366 * 86_400_000  # a longer time is none: the timestamp was in another unit, or missing


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
    """A record as JSON can hold it. The body of anything but an outcome, and a producer's own headers: on demand."""
    given = {name: header_text(value) for name, value in record.headers}
    described: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "headers": shown_headers(record.headers, show_data),
        "bytes": None if record.value is None else len(record.value),
    }
    if headers.OUTCOME in given or headers.OUTCOME_PART in given or show_data:
        value = schemaless(record.value, given.get(headers.CONTENT_TYPE, ""))
        described["value"] = value if show_data else masked(value)
    return described


def line(record: Record, show_data: bool) -> Text:
    """A record in one line: outcomes by what they say, dead letters by why, others by their size."""
    given = dict(record.headers)
    text = Text(f"{_time(record.timestamp)} {record.partition}/{record.offset} ")
    if headers.OUTCOME in given:
        return text.append(_outcome(record, given))
    if headers.OUTCOME_PART in given:
        return text.append(_partial(record, given))
    if dead_letter.CAUSE in given:
        why = [header_text(given.get(name, b"")) for name in (dead_letter.CAUSE, dead_letter.STAGE, dead_letter.DETAIL)]
        source = header_text(given.get(dead_letter.OUTCOME_ID, b""))
        text.append(printable(f"{source} ")).append(printable(why[0]), "magenta")
        text.append(printable(f" in {why[1]}: {why[2]}"))
    else:
        text.append(f"{'no value' if record.value is None else f'{len(record.value)} bytes'}")
    if show_data:
        text.append(f" {schemaless(record.value, header_text(given.get(headers.CONTENT_TYPE, b'')))!r}", "dim")
    return text


def _outcome(record: Record, given: Mapping[str, bytes | None]) -> Text:
    kind = header_text(given[headers.OUTCOME])
    text = Text(f"{kind:<13}", _COLOURS.get(kind, ""))
    body = schemaless(record.value, header_text(given.get(headers.CONTENT_TYPE, b"")))
    if not isinstance(body, dict):
        return text.append(" an outcome that cannot be read", "red")
    by = (body.get("answered_by") or {}).get("kind", "-")
    text.append(f" {_latency(body.get('times'))} {'in time' if body.get('deadline_met') else 'LATE   '} {by:<8}")
    if body.get("result") is not None:
        text.append(printable(f" {_result(body['result'])}"))
    if body.get("cause"):
        text.append(printable(f" {body['cause']}"), "dim")
    return text.append(printable(f" {body.get('event_id') or ''}"), "dim")


def _partial(record: Record, given: Mapping[str, bytes | None]) -> Text:
    """What is there of an outcome that is still being made."""
    number = header_text(given[headers.OUTCOME_PART])
    text = Text(f"{f'part {number}':<13}", "cyan")
    body = schemaless(record.value, header_text(given.get(headers.CONTENT_TYPE, b"")))
    if not isinstance(body, dict):
        return text.append(" a part that cannot be read", "red")
    return text.append(printable(f" {_result(body.get('result'))}")).append(
        printable(f" {body.get('event_id') or ''}"), "dim"
    )


def _latency(times: Any) -> str:
    """Milliseconds from the event's timestamp on; `-` where a timestamp made no sense."""
    parts = times.values() if isinstance(times, dict) else ()
    total_ms = sum(value for value in parts if isinstance(value, int)) / 1000
    return f"{total_ms:8.2f} ms" if 0 <= total_ms <= _LONGEST_MS else f"{'-':>8} ms"


def _time(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):  # milliseconds that are no date
        return _NO_TIME


def _result(result: Any) -> str:
    """A task's result: a mapping as its fields, anything else as it is."""
    if isinstance(result, dict):
        return " ".join(f"{name}={_short(value)}" for name, value in result.items())
    return _short(result)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)[:60]
