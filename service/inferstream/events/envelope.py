"""Record (as Kafka has it) and Event (decoded, with its deadline): what travels along the data path."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from inferstream.events.outcome import Answerer, Cause, Status


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


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """Who answered, how long it took, and why it was not the model. Shared by the events of one answer."""

    answerer: Answerer
    infer_us: int
    cause: Cause | None = None


class Event(msgspec.Struct, gc=False):
    """A record on its way: first its deadline and payload are known, then its result or its verdict.

    Instants are seconds of the monotonic clock; `deadline_unix_ms` is the same deadline on the wall.
    A tombstone that is forwarded has neither payload nor verdict nor outcome.
    """

    record: Record
    epoch: int
    slo_class: str
    deadline: float
    deadline_unix_ms: int
    taken_at: float
    fetch_us: int
    queue_us: int = 0
    payload: Any = None
    verdict: Verdict | None = None
    result: Any = None
    provenance: Provenance | None = None

    @property
    def is_live(self) -> bool:
        """It needs the model: no verdict yet, and it has a value."""
        return self.verdict is None and self.payload is not None


class Batch(msgspec.Struct):
    """Events on their way through model, decision and output together, in input order within a partition.

    `deadline` is that of its earliest live event; infinity if none is live, so that no call is made.
    """

    number: int
    events: list[Event]
    sent_at: float
    deadline: float
