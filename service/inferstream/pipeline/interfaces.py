"""What the data path needs from outside. Adapters implement these; fakes pass the same contract suites."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from inferstream.events.envelope import Slice
from inferstream.events.headers import Headers
from inferstream.events.outcome import Answerer
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

        Never blocks. Retries for as long as the broker may come back; fails only for good.
        """

    async def flush(self) -> None:
        """Wait until everything handed over is acknowledged."""

    async def stop(self) -> None:
        """Close. What is not acknowledged is given up. Idempotent."""


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

    async def infer(self, tensors: Tensors, timeout: float) -> Prediction:
        """Answer all rows within `timeout` seconds. Raises ModelError; never returns other rows or shapes."""

    async def stop(self) -> None:
        """Release everything. Idempotent."""
