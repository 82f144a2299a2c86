"""emit: one outcome per event to the output topic, poison to the dead-letter topic as well.

An event is settled when the broker has acknowledged everything that was written for it; only then may its
offset pass. Whether a deadline was met is judged at that moment too.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace

from inferstream import __version__
from inferstream.events import headers
from inferstream.events.codecs import Codec
from inferstream.events.dead_letter import (
    BODY_OMITTED,
    HEADERS_OMITTED,
    KEY_OMITTED,
    PREFIXES,
    dead_letter_headers,
)
from inferstream.events.envelope import Event, Verdict
from inferstream.events.outcome import SCHEMA, Cause, Outcome, Source, Status, Times, outcome_id
from inferstream.pipeline.interfaces import Clock, OutRecord, Sink
from inferstream.policy.reserve import EmitReserve
from inferstream.signals import Count, Signals
from inferstream.tasks import Task

_NO_CAUSE = ""
_HOUR_MS = 3_600_000
_OWN_HEADERS = 4  # of an outcome; what it inherits comes after them
_OWN_BYTES = 1_024  # more than our headers and the record's own frame take
_LONGEST_EVENT_ID = 256  # characters of an id that nobody has looked at yet


class Route(msgspec.Struct, frozen=True):
    """Names that every outcome of a pipeline carries, and the topics it goes to."""

    pipeline: str
    task_name: str
    group: str
    input_topic: str
    output_topic: str
    dead_letter_topic: str
    dead_letter_partitions: int


class Emit:
    """The stage: `part` takes decided events of one partition, in order. Never blocks."""

    def __init__(
        self, route: Route, task: Task, codec: Codec, sink: Sink, reserve: EmitReserve, clock: Clock, signals: Signals
    ) -> None:
        self._route = route
        self._sink = sink
        self._reserve = reserve
        self._encode = codec.encode
        self._clock = clock
        self._event_id = _reader_of_ids(task)
        self._counts = _Counts(route.pipeline, signals)
        self._id_prefix = outcome_id(route.group, route.input_topic, 0, 0)[: -len("0/0")]
        self._written = {
            status: [
                (headers.CONTENT_TYPE, codec.content_type.encode()),
                (headers.SCHEMA, SCHEMA.encode()),
                (headers.OUTCOME, status.value.encode()),
            ]
            for status in Status
        }
        self._settled: Callable[[list[Event]], None] = lambda events: None
        self._stage = signals.stage.cell(route.pipeline, "emit")
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def when_settled(self, settled: Callable[[list[Event]], None]) -> None:
        """Call this with the events of a part once all of them are acknowledged."""
        self._settled = settled

    def part(self, events: list[Event]) -> None:
        """Write the outcomes of these events (of one partition and SLO class)."""
        now, now_ms = self._clock.monotonic(), self._clock.unix_ms()
        partition = events[0].record.partition
        ids, at_ms = f"{self._id_prefix}{partition}/", int(now_ms)
        limit = self._sink.max_record_bytes(self._route.output_topic)
        records = [self._record(event, f"{ids}{event.record.offset}", limit, now, at_ms) for event in events]
        futures = [self._sink.send(self._route.output_topic, partition, records)]
        dead = [event for event in events if event.status is Status.DEAD_LETTERED]
        if dead:
            letters = [self._dead_letter(event) for event in dead]
            target = partition % self._route.dead_letter_partitions
            futures.append(self._sink.send(self._route.dead_letter_topic, target, letters))
        acknowledged = futures[0] if len(futures) == 1 else asyncio.gather(*futures)
        acknowledged.add_done_callback(lambda done: self._acknowledged(done, events, now))

    def _record(self, event: Event, id_: str, limit: int, now: float, now_ms: int) -> OutRecord:
        record = event.record
        inherited, key = record.headers, record.key
        if event.verdict is None and event.payload is None:  # a forwarded tombstone: no outcome
            return OutRecord(key, None, list(inherited), now_ms)
        try:
            outcome = self._outcome(event, id_, now)
            value = self._encode(outcome)
        except Exception as error:  # the result is the task's: it may hold anything
            event.verdict = _unwritable(error)
            outcome = self._outcome(event, id_, now)
            value = self._encode(outcome)
        event.status = outcome.outcome
        written: list[tuple[str, bytes | None]] = [*self._written[outcome.outcome], (headers.OUTCOME_ID, id_.encode())]
        size = len(value) + _OWN_BYTES + (0 if key is None else len(key))
        if inherited:
            more = headers.carried(inherited)
            written += more
            size += sum([len(name) + (10 if content is None else 10 + len(content)) for name, content in more])
        fitting = OutRecord(key, value, written, now_ms)
        return fitting if size <= limit else _within(limit, fitting)

    def _outcome(self, event: Event, id_: str, now: float) -> Outcome:
        record, verdict, provenance, route = event.record, event.verdict, event.provenance, self._route
        status, cause, detail, answerer, result = Status.SCORED, None, None, None, None
        queue_us = infer_us = 0
        emit_us = int((now - event.taken_at) * 1e6)
        if verdict is not None:
            status, cause, detail = verdict.status, verdict.cause, verdict.detail or None
        elif provenance is not None:
            answerer, result, infer_us = provenance.answerer, event.result, provenance.infer_us
            queue_us = max(0, int((provenance.asked_at - event.taken_at) * 1e6))
            emit_us -= queue_us + infer_us
            if provenance.cause is not None:
                status, cause = Status.FALLBACK, provenance.cause
        return Outcome(
            id_,
            status,
            route.pipeline,
            route.task_name,
            Source(record.topic, record.partition, record.offset, record.timestamp),
            event.deadline_unix_ms,
            event.slo_class,
            now <= event.deadline,
            Times(event.fetch_us, queue_us, infer_us, max(0, emit_us)),
            _ce_id(record.headers) if event.payload is None else self._event_id(event.payload),
            answerer,
            result,
            cause,
            detail,
        )

    def _dead_letter(self, event: Event) -> OutRecord:
        """The original, byte for byte, with headers that say why; without its body where the topic cannot hold it."""
        record, verdict = event.record, event.verdict
        added = dead_letter_headers(
            record.headers,
            outcome_id=f"{self._id_prefix}{record.partition}/{record.offset}",
            cause=verdict.cause.value if verdict else _NO_CAUSE,
            stage=verdict.stage if verdict else "",
            detail=verdict.detail if verdict else "",
            attempts=event.attempts,
            pipeline=self._route.pipeline,
            service_version=__version__,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            group=self._route.group,
        )
        letter = OutRecord(record.key, record.value, added, self._writable_time(record.timestamp))
        return _letter_within(self._sink.max_record_bytes(self._route.dead_letter_topic), letter, len(record.headers))

    def _writable_time(self, timestamp_ms: int) -> int:
        """The original's, unless brokers would refuse it (KIP-937); it is in a header in any case."""
        now_ms = int(self._clock.unix_ms())
        return timestamp_ms if 0 <= timestamp_ms <= now_ms + _HOUR_MS else now_ms

    def _acknowledged(self, done: "asyncio.Future[Any]", events: list[Event], emitted_at: float) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            if not self.failed.done():
                self.failed.set_exception(error)
            return
        now = self._clock.monotonic()
        self._stage.observe(now - emitted_at, len(events))
        self._reserve.observe(now - emitted_at)
        self._counts.acknowledged(events, now, self._clock.unix_ms())
        self._settled(events)


def _reader_of_ids(task: Task) -> Callable[[Any], str | None]:
    """How the task's events are asked what people call them."""
    name = task.event_id
    if name is None:
        return lambda payload: None
    attribute = attrgetter(name)
    fields = getattr(task.event_type, "__annotations__", {})
    if "str" in str(fields.get(name, "")):  # as most are; the rest costs a call more
        return attribute

    def read(payload: Any) -> str | None:
        found = payload.get(name) if isinstance(payload, dict) else attribute(payload)
        return found if found.__class__ is str or found is None else str(found)

    return read


def _ce_id(given: headers.Headers) -> str | None:
    """The CloudEvents id of an event that was not decoded."""
    ce_id = headers.read(given).ce_id
    return None if ce_id is None else ce_id[:_LONGEST_EVENT_ID].decode("utf-8", "replace")


def _unwritable(error: Exception) -> Verdict:
    detail = f"the task's result cannot be written ({type(error).__name__})"
    return Verdict(Status.DEAD_LETTERED, Cause.TASK_FAILED, "emit", detail)


def _within(limit: int, record: OutRecord) -> OutRecord:
    """An outcome is small; only what it inherits can make it too large for its topic: headers go, then the key."""
    if record.size_bytes() <= limit:
        return record
    record = replace(record, headers=record.headers[:_OWN_HEADERS])
    if record.size_bytes() <= limit or record.key is None:
        return record
    omitted = (headers.OUTCOME_KEY_OMITTED, str(len(record.key)).encode())
    return replace(record, key=None, headers=[*record.headers, omitted])


def _letter_within(limit: int, letter: OutRecord, inherited: int) -> OutRecord:
    """Leave out as little of the original as makes the letter fit: the body, its headers, its key; and say so."""
    if letter.size_bytes() <= limit:
        return letter
    omitted = (BODY_OMITTED, str(len(letter.value or b"")).encode())
    letter = replace(letter, value=None, headers=[*letter.headers, omitted])
    if letter.size_bytes() <= limit:
        return letter
    ours = [h for h in letter.headers if h[0].startswith(PREFIXES)]
    letter = replace(letter, headers=[*ours, (HEADERS_OMITTED, str(inherited).encode())])
    if letter.size_bytes() <= limit or letter.key is None:
        return letter
    omitted = (KEY_OMITTED, str(len(letter.key)).encode())
    return replace(letter, key=None, headers=[*letter.headers, omitted])


class _Counts:
    """Counters of acknowledged outcomes, bound once per class and status."""

    def __init__(self, pipeline: str, signals: Signals) -> None:
        self._pipeline = pipeline
        self._signals = signals
        self._cells: dict[tuple[str, Status], tuple[Count, Count]] = {}

    def acknowledged(self, events: list[Event], now: float, now_ms: float) -> None:
        """The broker has the outcomes of these events (of one SLO class)."""
        answered = [event for event in events if event.status is not None]
        if not answered:
            return
        slo_class = events[0].slo_class
        late = [event for event in answered if now > event.deadline]
        for status, count in _by_status(answered):
            outcomes, in_time = self._cell(slo_class, status)
            outcomes.add(count)
            if status is not Status.EXPIRED:
                in_time.add(count - sum([event.status is status for event in late]))
        latency = self._signals.latency.cell(self._pipeline, slo_class)
        latency.observe_each([(now_ms - event.record.timestamp) / 1000 for event in answered])
        causes = Counter([_cause(event) for event in answered if event.status is not Status.SCORED])
        for cause, count in causes.items():
            self._signals.causes.cell(self._pipeline, cause).add(count)

    def _cell(self, slo_class: str, status: Status) -> tuple[Count, Count]:
        """Counters of outcomes and of those in time."""
        cells = self._cells.get((slo_class, status))
        if cells is None:
            labels = (self._pipeline, slo_class, status.value)
            cells = self._signals.outcomes.cell(*labels), self._signals.in_time.cell(*labels)
            self._cells[slo_class, status] = cells
        return cells


def _by_status(events: list[Event]) -> list[tuple[Status, int]]:
    """How many of each; by identity, since hashing an enum costs more than all the rest."""
    statuses = [event.status for event in events]
    return [(status, count) for status in Status if (count := statuses.count(status))]


def _cause(event: Event) -> str:
    cause: Cause | None = None
    if event.verdict is not None:
        cause = event.verdict.cause
    elif event.provenance is not None:
        cause = event.provenance.cause
    return cause.value if cause else _NO_CAUSE
