"""Decided events become records: an outcome each, and the original as a dead letter where that is the outcome.

Nothing here awaits. What is the same for all events that one call answered is worked out once.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace

from inferstream import __version__
from inferstream.events import headers, trace_context
from inferstream.events.codecs import Codec
from inferstream.events.dead_letter import (
    BODY_OMITTED,
    HEADERS_OMITTED,
    KEY_OMITTED,
    PREFIXES,
    dead_letter_headers,
)
from inferstream.events.envelope import Event, Provenance, Verdict
from inferstream.events.outcome import SCHEMA, Cause, Outcome, Source, Status, Times, outcome_id
from inferstream.events.withheld import Withheld
from inferstream.pipeline.interfaces import OutRecord
from inferstream.tasks import Task

_HOUR_MS = 3_600_000
_OWN_HEADERS = 4  # of an outcome; what it inherits comes after them
_OWN_BYTES = 1_024  # more than our headers and the record's own frame take
_LONGEST_EVENT_ID = 256  # characters, in an outcome without an answer: it must fit where nothing else does
_MICRO = 1e6

REFUSED = Verdict(Status.DEAD_LETTERED, Cause.OUTCOME_TOO_LARGE, "emit", "the output topic takes no record so large")


class Route(msgspec.Struct, frozen=True):
    """Names that every outcome of a pipeline carries, and the topics it goes to."""

    pipeline: str
    task_name: str
    group: str
    input_topic: str
    output_topic: str
    dead_letter_topic: str
    dead_letter_partitions: int


class OutcomeWriter:
    """Records of the output topic. Sets `event.status`; a result that cannot be written makes a dead letter."""

    def __init__(self, route: Route, task: Task, codec: Codec) -> None:
        self._route = route
        self._encode = codec.encode
        self._event_id = reader_of_ids(task)
        self._id_prefix = outcome_id(route.group, route.input_topic, 0, 0)[: -len("0/0")]
        self._headers = {
            status: [
                (headers.CONTENT_TYPE, codec.content_type.encode()),
                (headers.SCHEMA, SCHEMA.encode()),
                (headers.OUTCOME, status.value.encode()),
            ]
            for status in Status
        }

    def records(self, events: list[Event], limit: int, now: float, now_ms: int) -> list[OutRecord]:
        """One for each event (all of one partition), in order, of at most `limit` bytes where that can be had."""
        record = events[0].record
        topic, partition = record.topic, record.partition
        ids = f"{self._id_prefix}{partition}/"
        pipeline, task, encode, event_id = self._route.pipeline, self._route.task_name, self._encode, self._event_id
        written = []
        answer: Provenance | None = None
        taken_at, queue_us, emit_us = 0.0, 0, 0
        for event in events:
            provenance, record = event.provenance, event.record
            if provenance is None or event.verdict is not None:
                written.append(self._unanswered(event, f"{ids}{record.offset}", limit, now, now_ms))
                continue
            if provenance is not answer or event.taken_at != taken_at:
                answer, taken_at = provenance, event.taken_at
                queue_us = max(0, int((answer.asked_at - taken_at) * _MICRO))
                emit_us = max(0, int((now - taken_at) * _MICRO) - queue_us - answer.infer_us)
                status = Status.SCORED if answer.cause is None else Status.FALLBACK
                own = self._headers[status]
            id_, offset = f"{ids}{record.offset}", record.offset
            outcome = Outcome(
                id_,
                status,
                pipeline,
                task,
                Source(topic, partition, offset, record.timestamp),
                event.deadline_unix_ms,
                event.slo_class,
                now <= event.deadline,
                Times(event.fetch_us, queue_us, answer.infer_us, emit_us),
                event_id(event.payload),
                answer.answerer,
                event.result,
                answer.cause,
            )
            try:
                value = encode(outcome)
            except Exception as error:  # the result is the task's: it may hold anything
                event.verdict = _unwritable(error)
                written.append(self._unanswered(event, id_, limit, now, now_ms))
                continue
            event.status = status
            key, inherited = record.key, record.headers
            if event.trace is not None:
                inherited = trace_context.replaced(inherited, event.trace.context)
            described: list[tuple[str, bytes | None]] = [*own, (headers.OUTCOME_ID, id_.encode())]
            most = _OWN_BYTES + len(value) + (0 if key is None else len(key))
            if inherited:
                most += headers.inherit(described, inherited)
            out = OutRecord(key, value, described, now_ms)
            if most > limit:
                fitting = _within(limit, out)
                if fitting is None:
                    event.verdict = REFUSED
                    fitting = self._unanswered(event, id_, limit, now, now_ms)
                out = fitting
            written.append(out)
        return written

    def _unanswered(self, event: Event, id_: str, limit: int, now: float, now_ms: int) -> OutRecord:
        """The outcome of an event that has a verdict instead of an answer."""
        record, verdict = event.record, event.verdict
        if verdict is None:  # a forwarded tombstone: no outcome
            return OutRecord(record.key, None, list(record.headers), now_ms)
        event.status = verdict.status
        outcome = Outcome(
            id_,
            verdict.status,
            self._route.pipeline,
            self._route.task_name,
            Source(record.topic, record.partition, record.offset, record.timestamp),
            event.deadline_unix_ms,
            event.slo_class,
            now <= event.deadline,
            Times(event.fetch_us, 0, 0, max(0, int((now - event.taken_at) * _MICRO))),
            self._name(event, verdict),
            cause=verdict.cause,
            detail=verdict.detail or None,
        )
        own = [*self._headers[verdict.status], (headers.OUTCOME_ID, id_.encode())]
        inherited: headers.Headers = record.headers
        if event.trace is not None:
            inherited = trace_context.replaced(inherited, event.trace.context)
        out = _inheriting(OutRecord(record.key, self._encode(outcome), own, now_ms), inherited)
        return _within(limit, out) or _bare(out)

    def _name(self, event: Event, verdict: Verdict) -> str | None:
        if event.payload is not None:
            return _short(self._event_id(event.payload))
        return _ce_id(event.record.headers) if verdict.event_id is None else _short(verdict.event_id)


class LetterWriter:
    """Records of the dead-letter topic: the original, byte for byte, with headers that say why."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def record(self, event: Event, limit: int, now_ms: int) -> OutRecord:
        """Of at most `limit` bytes: what the topic cannot hold of the original is left out, and said to be."""
        record, verdict, route = event.record, event.verdict, self._route
        added = dead_letter_headers(
            record.headers,
            outcome_id=outcome_id(route.group, route.input_topic, record.partition, record.offset),
            cause=verdict.cause.value if verdict else "",
            stage=verdict.stage if verdict else "",
            detail=verdict.detail if verdict else "",
            attempts=event.attempts,
            pipeline=route.pipeline,
            service_version=__version__,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            group=route.group,
        )
        # The original's time, unless brokers would refuse it (KIP-937) or have; it is in a header in any case.
        is_usable = 0 <= record.timestamp <= now_ms + _HOUR_MS and verdict is not REFUSED
        at_ms = record.timestamp if is_usable else now_ms
        if isinstance(record, Withheld):
            added += record.omitted
        return _letter_within(limit, OutRecord(record.key, record.value, added, at_ms), len(record.headers))


def reader_of_ids(task: Task) -> Callable[[Any], str | None]:
    """How the task's events are asked what people call them."""
    name = task.event_id
    if name is None:
        return lambda payload: None
    attribute = attrgetter(name)
    fields = getattr(task.event_type, "__annotations__", {})
    if "str" in str(fields.get(name, "")):  # as most are; the rest costs a call more
        return attribute

    def read(payload: Any) -> str | None:
        try:
            found = payload.get(name) if isinstance(payload, dict) else attribute(payload)
            return found if found.__class__ is str or found is None else str(found)
        except Exception:  # a payload of an open type may be anything; the outcome is told by its own id as well
            return None

    return read


def _ce_id(given: headers.Headers) -> str | None:
    """The CloudEvents id of an event that was not decoded."""
    ce_id = headers.read(given).ce_id
    return None if ce_id is None else ce_id[:_LONGEST_EVENT_ID].decode("utf-8", "replace")


def _short(event_id: str | None) -> str | None:
    return None if event_id is None else event_id[:_LONGEST_EVENT_ID]


def _unwritable(error: Exception) -> Verdict:
    detail = f"the task's result cannot be written ({type(error).__name__})"
    return Verdict(Status.DEAD_LETTERED, Cause.TASK_FAILED, "emit", detail)


def _inheriting(record: OutRecord, inherited: headers.Headers) -> OutRecord:
    return replace(record, headers=[*record.headers, *headers.carried(inherited)]) if inherited else record


def _within(limit: int, record: OutRecord) -> OutRecord | None:
    """What it inherits may make it too large for its topic: headers go, then the key. None: that is not enough."""
    if record.size_bytes() <= limit:
        return record
    record = replace(record, headers=record.headers[:_OWN_HEADERS])
    if record.size_bytes() <= limit:
        return record
    record = _bare(record)
    return record if record.size_bytes() <= limit else None


def _bare(record: OutRecord) -> OutRecord:
    """Without anything inherited."""
    own = record.headers[:_OWN_HEADERS]
    if record.key is None:
        return replace(record, headers=own)
    omitted = (headers.OUTCOME_KEY_OMITTED, str(len(record.key)).encode())
    return replace(record, key=None, headers=[*own, omitted])


def _letter_within(limit: int, letter: OutRecord, inherited: int) -> OutRecord:
    """Leave out as little of the original as makes the letter fit: the body, its headers, its key; and say so."""
    if letter.size_bytes() <= limit:
        return letter
    if letter.value is not None:
        omitted = (BODY_OMITTED, str(len(letter.value)).encode())
        letter = replace(letter, value=None, headers=[*letter.headers, omitted])
    if letter.size_bytes() <= limit:
        return letter
    if inherited:
        ours = [h for h in letter.headers if h[0].startswith(PREFIXES)]
        letter = replace(letter, headers=[*ours, (HEADERS_OMITTED, str(inherited).encode())])
    if letter.size_bytes() <= limit or letter.key is None:
        return letter
    omitted = (KEY_OMITTED, str(len(letter.key)).encode())
    return replace(letter, key=None, headers=[*letter.headers, omitted])
