"""What exactly once may expect of transactions, on the fake, the embedded broker and real Apache Kafka."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from tests.contract.cluster import Cluster, Group, joined, record

from inferstream.errors import Fenced, RecordsRefused, Unavailable
from inferstream.pipeline.interfaces import OutRecord, Transactions, Write

Opened = Callable[[], Transactions]


@pytest.fixture
async def process(cluster: Cluster) -> AsyncIterator[Opened]:
    """Transactions as one process of the group has them; another one at each call."""
    async with AsyncExitStack() as stack:

        def make() -> Transactions:
            transactions = cluster.transactions("g")
            stack.push_async_callback(transactions.stop)
            return transactions

        yield make


async def written(cluster: Cluster, topic: str | None = None) -> list[str]:
    records = await cluster.written(topic or cluster.output)
    return [(record.value or b"").decode().strip() for record in records]


async def committed(cluster: Cluster, partition: int = 0) -> int | None:
    """Where the group reads on: the first offset it takes. There must be more records than are committed."""
    async with joined(cluster.source("g"), Group()) as source, asyncio.timeout(20):
        while True:
            for each in await source.take(0.2):
                if each.partition == partition:
                    return each.records[0].offset


def outcomes(*texts: str) -> list[OutRecord]:
    return [record(text) for text in texts]


async def test_records_and_offset_appear_together(cluster: Cluster, process: Opened) -> None:
    await cluster.sink.send(cluster.topic, 0, outcomes(*"abcdef"))
    transactions = process()
    await transactions.open(0)
    letters = Write(cluster.output, 2, outcomes("letter"))
    await transactions.transact(0, [Write(cluster.output, 0, outcomes("A", "B")), letters], 2)
    await transactions.transact(0, [Write(cluster.output, 0, outcomes("C"))], 3)
    await transactions.transact(0, [], 4)
    await transactions.close(0)
    await process().open(0)
    assert await written(cluster) == ["A", "B", "C", "letter"]
    assert await committed(cluster) == 4


async def test_many_records_are_written_in_order_and_as_a_whole(cluster: Cluster, process: Opened) -> None:
    transactions = process()
    await transactions.open(1)
    texts = [str(number) for number in range(5_000)]
    records = [record(text, size=300) for text in texts]  # more than one batch
    await transactions.transact(1, [Write(cluster.output, 1, records)], 5_000)
    assert await written(cluster) == texts


async def test_a_later_writer_fences_the_former_and_nothing_of_it_appears(cluster: Cluster, process: Opened) -> None:
    await cluster.sink.send(cluster.topic, 0, outcomes(*"abcdef"))
    zombie, owner = process(), process()
    await zombie.open(0)
    await zombie.transact(0, [Write(cluster.output, 0, outcomes("A"))], 1)
    await owner.open(0)
    with pytest.raises(Fenced):
        await zombie.transact(0, [Write(cluster.output, 0, outcomes("stale"))], 5)
    await owner.transact(0, [Write(cluster.output, 0, outcomes("B"))], 2)
    await process().open(0)
    assert await written(cluster) == ["A", "B"]
    assert await committed(cluster) == 2


async def test_partitions_do_not_fence_each_other(cluster: Cluster, process: Opened) -> None:
    one, other = process(), process()
    await one.open(0)
    await other.open(1)
    await one.transact(0, [Write(cluster.output, 0, outcomes("A"))], 1)
    await other.transact(1, [Write(cluster.output, 1, outcomes("B"))], 1)
    assert await written(cluster) == ["A", "B"]


async def test_refused_records_are_named_and_nothing_is_written(cluster: Cluster, process: Opened) -> None:
    await cluster.sink.send(cluster.topic, 0, outcomes(*"abcdef"))
    transactions = process()
    await transactions.open(0)
    too_large = record("C", size=2 * transactions.max_record_bytes(cluster.output))
    with pytest.raises(RecordsRefused) as refused:
        await transactions.transact(0, [Write(cluster.output, 0, [*outcomes("A", "B"), too_large])], 3)
    assert len(refused.value.records) == 1
    assert refused.value.records[0] is too_large
    assert await written(cluster) == []
    with pytest.raises(Unavailable):
        await transactions.transact(0, [Write(cluster.output, 0, outcomes("X"))], 3)
    await transactions.open(0)
    await transactions.transact(0, [Write(cluster.output, 0, outcomes("A", "B", "smaller"))], 3)
    await process().open(0)
    assert await written(cluster) == ["A", "B", "smaller"]
    assert await committed(cluster) == 3


async def test_a_limit_lowered_at_run_time_is_noticed(cluster: Cluster, process: Opened) -> None:
    transactions = process()
    await transactions.open(0)
    await cluster.lower_limit(cluster.output, 2_000)
    small, large = record("small"), record("large", size=5_000)
    with pytest.raises(RecordsRefused) as refused:
        await transactions.transact(0, [Write(cluster.output, 0, [small, large])], 2)
    assert refused.value.records == [large]
    assert transactions.max_record_bytes(cluster.output) == 2_000
    await transactions.open(0)
    await transactions.transact(0, [Write(cluster.output, 0, [small])], 2)
    assert await written(cluster) == ["small"]


async def test_a_transaction_that_was_cut_off_is_whole_or_not_there(cluster: Cluster, process: Opened) -> None:
    """Whatever became of it, records and offset agree once the partition has been opened again."""
    await cluster.sink.send(cluster.topic, 0, outcomes(*(str(number) for number in range(21))))
    done = 0
    for attempt in range(20):
        transactions = process()
        await transactions.open(0)
        before = len(await written(cluster))
        transacting = transactions.transact(0, [Write(cluster.output, 0, outcomes(str(done)))], done + 1)
        cut_off = asyncio.create_task(transacting)
        await asyncio.sleep(attempt * 0.003)
        cut_off.cancel()
        await asyncio.gather(cut_off, return_exceptions=True)
        await transactions.open(0)
        after = len(await written(cluster))
        assert after - before in (0, 1)
        done += after - before
    assert await written(cluster) == [str(number) for number in range(done)]
    assert await committed(cluster) == done


async def test_what_is_not_open_cannot_be_written(cluster: Cluster, process: Opened) -> None:
    transactions = process()
    with pytest.raises(Unavailable):
        await transactions.transact(0, [Write(cluster.output, 0, outcomes("A"))], 1)
    await transactions.open(0)
    await transactions.close(0)
    await transactions.close(0)
    with pytest.raises(Unavailable):
        await transactions.transact(0, [Write(cluster.output, 0, outcomes("A"))], 1)
    await transactions.stop()
    await transactions.stop()
    assert await written(cluster) == []


async def test_the_source_goes_back_to_what_a_transaction_has_committed(cluster: Cluster, process: Opened) -> None:
    await cluster.sink.send(cluster.topic, 0, outcomes(*"abcdef"))
    transactions = process()
    await transactions.open(0)
    async with joined(cluster.source("g"), Group()) as source:
        async with asyncio.timeout(20):
            while not await source.take(0.2):
                pass
        await transactions.transact(0, [Write(cluster.output, 0, outcomes("A", "B"))], 2)
        await transactions.open(0)
        await source.rewind(0)
        async with asyncio.timeout(20):
            while not (taken := await source.take(0.2)):
                pass
        assert [r.offset for each in taken for r in each.records] == [2, 3, 4, 5]
