"""Header names may be any bytes: such a record is read like others, and whatever comes after it too."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from tests.batches import NO_TEXT, SHOWN, altered, batch

from inferstream.kafka.records import Fetched, Records

READ_COMMITTED = 1


def read(raw: bytes, begin: int = 0, aborted: Sequence[tuple[int, int]] = ()) -> list[tuple[int, bytes, str]]:
    """Offset, value and header name of each record."""
    given = (list(aborted), begin, None, None, True, READ_COMMITTED)
    records = fetcher.PartitionRecords(TopicPartition("t", 0), fetcher.MemoryRecords(raw), *given)
    found = [(each.offset, each.value, each.headers[0][0]) for each in records]
    assert records.next_fetch_offset == found[-1][0] + 1
    return found


def test_aiokafka_reads_by_it() -> None:
    """A version of aiokafka that does so in another way would stop at such a record for ever."""
    assert (fetcher.MemoryRecords, fetcher.PartitionRecords) == (Fetched, Records)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_name_that_is_no_text_is_shown_by_its_bytes_and_nothing_is_passed_over_or_read_twice(place: int) -> None:
    names = [b"one", b"two", b"three"]
    names[place] = NO_TEXT
    first, rest = batch(0, [b"before", b"b"]), altered(batch(2, names)) + batch(5, [b"after"])
    shown = [name.decode("utf-8", "backslashreplace") for name in (b"before", b"b", *names, b"after")]
    assert shown[2 + place] == SHOWN
    every = [(offset, b"v%d" % offset, name) for offset, name in enumerate(shown)]
    assert read(first + rest) == every
    assert read(rest, begin=3) == every[3:], "from the midst of a batch, which an answer has as a whole"


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_batches_may_be_compressed(codec: int) -> None:
    raw = batch(0, [b"a"], codec) + altered(batch(1, [NO_TEXT])) + batch(2, [b"b", b"c"], codec)
    assert [name for _, _, name in read(raw)] == ["a", SHOWN, "b", "c"]


def test_what_is_aborted_stays_so() -> None:
    """Transactions of two producers, one aborted before such a record and one after it."""
    raw = batch(0, [b"gone"], producer=7) + altered(batch(1, [NO_TEXT, b"b"], producer=8))
    raw += batch(3, [b"gone", b"gone"], producer=9) + batch(5, [b"c"], producer=8)
    assert [name for _, _, name in read(raw, aborted=[(7, 0), (9, 3)])] == [SHOWN, "b", "c"]


@pytest.mark.parametrize(("magic", "expected"), [(0, -1), (1, 1_000)])
def test_a_message_of_the_oldest_format_has_no_time(magic: int, expected: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, 0, 10_000)
    builder.append(0, timestamp=1_000, key=b"k", value=b"v", headers=[])
    given: Sequence[Any] = ([], 0, None, None, True, READ_COMMITTED)
    (found,) = fetcher.PartitionRecords(TopicPartition("t", 0), fetcher.MemoryRecords(bytes(builder.build())), *given)
    assert (found.timestamp, found.value) == (expected, b"v")
