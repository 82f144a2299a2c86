"""Record (as Kafka has it) and Event (decoded, with its deadline): what travels along the data path."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from inferstream.events.outcome import Answerer, Cause, Status
from inferstream.events.timeline import Call, Kept


class Record(Protocol):
    """One Kafka record, read-only. Sources yield their client's own objects, so nothing is copied."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch, by the producer or the broker (`message.timestamp.type`)."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Slice(msgspec.Struct, frozen=True, gc=False):
    """Consecutive records of one partition, taken together. `epoch` numbers the partition's assignment."""

    partition: int
    epoch: int
    records: Sequence[Record]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What becomes of an event without the model: too late when taken, or poison. `detail` never holds data."""

    status: Status
    cause: Cause
    stage: str
    detail: str = ""
    event_id: str | None = None
    """What people call the event, where it has no payload that says so."""


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """Who answered, when it was asked, how long it took, and why it was not the model. Shared by a whole answer."""

    answerer: Answerer
    asked_at: float
    infer_us: int
    cause: Cause | None = None
    call: Call | None = None
    """Its span, where one of its events leaves a trace."""


Lane = tuple[int, int, str]
"""Partition, epoch of its assignment, SLO class."""


class Event(msgspec.Struct, gc=False):
    """A record on its way: first its deadline and payload are known, then its result or its verdict.

    Instants are seconds of the monotonic clock; `deadline_unix_ms` is the same deadline on the wall. `lane` is the
    partition, the epoch of its assignment and the SLO class: within one, outcomes keep the order of their events.
    A tombstone that is forwarded has neither payload nor verdict nor outcome.
    """

    record: Record
    lane: Lane
    slo_class: str
    deadline: float
    deadline_unix_ms: int
    taken_at: float
    fetch_us: int
    payload: Any = None
    verdict: Verdict | None = None
    result: Any = None
    provenance: Provenance | None = None
    status: Status | None = None
    """What its outcome says, once that is written."""
    is_let_go: bool = False
    """Its call to the model goes on without it."""
    is_answered: bool = False
    attempts: int = 1
    trace: Kept | None = None
    """Its span, where it leaves a trace."""

    @property
    def epoch(self) -> int:
        return self.lane[1]
