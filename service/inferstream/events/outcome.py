"""The outcome: what the service says about each event, exactly once. Contract: `schemas/outcome.v1.json`."""

from enum import StrEnum
from typing import Any

import msgspec

SCHEMA = "outcome.v1"


class Status(StrEnum):
    """How an event was answered."""

    SCORED = "scored"
    FALLBACK = "fallback"
    EXPIRED = "expired"
    DEAD_LETTERED = "dead_lettered"


class Cause(StrEnum):
    """Why an event was not scored by its model. A closed set: it is a metric label and a header value."""

    # dead-lettered
    EMPTY = "empty"
    OVERSIZE = "oversize"
    UNKNOWN_CODEC = "unknown_codec"
    UNKNOWN_SCHEMA = "unknown_schema"
    MALFORMED = "malformed"
    INVALID = "invalid"
    CARD_NUMBER = "card_number"
    UNUSABLE_FEATURES = "unusable_features"
    TASK_FAILED = "task_failed"
    OUTCOME_TOO_LARGE = "outcome_too_large"
    # fallback
    MODEL_UNAVAILABLE = "model_unavailable"
    MODEL_TIMEOUT = "model_timeout"
    MODEL_ERROR = "model_error"
    MODEL_GARBAGE = "model_garbage"
    MODEL_REJECTED = "model_rejected"
    PREDICTED_LATE = "predicted_late"
    # expired
    TOO_LATE = "too_late"
    NO_FALLBACK = "no_fallback"


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where the event came from; with the consumer group it makes the outcome's id."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Answerer(msgspec.Struct, frozen=True, gc=False):
    """Who answered: `model` (on Triton), `student` (in the process) or `rules`; name and version of it."""

    kind: str
    name: str
    version: str


class Times(msgspec.Struct, frozen=True, gc=False):
    """Where the time went, in microseconds: record timestamp to taken, queue, inference, decision to producer."""

    fetch_us: int
    queue_us: int
    infer_us: int
    emit_us: int


class Outcome(msgspec.Struct, gc=False, omit_defaults=True):
    """One outcome. `result` is the task's own type (for fraud: score, decision, reasons)."""

    id: str
    outcome: Status
    pipeline: str
    task: str
    source: Source
    deadline_unix_ms: int
    slo_class: str
    deadline_met: bool
    times: Times
    event_id: str | None = None
    answered_by: Answerer | None = None
    result: Any = None
    cause: Cause | None = None
    detail: str | None = None


def outcome_id(group: str, topic: str, partition: int, offset: int) -> str:
    """`{group}/{topic}/{partition}/{offset}`: the same for every redelivery and every model version."""
    return f"{group}/{topic}/{partition}/{offset}"
