"""What only a broker can do to us, the embedded one and real Apache Kafka."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import cast

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from tests.batches import NO_TEXT, SHOWN, altered, batch
from tests.contract.cluster import Group, KafkaCluster, joined, kafka_cluster
from tests.contract.test_source_and_sink import numbers, offsets, send, take, take_slices

from inferstream import local
from inferstream.kafka import GroupOffsets, KafkaSource
from inferstream.kafka.control import Committed
from inferstream.pipeline.commit import Commit
from inferstream.signals import Signals

pytestmark = pytest.mark.integration


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.apache)])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[KafkaCluster]:
    stacks = request.getfixturevalue("stacks")
    async with kafka_cluster(cast("local.Stack", stacks(request.param))) as made:
        yield made


async def append(cluster: KafkaCluster, partition: int, raw: bytes) -> None:
    """A batch as it is."""
    client = AIOKafkaClient(bootstrap_servers=cluster.settings.bootstrap_servers)
    await client.bootstrap()
    try:
        await client._wait_on_metadata(cluster.topic)
        leader = client.cluster.leader_for_partition(TopicPartition(cluster.topic, partition))
        asked = ProduceRequest(None, -1, 5_000, [(cluster.topic, [(partition, raw)])])
        async with asyncio.timeout(10):
            while not await client.ready(leader):  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.05)
            answer = await client.send(leader, asked)
        assert answer.topics[0][1][0][1] == 0, "its error code"
    finally:
        await client.close()


async def test_a_header_name_that_is_no_text_stops_nobody(cluster: KafkaCluster) -> None:
    await send(cluster, 0, "before")
    await append(cluster, 0, altered(batch(0, [b"a", NO_TEXT, b"b"])))
    await send(cluster, 0, "after")
    async with joined(cluster.source("g"), Group()) as source:
        found = await take(source, 5)
    assert offsets(found) == [0, 1, 2, 3, 4]
    assert [each.headers[0][0] for each in found] == ["name", "a", SHOWN, "b", "name"]
    assert [each.value for each in found] == [b"before", b"v0", b"v1", b"v2", b"after"]
    assert [each.offset for each in await cluster.written(cluster.topic)] == [0, 1, 2, 3, 4]


class Follower(Group):
    """With the stage that follows offsets, as a pipeline has it."""

    def __init__(self) -> None:
        super().__init__()

        async def nothing(offsets: Mapping[int, int]) -> None: ...

        self.commit = Commit("p", nothing, 1.0, Signals())

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        await super().assigned(partitions)
        self.commit.assigned(partitions)

    async def revoked(self, partitions: Collection[int]) -> None:
        await super().revoked(partitions)
        self.commit.drop(partitions)


async def test_a_log_that_ends_before_what_was_read_begins_anew_under_another_epoch(cluster: KafkaCluster) -> None:
    """Its topic was made anew while we read it, or its leader has lost records. What was taken is not answered yet."""
    await send(cluster, 0, *numbers(0, 5))
    group, source = Follower(), cluster.source("g")
    assert isinstance(source, KafkaSource)
    async with joined(source, group):
        for each in await take_slices(source, 5):
            assert group.commit.track(each)
        before = group.epochs[0]
        source._consumer.seek(TopicPartition(cluster.topic, 0), 1_000)
        again = await take_slices(source, 5)
        assert [record.offset for each in again for record in each.records] == [0, 1, 2, 3, 4]
        assert {each.epoch for each in again} == {group.epochs[0]} != {before}
        for each in again:
            assert group.commit.track(each)
        assert group.commit.unsettled == 5, "those of before are nobody's"


async def test_what_a_group_without_members_keeps_is_read_as_it_was_written(cluster: KafkaCluster) -> None:
    place = GroupOffsets(f"{cluster.topic}.note", cluster.topic, cluster.settings)
    other = GroupOffsets(f"{cluster.topic}.note", cluster.output, cluster.settings)
    try:
        assert await place.read() == {}
        await place.write({0: Committed(5, "a note"), 2: Committed(7, "")})
        await other.annotate({0: "another topic"})
        await place.write({2: Committed(8, "more")})
        assert await place.read() == {0: Committed(5, "a note"), 2: Committed(8, "more")}
        assert await other.notes() == {0: "another topic"}
    finally:
        await place.stop()
        await other.stop()
