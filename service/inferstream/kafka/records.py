"""Records as a fetch brings them: leaner than aiokafka's, and also those that it cannot read, which brokers take.

A header's name is a string by the protocol, which no broker checks, and some clients let it be any bytes. aiokafka
raises at such a record each time it comes to it, so nobody would get past it. Its class for what a fetch brought is
replaced by one that reads on, such names with `\\xff` for each byte that is none of a text.
"""

from collections.abc import Iterator
from typing import Any, Self

import msgspec
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class FetchedRecord(msgspec.Struct, gc=False):
    """See `events.envelope.Record`. aiokafka's own costs three times as much to make, and the collector looks at it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Fetched(MemoryRecords):  # type: ignore[misc]
    """The batches of an answer, its bytes, and how many batches were taken of it."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw, self.taken = raw, 0

    def next_batch(self) -> Any:
        self.taken += 1
        return super().next_batch()


class Records(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a partition. From the first batch on that aiokafka cannot read they are read more slowly."""

    _records: Any

    def _consumer_record(self, tp: TopicPartition, record: Any) -> FetchedRecord:
        return FetchedRecord(
            tp.topic,
            tp.partition,
            record.offset,
            -1 if record.timestamp is None else record.timestamp,  # a message of the oldest format has none
            record.key,
            record.value,
            tuple(record.headers),
        )

    def _unpack_records(self) -> Iterator[FetchedRecord]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            # From the start of that batch; what was read of it lies below `next_fetch_offset` and is passed over.
            self._records = _Patient(self._records)
            yield from super()._unpack_records()


class _Patient(_MemoryRecordsPy):  # type: ignore[misc]
    """The same batches from the one taken last, of which those that have headers are read by aiokafka's Python."""

    def __init__(self, fetched: Fetched) -> None:
        super().__init__(fetched.raw)
        for _ in range(fetched.taken - 1):
            super().next_batch()

    def next_batch(self, *given: Any) -> Any:
        raw, batch = self._next_slice, super().next_batch(*given)
        return _PatientBatch(raw) if isinstance(batch, DefaultRecordBatch) else batch


class _PatientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: Any

    def __iter__(self) -> Self:
        super().__iter__()  # unpacks what is compressed
        self._buffer = _Bytes(self._buffer)
        return self


class _Bytes(bytearray):
    """Any part of it is a text."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Bytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


fetcher.MemoryRecords, fetcher.PartitionRecords = Fetched, Records
