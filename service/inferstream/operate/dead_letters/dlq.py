"""dlq: dead letters and why they are. What events say is personal data: only on demand."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from inferstream.errors import SettingsError
from inferstream.events import codecs, headers
from inferstream.operate.dead_letters.letters import Letter, Letters, Wanted, check_partitions
from inferstream.operate.foreign import header_text, printable, schemaless, shown_headers
from inferstream.operate.pipelines import Chosen, choose
from inferstream.operate.when import show_when
from inferstream.settings import Settings

_PLACE = re.compile(r"(\d{1,9})@(\d{1,19})")
_HEX_BYTES = 1_024
_COLUMNS = "{:<20} {:<14} {:<18} {:<6} {:>5} {:>7} {:>8}  {:<20} {}"
_HEADINGS = ("time", "event", "cause", "stage", "tries", "replays", "bytes", "event id", "detail")


class DlqView(NamedTuple):
    """What to show of them."""

    limit: int | None
    only_count: bool
    show: str | None
    show_data: bool
    as_json: bool


async def run_dlq(settings: Settings, pipeline: str | None, wanted: Wanted, view: DlqView) -> int:
    """Print letters, or how many there are; 1 if the one to show is not there."""
    if view.show is not None and view.only_count:
        raise SettingsError("--show is of one event, --count of all: give one of them")
    chosen = choose(settings, pipeline)
    await check_partitions(wanted, chosen, settings.kafka)
    if view.show is not None:
        wanted, view = wanted._replace(partitions=frozenset({_place(view.show)[0]})), view._replace(limit=None)
    async with Letters(chosen, settings.kafka) as letters:
        found = letters.all(wanted)
        if view.only_count:
            return await _count(found, view)
        if view.show is not None:
            return await _show(found, chosen, view.show, view)
        return await _list(found, chosen, view)


async def _list(found: AsyncIterator[Letter], chosen: Chosen, view: DlqView) -> int:
    shown = 0
    if not view.as_json:
        print(_COLUMNS.format(*_HEADINGS))
    async for letter in found:
        if shown == view.limit:
            break
        shown += 1
        print(json.dumps(described(letter, chosen, view.show_data), default=repr) if view.as_json else row(letter))
        if view.show_data and not view.as_json:
            print(f"  key {_key(letter)}\n  {_body(letter, chosen)!r}")
    return 0


async def _count(found: AsyncIterator[Letter], view: DlqView) -> int:
    counts: Counter[tuple[str, str]] = Counter()
    async for letter in found:
        counts[letter.cause, letter.stage] += 1
    if view.as_json:
        causes: Counter[str] = Counter()
        for (cause, _), count in counts.items():
            causes[cause] += count
        print(json.dumps({"dead_letters": counts.total(), "causes": dict(causes)}))
        return 0
    print(f"{counts.total()} dead letters")
    for (cause, stage), count in counts.most_common():
        print(printable(f"{count:>8} {cause} in {stage}"))
    return 0


async def _show(found: AsyncIterator[Letter], chosen: Chosen, show: str, view: DlqView) -> int:
    partition, offset = _place(show)
    shown = 0
    async for letter in found:  # after a crash the same event may lie there twice
        if (letter.partition, letter.offset) != (partition, offset):
            continue
        shown += 1
        if view.as_json:
            print(json.dumps(described(letter, chosen, view.show_data), default=repr))
        else:
            print("\n".join(_in_full(letter, chosen, view.show_data)))
    if not shown:
        raise SettingsError(f"there is no dead letter of event {show} in '{chosen.settings.dead_letter_topic}'")
    return 0


def row(letter: Letter) -> str:
    """A letter in one line."""
    cells = (
        show_when(letter.record.timestamp),
        letter.place,
        letter.cause,
        letter.stage,
        letter.attempts,
        str(letter.replays),
        str(letter.size_bytes),
        letter.event_id or "-",
        letter.detail,
    )
    return _COLUMNS.format(*map(printable, cells)).rstrip()


def described(letter: Letter, chosen: Chosen, show_data: bool) -> dict[str, Any]:
    """A letter as JSON can hold it."""
    record = letter.record
    found: dict[str, Any] = {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "time": show_when(record.timestamp),
        "outcome_id": letter.outcome_id,
        "pipeline": letter.pipeline,
        "cause": letter.cause,
        "stage": letter.stage,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "bytes": letter.size_bytes,
        "is_whole": letter.is_whole,
        "event_id": letter.event_id or None,
        "lies_at": f"{record.topic}/{record.partition}/{record.offset}",
        "headers": shown_headers(record.headers, show_data),
    }
    if show_data:
        found["key"], found["value"] = _key(letter), _body(letter, chosen)
    return found


def _in_full(letter: Letter, chosen: Chosen, show_data: bool) -> list[str]:
    shown = described(letter, chosen, show_data)
    given = shown.pop("headers")
    lines = [f"{name}: {printable(str(value))}" for name, value in shown.items()]
    return [*lines, "headers:", *(printable(f"  {name}: {value}") for name, value in given.items())]


def _key(letter: Letter) -> str:
    return header_text(letter.record.key)


def _body(letter: Letter, chosen: Chosen) -> Any:
    """As the event's own content type says, else as the pipeline expects it; what cannot be read as bytes."""
    named = headers.text(letter.record.headers, headers.CONTENT_TYPE)
    content_type = named or codecs.by_name(chosen.settings.codec).content_type
    return schemaless(letter.record.value, content_type, _HEX_BYTES)


def _place(text: str) -> tuple[int, int]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise SettingsError(f"--show '{text}' is no event: write PARTITION@OFFSET, as `inferstream dlq` lists them")
    return int(found[1]), int(found[2])
