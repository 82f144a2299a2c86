"""One partition's log: records, marks of transactions, and what a reader may see of them."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from inferstream.pipeline.interfaces import OutRecord

State = Literal["plain", "open", "committed", "aborted", "mark"]


class SizeRefused(Exception):
    """A record is larger than the topic takes; nothing of the request is written."""


class OutOfSequence(Exception):
    """A producer's batch is missing before this one: it is wedged for ever."""


class Stored(NamedTuple):
    """A record as readers get it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass
class Entry:
    """A place in the log: a record or a transaction's mark; who wrote it, and when."""

    record: Stored
    producer: int
    host: str
    written_at: float
    state: State


@dataclass
class Log:
    """Offsets are places in `entries`."""

    topic: str
    partition: int
    entries: list[Entry] = field(default_factory=list)
    _sequences: dict[int, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return len(self.entries)

    @property
    def stable_end(self) -> int:
        """Below it no transaction is open."""
        for entry in self.entries:
            if entry.state == "open":
                return entry.record.offset
        return len(self.entries)

    def append(self, record: OutRecord, producer: int, host: str, at: float, state: State = "plain") -> Entry:
        """Write at the end."""
        stored = Stored(
            self.topic,
            self.partition,
            len(self.entries),
            record.timestamp_ms,
            record.key,
            record.value,
            tuple(record.headers),
        )
        entry = Entry(stored, producer, host, at, state)
        self.entries.append(entry)
        return entry

    def is_repeat(self, producer: int, sequence: int) -> bool:
        """Whether this batch of an idempotent producer is here already. Raises OutOfSequence."""
        expected = self._sequences.get(producer, 0)
        if sequence > expected:
            raise OutOfSequence
        self._sequences[producer] = max(expected, sequence + 1)
        return sequence < expected

    def end_transaction(self, producer: int, committed: bool, at: float) -> None:
        """Its open records become visible, or never do."""
        for entry in self.entries:
            if entry.producer == producer and entry.state == "open":
                entry.state = "committed" if committed else "aborted"
        self.append(OutRecord(None, None, [], 0), producer, "", at, "mark")

    def visible(self, position: int, most: int) -> tuple[list[Stored], int]:
        """What a read_committed reader gets from `position` on, and where it goes on."""
        end = min(self.stable_end, position + most)
        seen = [e.record for e in self.entries[position:end] if e.state in ("plain", "committed")]
        return seen, max(position, end)
