"""produce: events for a pipeline's input topic, its task's traffic or from a file, at a steady rate."""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from inferstream import tasks
from inferstream.errors import ContractMismatch, InferstreamError, RecordsRefused, SettingsError
from inferstream.events import codecs, headers
from inferstream.kafka import Admin, KafkaSink
from inferstream.operate.demo.shows import show_of
from inferstream.operate.pipelines import Chosen, choose
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import Settings

_TICK = 0.005
_MOST_AT_ONCE = 100  # events before the loop gets its turn to send them


class Plan(NamedTuple):
    """What to send."""

    rate: float
    events: int
    file: Path | None
    slo_ms: int | None
    slo_class: str | None
    poison: float
    seed: int


class Draft(NamedTuple):
    """An event before it has a time: key, payload (or its bytes), what sets its time in ms, its line of the file."""

    key: bytes
    payload: Any
    at: Callable[[int], None] = lambda timestamp_ms: None
    line: int | None = None


class _Tally:
    """What became of what was sent."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self._refused: list[tuple[int | None, RecordsRefused]] = []
        self.error: BaseException | None = None
        """Nothing more can be written."""

    def note(self, line: int | None, sent: "asyncio.Future[None]") -> None:
        """Of the event of this line, once it is known."""
        error = None if sent.cancelled() else sent.exception()
        if isinstance(error, RecordsRefused):
            self._refused.append((line, error))
        elif error is not None:
            self.error = self.error or error
        elif not sent.cancelled():
            self.acknowledged += 1

    def check(self, file: Path | None) -> None:
        """Raises what went wrong, by the first line of the file that did."""
        if self.error is not None:
            raise self.error
        if not self._refused:
            return
        line, error = min(self._refused, key=lambda one: one[0] or 0)
        where = f"--file {file} line {line}: " if line is not None else ""
        more = f"; {len(self._refused)} events are refused in all" if len(self._refused) > 1 else ""
        raise InferstreamError(f"{where}{error}{more}")


async def run_produce(settings: Settings, pipeline: str | None, plan: Plan) -> int:
    """Send as planned and say how many were acknowledged.

    A file is read whole first: a bad line in it sends nothing. Raises InferstreamError if the broker refuses an event;
    the others are sent all the same.
    """
    chosen = choose(settings, pipeline)
    if plan.slo_class is not None and plan.slo_class not in chosen.settings.classes:
        known = ", ".join(chosen.settings.classes)
        raise SettingsError(f"pipeline '{chosen.name}' has no SLO class '{plan.slo_class}'; it has: {known}")
    drafts = itertools.islice(with_poison(_drafts(chosen, plan), plan.poison), plan.events)
    async with Admin(settings.kafka) as admin:
        partitions = (await admin.partition_counts()).get(chosen.settings.input_topic)
    if partitions is None:
        raise ContractMismatch(f"topic '{chosen.settings.input_topic}' does not exist: create it")
    sink, tally = KafkaSink(settings.kafka), _Tally()
    await sink.start()
    started = time.monotonic()
    try:
        await _send(sink, tally, chosen, drafts, partitions, plan)
        await sink.flush()
    finally:
        await sink.stop()
    await asyncio.sleep(0)  # the last ones are noted
    took = time.monotonic() - started
    events = "event" if tally.acknowledged == 1 else "events"
    print(f"sent {tally.acknowledged} {events} to '{chosen.settings.input_topic}' in {took:.1f} s", file=sys.stderr)
    tally.check(plan.file)
    return 0


async def _send(
    sink: KafkaSink, tally: _Tally, chosen: Chosen, drafts: Iterator[Draft], partitions: int, plan: Plan
) -> None:
    """Open loop: each event at its time; one that is late is sent at once. Ends early if nothing can be written."""
    codec = codecs.by_name(chosen.settings.codec)
    given = [(headers.CONTENT_TYPE, codec.content_type.encode())]
    if plan.slo_ms is not None:
        given.append((headers.SLO_MS, str(plan.slo_ms).encode()))
    if plan.slo_class is not None:
        given.append((headers.SLO_CLASS, plan.slo_class.encode()))
    drafts = itertools.chain(list(itertools.islice(drafts, 1)), drafts)  # the first one takes a while to simulate
    begin, sent = time.monotonic(), 0
    while tally.error is None:
        due = min(int((time.monotonic() - begin) * plan.rate) + 1, sent + _MOST_AT_ONCE)
        sent_before = sent
        for draft in itertools.islice(drafts, max(0, due - sent)):
            now_ms = int(time.time() * 1000)
            draft.at(now_ms)
            value = draft.payload if isinstance(draft.payload, bytes) else codec.encode(draft.payload)
            record = OutRecord(draft.key, value, given, now_ms)
            written = sink.send(chosen.settings.input_topic, crc32(draft.key) % partitions, [record])
            written.add_done_callback(partial(tally.note, draft.line))
            sent += 1
        if sent < due:
            return
        await asyncio.sleep(0 if due - sent_before == _MOST_AT_ONCE else _TICK)


def _drafts(chosen: Chosen, plan: Plan) -> Iterator[Draft]:
    if plan.file is not None:
        return iter(list(_from_file(plan.file, chosen)))
    show = show_of(chosen.task)
    return (Draft(show.key(event), event, partial(show.at, event)) for event, _ in show.stream(plan.seed))


def _from_file(file: Path, chosen: Chosen) -> Iterator[Draft]:
    """One JSON object a line. The event's type is not asked: what is wrong with it, the service shall find."""
    id_field = tasks.load(chosen.task, chosen.settings.options).event_id
    encode = codecs.by_name(chosen.settings.codec).encode
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(f"--file {file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = msgspec.json.decode(line)
            named = event.get(id_field) if isinstance(event, dict) and id_field else None
            yield Draft(str(named if named is not None else number).encode(), encode(event), line=number)
        except UnicodeDecodeError:
            raise SettingsError(f"--file {file} line {number} is not JSON: it is not UTF-8") from None
        except msgspec.DecodeError as error:
            raise SettingsError(f"--file {file} line {number} is not JSON: {error}") from None
        except RecursionError:
            raise SettingsError(f"--file {file} line {number} is nested too deep to be sent") from None
        except (ValueError, OverflowError):
            raise SettingsError(f"--file {file} line {number} holds a number too large to be sent") from None


def with_poison(drafts: Iterator[Draft], share: float) -> Iterator[Draft]:
    """Among the drafts, at even distances, as many broken ones of every kind as the share says."""
    kinds = itertools.cycle(POISON)
    for number, draft in enumerate(drafts, 1):
        is_broken = int(number * share) > int((number - 1) * share)
        yield Draft(draft.key, next(kinds)) if is_broken else draft


POISON = (
    b"\xc1 no codec begins like this",
    b"",
    msgspec.msgpack.encode({"transaction_id": "broken"}),
    msgspec.msgpack.encode({"transaction_id": 7, "amount": "much"}),
    msgspec.msgpack.encode({"transaction_id": "nan", "amount": float("nan")}),
    b"\x91" * 100_000,
)
