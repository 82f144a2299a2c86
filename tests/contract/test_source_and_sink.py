"""What the data path may expect of a source and a sink, on the fake, the embedded broker and real Apache Kafka."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from msgspec.structs import replace
from tests.contract.cluster import PARTITIONS, Cluster, Group, Lost, Reset, joined, record

from inferstream.errors import RecordsRefused
from inferstream.events.envelope import Record, Slice
from inferstream.pipeline.interfaces import OutRecord, Source


async def take(source: Source, count: int) -> list[Record]:
    """Exactly so many records, in the order they came."""
    return [record for each in await take_slices(source, count) for record in each.records]


async def take_slices(source: Source, count: int) -> list[Slice]:
    taken: list[Slice] = []
    async with asyncio.timeout(20):
        while sum(len(each.records) for each in taken) < count:
            taken += await source.take(0.2)
    assert sum(len(each.records) for each in taken) == count
    return taken


async def nothing(source: Source, seconds: float = 1.0) -> None:
    """Nothing is taken for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert list(await source.take(0.1)) == []


async def send(cluster: Cluster, partition: int, *texts: str) -> None:
    await cluster.sink.send(cluster.topic, partition, [record(text) for text in texts])


def numbers(first: int, end: int) -> list[str]:
    return [str(number) for number in range(first, end)]


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


async def test_records_come_back_as_they_were_sent(cluster: Cluster) -> None:
    now = int(time.time() * 1000) - 5_000
    await cluster.sink.send(cluster.topic, 1, [record("a", now), OutRecord(None, None, [], now)])
    group = Group()
    async with joined(cluster.source("g"), group) as source:
        first, second = await take(source, 2)
        assert (first.topic, first.partition, first.offset, first.timestamp) == (cluster.topic, 1, 0, now)
        assert (first.key, first.value) == (b"key", b"a")
        assert list(first.headers) == [("name", b"value"), ("name", b"again")]
        assert (second.key, second.value, list(second.headers)) == (None, None, [])
        assert set(group.epochs) == {0, 1, 2}


async def test_each_partition_keeps_the_order_of_sending(cluster: Cluster) -> None:
    sent = [
        cluster.sink.send(cluster.topic, number % PARTITIONS, [record(f"{number}.{part}") for part in range(3)])
        for number in range(300)
    ]
    await asyncio.gather(*sent)
    async with joined(cluster.source("g"), Group()) as source:
        seen: dict[int, list[bytes | None]] = {}
        for taken in await take(source, 900):
            seen.setdefault(taken.partition, []).append(taken.value)
    for partition, values in seen.items():
        expected = [f"{n}.{part}".encode() for n in range(partition, 300, PARTITIONS) for part in range(3)]
        assert values == expected


async def test_what_is_committed_is_not_read_again_and_the_rest_is(cluster: Cluster) -> None:
    await send(cluster, 0, *numbers(0, 10))
    async with joined(cluster.source("g"), Group()) as first:
        await take(first, 10)
        await first.commit({0: 4})
    async with joined(cluster.source("g"), Group()) as second:
        assert offsets(await take(second, 6)) == [4, 5, 6, 7, 8, 9]


async def test_groups_do_not_see_each_other(cluster: Cluster) -> None:
    await send(cluster, 0, "only")
    for name in ("one", "two"):
        async with joined(cluster.source(name), Group()) as source:
            assert [r.value for r in await take(source, 1)] == [b"only"]
            await source.commit({0: 1})


async def test_an_idle_topic_gives_nothing_within_the_timeout(cluster: Cluster) -> None:
    async with joined(cluster.source("g"), Group()) as source:
        assert list(await source.take(0.1)) == []


async def test_a_slice_carries_the_epoch_of_its_assignment(cluster: Cluster) -> None:
    await send(cluster, 2, "x")
    group = Group()
    async with joined(cluster.source("g"), group) as source:
        assert [each.epoch for each in await take_slices(source, 1)] == [group.epochs[2]]


async def test_stop_twice_and_a_commit_of_nothing_do_no_harm(cluster: Cluster) -> None:
    async with joined(cluster.source("g"), Group()) as source:
        await source.commit({})
        await source.stop()


# Holding a partition back


async def test_a_held_partition_gives_nothing_while_the_others_go_on(cluster: Cluster) -> None:
    async with joined(cluster.source("g"), Group()) as source:
        source.hold(0)
        source.hold(99)  # not ours: ignored
        await send(cluster, 0, *numbers(0, 5))
        await send(cluster, 1, *numbers(0, 5))
        assert {r.partition for r in await take(source, 5)} == {1}
        await nothing(source)
        source.release(0)
        assert [(r.partition, r.offset) for r in await take(source, 5)] == [(0, n) for n in range(5)]


async def test_after_a_hold_reading_goes_on_behind_what_was_taken(cluster: Cluster) -> None:
    """What was fetched but not taken when the hold began is neither lost nor repeated."""
    await send(cluster, 0, *numbers(0, 3_000))
    async with joined(cluster.source("g"), Group()) as source:
        taken: list[Record] = []
        async with asyncio.timeout(20):
            while not taken:
                taken += [r for each in await source.take(0.2) for r in each.records]
        source.hold(0)
        await nothing(source)
        source.release(0)
        source.release(0)
        if len(taken) < 3_000:
            taken += await take(source, 3_000 - len(taken))
        assert offsets(taken) == list(range(3_000))


async def test_a_new_assignment_ends_a_hold(cluster: Cluster) -> None:
    first_group = Group()
    async with joined(cluster.source("g"), first_group) as first:
        for partition in range(PARTITIONS):
            first.hold(partition)
        await send(cluster, 0, "x")
        async with joined(cluster.source("g"), Group()) as second:
            taken: list[Record] = []
            async with asyncio.timeout(20):
                while not taken:
                    for source in (first, second):
                        taken += [r for each in await source.take(0.1) for r in each.records]
        assert [r.value for r in taken] == [b"x"]


# Going back


async def test_rewind_reads_again_from_what_is_committed_under_a_new_epoch(cluster: Cluster) -> None:
    await send(cluster, 0, *numbers(0, 10))
    group = Group()
    async with joined(cluster.source("g"), group) as source:
        before = await take_slices(source, 10)
        await source.commit({0: 4})
        await source.rewind(0)
        assert group.assignments[-1] == {0: group.epochs[0]}
        assert group.epochs[0] > before[0].epoch
        again = await take_slices(source, 6)
        assert {each.epoch for each in again} == {group.epochs[0]}
        assert offsets([r for each in again for r in each.records]) == [4, 5, 6, 7, 8, 9]
        assert group.revocations == 0


async def test_rewind_without_a_commit_goes_to_the_beginning_and_leaves_others_alone(cluster: Cluster) -> None:
    await send(cluster, 0, *numbers(0, 5))
    await send(cluster, 1, *numbers(0, 5))
    async with joined(cluster.source("g"), Group()) as source:
        await take(source, 10)
        await source.rewind(0)
        await source.rewind(99)  # not ours: ignored
        assert [(r.partition, r.offset) for r in await take(source, 5)] == [(0, n) for n in range(5)]
        await nothing(source)


async def test_partitions_are_rewound_at_the_same_time(cluster: Cluster) -> None:
    class Slow(Group):
        async def assigned(self, partitions: Mapping[int, int]) -> None:
            await asyncio.sleep(0.1)
            await super().assigned(partitions)

    for partition in range(PARTITIONS):
        await send(cluster, partition, *numbers(0, 5))
    group = Slow()
    async with joined(cluster.source("g"), group) as source:
        await take(source, 15)
        await asyncio.gather(*(source.rewind(partition) for partition in range(PARTITIONS)))
        again = await take_slices(source, 15)
        assert {each.partition: each.epoch for each in again} == group.epochs
        assert len(set(group.epochs.values())) == PARTITIONS


async def test_rewind_of_a_held_partition_ends_the_hold(cluster: Cluster) -> None:
    await send(cluster, 0, "x")
    async with joined(cluster.source("g"), Group()) as source:
        await take(source, 1)
        source.hold(0)
        await source.rewind(0)
        assert offsets(await take(source, 1)) == [0]


async def test_where_to_read_is_asked_after_assigned_is_through(cluster: Cluster) -> None:
    """A former owner's transaction may be committed until then."""
    await send(cluster, 0, *numbers(0, 5))
    async with joined(cluster.source("g"), Group()) as first:
        await take(first, 5)
        await first.commit({0: 2})

    former, ours = cluster.transactions("g"), cluster.transactions("g")
    await former.open(0)

    class Opening(Group):
        async def assigned(self, partitions: Mapping[int, int]) -> None:
            await asyncio.sleep(0.5)
            await former.transact(0, [], 4)
            await ours.open(0)
            await super().assigned(partitions)

    try:
        async with joined(cluster.source("g"), Opening()) as second:
            assert offsets(await take(second, 1)) == [4]
    finally:
        await former.stop()
        await ours.stop()


# Retention


@pytest.mark.parametrize("reset", ["earliest", "latest"])
async def test_offsets_gone_before_they_were_read_are_counted(cluster: Cluster, reset: Reset) -> None:
    await send(cluster, 0, *numbers(0, 10))
    async with joined(cluster.source("g"), Group()) as first:
        await take(first, 10)
        await first.commit({0: 3})
    await cluster.delete_before(0, 7)
    lost, source = Lost(), cluster.source("g", reset)
    source.when_lost(lost)
    async with joined(source, Group()):
        assert offsets(await take(source, 3)) == [7, 8, 9]
        assert lost.counts == {0: 4}
        await source.rewind(0)  # what was counted is not counted again
        assert offsets(await take(source, 3)) == [7, 8, 9]
        assert lost.counts == {0: 4}


async def test_offsets_gone_while_a_partition_is_held_are_counted(cluster: Cluster) -> None:
    lost, source = Lost(), cluster.source("g")
    source.when_lost(lost)
    async with joined(source, Group()):
        await send(cluster, 0, *numbers(0, 10))
        await take(source, 10)
        source.hold(0)
        await send(cluster, 0, *numbers(10, 20))
        await cluster.delete_before(0, 15)
        source.release(0)
        assert offsets(await take(source, 5)) == [15, 16, 17, 18, 19]
    assert lost.counts == {0: 5}


async def test_a_group_that_begins_has_lost_nothing(cluster: Cluster) -> None:
    await send(cluster, 0, *numbers(0, 10))
    await cluster.delete_before(0, 4)
    lost, source = Lost(), cluster.source("g")
    source.when_lost(lost)
    async with joined(source, Group()):
        assert offsets(await take(source, 6)) == [4, 5, 6, 7, 8, 9]
    assert lost.counts == {}


@pytest.mark.parametrize("reset", ["earliest", "latest"])
async def test_a_topic_made_anew_is_read_from_where_a_group_begins(cluster: Cluster, reset: Reset) -> None:
    """Its offsets lie below what is committed."""
    await send(cluster, 0, *numbers(0, 5))
    async with joined(cluster.source("g"), Group()) as first:
        await take(first, 5)
        await first.commit({0: 1_000})
    lost, source = Lost(), cluster.source("g", reset)
    source.when_lost(lost)
    async with joined(source, Group()):
        if reset == "latest":
            await nothing(source)
        await send(cluster, 0, "new")
        assert offsets(await take(source, 6 if reset == "earliest" else 1))[-1] == 5
    assert lost.counts == {}


async def test_latest_begins_at_the_end_and_only_there(cluster: Cluster) -> None:
    await send(cluster, 0, *numbers(0, 5))
    async with joined(cluster.source("g", "latest"), Group()) as source:
        await nothing(source)
        await send(cluster, 0, "new")
        assert offsets(await take(source, 1)) == [5]
    await send(cluster, 0, "while nobody was there")
    async with joined(cluster.source("g", "latest"), Group()) as source:
        assert offsets(await take(source, 2)) == [5, 6]


# Partitions that come later


async def test_an_added_partition_is_read_as_soon_as_the_output_has_it_too(cluster: Cluster) -> None:
    group = Group()
    async with joined(cluster.source("g"), group) as source:
        await cluster.add_partitions(cluster.topic, PARTITIONS + 1)
        async with asyncio.timeout(30):
            while PARTITIONS not in group.epochs:
                assert list(await source.take(0.1)) == []
        await send(cluster, PARTITIONS, "held")
        await send(cluster, 0, "goes on")
        assert [r.value for r in await take(source, 1)] == [b"goes on"]
        await nothing(source)
        await cluster.add_partitions(cluster.output, PARTITIONS + 1)
        assert [r.value for r in await take(source, 1)] == [b"held"]


# Records the broker does not take


async def test_a_record_larger_than_the_topic_takes_is_named_and_all_others_are_written(cluster: Cluster) -> None:
    limit = cluster.sink.max_record_bytes(cluster.topic)
    fitting = OutRecord(b"k", b"x" * (limit - 200), [], int(time.time() * 1000))
    await cluster.sink.send(cluster.topic, 0, [fitting])
    too_large = replace(fitting, value=b"x" * (2 * limit))
    first = cluster.sink.send(cluster.topic, 1, [record("a"), too_large, record("b")])
    second = cluster.sink.send(cluster.topic, 1, [record("c")])
    third = cluster.sink.send(cluster.topic, 2, [record("d")])
    with pytest.raises(RecordsRefused) as refused:
        await first
    assert len(refused.value.records) == 1
    assert refused.value.records[0] is too_large
    await asyncio.gather(second, third)
    await cluster.sink.send(cluster.topic, 1, [record("e")])
    written = [(r.partition, r.value) for r in await cluster.written(cluster.topic)]
    assert written == [(0, fitting.value), (1, b"a"), (1, b"b"), (1, b"c"), (1, b"e"), (2, b"d")]


async def test_a_limit_lowered_at_run_time_costs_only_what_is_too_large(cluster: Cluster) -> None:
    await cluster.sink.send(cluster.topic, 0, [record("a", size=5_000)])
    await cluster.lower_limit(cluster.topic, 2_000)
    hand_overs = [
        [record(f"{number}-{part}", size=5_000 if (number, part) in {(1, 0), (3, 2)} else 500) for part in range(3)]
        for number in range(5)
    ]
    sent = [cluster.sink.send(cluster.topic, 0, records) for records in hand_overs]
    results = await asyncio.wait_for(asyncio.gather(*sent, return_exceptions=True), 20)
    assert [type(result) for result in results] == [type(None), RecordsRefused, type(None), RecordsRefused, type(None)]
    assert cast("RecordsRefused", results[1]).records == [hand_overs[1][0]]
    assert cast("RecordsRefused", results[3]).records == [hand_overs[3][2]]
    values = [(r.value or b"").strip() for r in await cluster.written(cluster.topic)]
    expected = [f"{n}-{part}".encode() for n in range(5) for part in range(3) if (n, part) not in {(1, 0), (3, 2)}]
    assert values == [b"a", *expected]
    assert cluster.sink.max_record_bytes(cluster.topic) == 2_000


async def test_flush_waits_for_every_acknowledgement(cluster: Cluster) -> None:
    futures = [cluster.sink.send(cluster.topic, 0, [record("x")]) for _ in range(50)]
    await cluster.sink.flush()
    assert all(future.done() for future in futures)
