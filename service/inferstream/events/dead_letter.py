"""Dead letters: the original record byte for byte, with headers that say where it came from and why.

Contract: `schemas/dead_letter.v1.json`. Ours are text under `dlq-`. Spring Kafka's names (numbers in its own binary
form) and Kafka Connect's are written as well, so that tools which know those find what they look for.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from inferstream.events import headers as names
from inferstream.events.headers import Headers
from inferstream.events.outcome import Cause

OUTCOME_ID = "dlq-outcome-id"
CAUSE = "dlq-cause"
STAGE = "dlq-stage"
DETAIL = "dlq-detail"
ATTEMPTS = "dlq-attempts"
PIPELINE = "dlq-pipeline"
SERVICE_VERSION = "dlq-service-version"
TOPIC = "dlq-original-topic"
PARTITION = "dlq-original-partition"
OFFSET = "dlq-original-offset"
TIMESTAMP = "dlq-original-timestamp"
GROUP = "dlq-original-group"
REPLAYS = "dlq-replays"
BODY_OMITTED = "dlq-body-omitted"
HEADERS_OMITTED = "dlq-headers-omitted"
KEY_OMITTED = "dlq-key-omitted"

SPRING_TOPIC = "kafka_dlt-original-topic"
SPRING_PARTITION = "kafka_dlt-original-partition"
SPRING_OFFSET = "kafka_dlt-original-offset"
SPRING_TIMESTAMP = "kafka_dlt-original-timestamp"
SPRING_GROUP = "kafka_dlt-original-consumer-group"

CONNECT_TOPIC = "__connect.errors.topic"
CONNECT_PARTITION = "__connect.errors.partition"
CONNECT_OFFSET = "__connect.errors.offset"
CONNECT_STAGE = "__connect.errors.stage"
CONNECT_CAUSE = "__connect.errors.exception.class.name"
CONNECT_DETAIL = "__connect.errors.exception.message"

PREFIXES = ("dlq-", "kafka_dlt-", "__connect.errors.")

MISSED = frozenset(
    {
        Cause.MODEL_UNAVAILABLE,
        Cause.MODEL_TIMEOUT,
        Cause.MODEL_ERROR,
        Cause.MODEL_GARBAGE,
        Cause.MODEL_REJECTED,
        Cause.PREDICTED_LATE,
    }
)
"""Causes of dead letters that are no poison: the model missed the event, and its SLO class wants it kept."""

PRODUCERS = frozenset(
    {
        Cause.EMPTY,
        Cause.OVERSIZE,
        Cause.UNKNOWN_CODEC,
        Cause.UNKNOWN_SCHEMA,
        Cause.MALFORMED,
        Cause.INVALID,
        Cause.CARD_NUMBER,
        Cause.UNUSABLE_FEATURES,
    }
)
"""Causes of dead letters that are the producer's mistake: nothing that we mend would have answered these events."""

_SOURCE = (TOPIC, PARTITION, OFFSET, TIMESTAMP)
_MAX_DIGITS = 19


class Origin(NamedTuple):
    """The record that an event first was, before any replay."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


def dead_letter_headers(
    original: Headers,
    *,
    outcome_id: str,
    cause: str,
    stage: str,
    detail: str,
    attempts: int,
    pipeline: str,
    service_version: str,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    group: str,
) -> list[tuple[str, bytes | None]]:
    """The original's headers, without inherited copies of ours, and ours.

    A replayed event that becomes a dead letter again keeps naming the record it first was, and how often it was
    replayed; `dlq-outcome-id` names the record that was refused now.
    """
    count = replays(original)
    first = _origin(original) if count else None
    first = first or Origin(topic, partition, offset, timestamp_ms)
    texts = {
        OUTCOME_ID: outcome_id,
        CAUSE: cause,
        STAGE: stage,
        DETAIL: detail,
        ATTEMPTS: str(attempts),
        PIPELINE: pipeline,
        SERVICE_VERSION: service_version,
        **_source(first),
        GROUP: group,
        **({REPLAYS: str(count)} if count else {}),
        SPRING_TOPIC: first.topic,
        SPRING_GROUP: group,
        CONNECT_TOPIC: first.topic,
        CONNECT_PARTITION: str(first.partition),
        CONNECT_OFFSET: str(first.offset),
        CONNECT_STAGE: stage,
        CONNECT_CAUSE: cause,
        CONNECT_DETAIL: detail,
    }
    numbers = (
        (SPRING_PARTITION, first.partition, 4),
        (SPRING_OFFSET, first.offset, 8),
        (SPRING_TIMESTAMP, first.timestamp_ms, 8),
    )
    return [
        *_without_ours(original),
        *((name, text.encode()) for name, text in texts.items()),
        *((name, number.to_bytes(size, "big", signed=True)) for name, number, size in numbers),
    ]


def replay_headers(letter: Headers, slo_ms: float) -> list[tuple[str, bytes | None]]:
    """The headers of a dead letter that becomes an event again: the original's, with a new deadline and its source.

    Raises ValueError if the letter does not say where it came from.
    """
    first = _origin(letter)
    if first is None:
        raise ValueError("it does not say where it came from")
    dropped = (names.DEADLINE_UNIX_MS, names.SLO_MS)
    kept = [header for header in _without_ours(letter) if header[0] not in dropped]
    added = {names.SLO_MS: str(max(1, round(slo_ms))), **_source(first), REPLAYS: str(replays(letter) + 1)}
    return [*kept, *((name, text.encode()) for name, text in added.items())]


def has_source(letter: Headers) -> bool:
    """It says where it came from, so that it can be replayed."""
    return _origin(letter) is not None


def replays(headers: Headers) -> int:
    """How often the event was put back into its topic."""
    return _number(names.text(headers, REPLAYS)) or 0


def source_of(headers: Headers) -> Mapping[str, str]:
    """The headers by which a replayed event, and its outcome, name the record it first was; empty if it was not."""
    return {name: names.text(headers, name) for name in (*_SOURCE, REPLAYS)} if replays(headers) else {}


def _source(origin: Origin) -> dict[str, str]:
    return {name: str(value) for name, value in zip(_SOURCE, origin, strict=True)}


def _origin(headers: Headers) -> Origin | None:
    """What inherited headers say of the first record; None if they are not all there and sound."""
    topic, *numbers = (names.text(headers, name) for name in _SOURCE)
    partition, offset = _number(numbers[0]), _number(numbers[1])
    timestamp = -1 if numbers[2] == "-1" else _number(numbers[2])
    if not topic or partition is None or offset is None or timestamp is None or partition >= 2**31:
        return None
    return Origin(topic, partition, offset, timestamp)


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text) if is_number and int(text) < 2**63 else None


def _without_ours(headers: Headers) -> Iterable[tuple[str, bytes | None]]:
    return (header for header in headers if not header[0].startswith(PREFIXES))
