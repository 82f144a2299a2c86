"""What the data path needs from outside. Adapters implement these; fakes pass the same contract suites."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from inferstream.events.envelope import Slice
from inferstream.events.headers import Headers
from inferstream.events.outcome import Answerer
from inferstream.events.timeline import Timeline
from inferstream.tasks import Tensors


class Clock(Protocol):
    """The two clocks. Only the composition root and tests make one."""

    def monotonic(self) -> float:
        """Seconds; never goes back."""

    def unix_ms(self) -> float:
        """Milliseconds since the epoch; may jump."""


class Assignments(Protocol):
    """Told by a source which partitions are ours."""

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """These partitions are ours from now on (partition to the epoch of this assignment)."""

    async def revoked(self, partitions: Collection[int]) -> None:
        """These partitions are about to go: settle and commit what is under way, within the drain budget."""


class Source(Protocol):
    """The input topic as a member of a consumer group."""

    async def start(self, assignments: Assignments) -> None:
        """Join the group. Raises Unavailable or ContractMismatch."""

    async def take(self, timeout: float) -> Sequence[Slice]:
        """The records at hand, waiting up to `timeout` seconds for the first. May be empty. Cancellable."""

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit (partition to next offset). Raises Unavailable if the broker does not take it in time."""

    def hold(self, partition: int) -> None:
        """Take nothing from this partition until it is released or assigned anew. Unknown partitions are ignored."""

    def release(self, partition: int) -> None:
        """Take from it again, going on after the last record that was taken."""

    def is_held(self, partition: int) -> bool:
        """Nothing is taken from it now, for whatever reason of the source's or ours."""

    async def behind(self) -> Mapping[int, int]:
        """Records of each partition of ours that are on the broker and were not taken. Raises Unavailable."""

    async def rewind(self, partition: int) -> None:
        """Go back to what is committed (else to where `auto_offset_reset` says), under a new epoch.

        `assigned` is called with it, so a hold ends; what was taken under the old epoch is nobody's.
        Raises Unavailable: then nothing is taken until it succeeds.
        """

    async def stop(self) -> None:
        """Leave the group. Commits nothing. Idempotent."""


class OutRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to produce."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    def size_bytes(self) -> int:
        """Upper bound of its size on the wire."""
        headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers + 40


class Sink(Protocol):
    """Topics to produce to."""

    def max_record_bytes(self, topic: str) -> int:
        """Largest record (`OutRecord.size_bytes`) the topic takes."""

    def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
        """Hand over records, in order. The future is done when the broker has acknowledged all of them.

        Never blocks. Retries for as long as the broker may come back, with another producer if ours is wedged;
        fails only for good: with `RecordsRefused` if the broker does not take some of them (all others are written).
        """

    async def flush(self) -> None:
        """Wait until everything handed over is acknowledged."""

    async def stop(self) -> None:
        """Close. What is not acknowledged is given up. Idempotent."""


class Write(NamedTuple):
    """Records for one partition of a topic, in order."""

    topic: str
    partition: int
    records: Sequence[OutRecord]


class Transactions(Protocol):
    """Exactly once: what is written for an input partition and its offset, together or not at all.

    One transactional producer per input partition, named by it, so that a new owner's fences the former's.
    """

    def max_record_bytes(self, topic: str) -> int:
        """As `Sink.max_record_bytes`."""

    async def open(self, partition: int) -> None:
        """Become the partition's only writer, also after `transact` has failed.

        Raises Unavailable or ContractMismatch.
        """

    async def transact(self, partition: int, writes: Sequence[Write], next_offset: int) -> None:
        """Write all of it and commit `next_offset` as the group's offset of the partition.

        Raises RecordsRefused (nothing is written; the partition must be opened again), Fenced (another process is
        the writer now), Unavailable (whether it was committed is unknown: open again and rewind the source).
        """

    async def close(self, partition: int) -> None:
        """Give the partition up. Idempotent."""

    async def stop(self) -> None:
        """Close all. Idempotent."""


class Notes(Protocol):
    """A line of text per input partition that outlives us and that commands can change. Never on the data path."""

    async def notes(self) -> Mapping[int, str]:
        """All notes by partition. Raises Unavailable, or ContractMismatch where it is not allowed."""

    async def annotate(self, notes: Mapping[int, str]) -> None:
        """Write notes over those that were there. Raises as `notes`."""

    async def stop(self) -> None:
        """Close. Idempotent."""


class Prediction(NamedTuple):
    """A model's answer: arrays [rows, *shape] by output name, and who gave it."""

    outputs: Tensors
    answerer: Answerer


class Model(Protocol):
    """One model, on a server or in the process."""

    @property
    def is_ready(self) -> bool:
        """A call may succeed. Cheap: asked before every batch."""

    @property
    def instances(self) -> int:
        """Batches it computes at once."""

    @property
    def max_batch_size(self) -> int:
        """Rows of a call at most; 0: any number, or not known yet."""

    @property
    def is_shared(self) -> bool:
        """Others ask it too, as far as is known."""

    @property
    def url(self) -> str:
        """Where it is, as host:port; empty in the process."""

    async def infer(self, tensors: Tensors, timeout: float, traceparent: bytes | None = None) -> Prediction:
        """Answer all rows within `timeout` seconds. Raises ModelError; never returns other rows or shapes.

        `traceparent` makes the server's own spans children of ours; given only for calls that leave a trace.
        """

    async def stop(self) -> None:
        """Release everything. Idempotent."""


class StreamingModel(Protocol):
    """A model that answers a row piece by piece, for many rows at once."""

    @property
    def is_ready(self) -> bool:
        """As `Model.is_ready`."""

    @property
    def url(self) -> str:
        """As `Model.url`."""

    def stream(
        self, tensors: Tensors, timeout: float, traceparent: bytes | None = None
    ) -> AsyncGenerator[Prediction, None]:
        """The answers to one row, arrays [1, *shape], as they come; ends when the model says that there are no more.

        Raises ModelError; with `model_timeout` if there are more after `timeout` seconds. Then, and when the generator
        is closed before its end, the server is told to stop.
        """


class Spans(Protocol):
    """Takes what is told of events whose traces are kept."""

    def offer(self, way: Timeline) -> None:
        """Never blocks; what it has no room for is counted as dropped."""
