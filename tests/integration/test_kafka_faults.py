"""The Kafka adapters on real Apache Kafka that is frozen, killed, reconfigured, or has members that vanish."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from tests.contract.cluster import PARTITIONS, Group, KafkaCluster, joined, kafka_cluster, record

from inferstream import local
from inferstream.errors import ContractMismatch, RecordsRefused, Unavailable
from inferstream.kafka import Admin, GroupOffsets, KafkaSink, KafkaSource
from inferstream.kafka.connection import sever
from inferstream.kafka.control import Committed
from inferstream.local import broker as local_broker
from inferstream.local.process import free_ports, spawn, stop_group
from inferstream.pipeline.interfaces import OutRecord, Source, Transactions, Write
from inferstream.settings import KafkaSettings

pytestmark = [pytest.mark.integration, pytest.mark.apache, pytest.mark.timeout(180)]

REQUEST_TIMEOUT_MS = 2_000
HEALED_SECONDS = 15  # what a busy machine gets; a quiet one needs one or two


@pytest.fixture(scope="module")
def broker(apache_available: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """A broker of our own to ill-treat."""
    with local.running(tmp_path_factory.mktemp("faults"), kafka="apache", parts=("kafka",)) as stack:
        yield stack


@pytest.fixture
async def cluster(broker: local.Stack) -> AsyncIterator[KafkaCluster]:
    async with kafka_cluster(broker, request_timeout_ms=REQUEST_TIMEOUT_MS) as made:
        yield made


@asynccontextmanager
async def frozen(broker: local.Stack) -> AsyncIterator[None]:
    broker.pause("kafka")
    try:
        yield
    finally:
        broker.resume("kafka")


class Sending:
    """A record every few milliseconds on each partition, until told to stop."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self.sent: list[list[asyncio.Future[None]]] = [[] for _ in range(PARTITIONS)]
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            for partition, sent in enumerate(self.sent):
                records = [record(f"{partition}-{len(sent)}")]
                sent.append(self._cluster.sink.send(self._cluster.topic, partition, records))
            await asyncio.sleep(0.005)

    async def stop(self) -> float:
        """Wait until all is acknowledged; the seconds that took."""
        self._task.cancel()
        began = time.monotonic()
        async with asyncio.timeout(60):
            await asyncio.gather(*(future for sent in self.sent for future in sent))
        return time.monotonic() - began

    async def check(self) -> int:
        """Everything is there, in order but for repeats of what was there already; how many repeats."""
        written = await self._cluster.written(self._cluster.topic)
        repeats = 0
        for partition, sent in enumerate(self.sent):
            values = [int((r.value or b"").split(b"-")[1]) for r in written if r.partition == partition]
            first_seen = list(dict.fromkeys(values))
            assert first_seen == list(range(len(sent)))
            repeats += len(values) - len(first_seen)
        return repeats


def replaced(cluster: KafkaCluster) -> list[str]:
    """The reasons of all replacements from now on."""
    reasons: list[str] = []
    assert isinstance(cluster.sink, KafkaSink)
    cluster.sink.when_replaced(reasons.append)
    return reasons


# At least once


async def test_a_sink_goes_on_after_the_broker_was_frozen(cluster: KafkaCluster, broker: local.Stack) -> None:
    sending = Sending(cluster)
    await asyncio.sleep(0.5)
    async with frozen(broker):
        await asyncio.sleep(3 * REQUEST_TIMEOUT_MS / 1000)
    await asyncio.sleep(1)
    assert await sending.stop() < HEALED_SECONDS
    await sending.check()


async def test_a_sink_goes_on_after_the_broker_was_killed(cluster: KafkaCluster, broker: local.Stack) -> None:
    sending = Sending(cluster)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(broker.kill, "kafka")
    await asyncio.sleep(2)
    await asyncio.to_thread(broker.start, "kafka")
    await asyncio.sleep(1)
    assert await sending.stop() < HEALED_SECONDS
    await sending.check()


async def test_a_sink_that_is_not_answered_gets_another_producer(
    cluster: KafkaCluster, broker: local.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(cluster.sink, KafkaSink)
    monkeypatch.setattr(cluster.sink._supervisor, "_longest", 1.0)
    reasons, sending = replaced(cluster), Sending(cluster)
    await asyncio.sleep(0.5)
    async with frozen(broker):
        await asyncio.sleep(5)
        assert "timeout" in reasons
    await asyncio.sleep(1)
    assert await sending.stop() < HEALED_SECONDS
    await sending.check()


async def test_a_wedged_producer_is_replaced_and_nothing_is_lost(cluster: KafkaCluster) -> None:
    assert isinstance(cluster.sink, KafkaSink)
    reasons, sending = replaced(cluster), Sending(cluster)
    await asyncio.sleep(0.3)
    producer = await cluster.sink._supervisor.producer()
    producer._txn_manager.increment_sequence_number(TopicPartition(cluster.topic, 1), 7)
    await asyncio.sleep(0.7)
    assert await sending.stop() < HEALED_SECONDS
    assert reasons[:1] == ["sequence"]
    assert len(set(reasons)) == 1
    await sending.check()


async def test_refused_records_cost_nobody_else_anything(cluster: KafkaCluster) -> None:
    """A compacted topic takes no record without a key: the broker does not say which one it was."""
    await cluster.configure(cluster.output, {"cleanup.policy": "compact"})
    await asyncio.sleep(1)  # until the topic's log goes by it
    reasons, sending = replaced(cluster), Sending(cluster)
    await asyncio.sleep(0.3)
    keyless = OutRecord(None, b"0-x", [], int(time.time() * 1000))
    hand_over = [keyless if n % 10 == 3 else record(f"9-{n}") for n in range(40)]
    began = time.monotonic()
    with pytest.raises(RecordsRefused) as refused:
        await cluster.sink.send(cluster.output, 0, hand_over)
    await cluster.sink.send(cluster.output, 0, [record("after")])
    assert time.monotonic() - began < HEALED_SECONDS
    assert refused.value.records == [keyless] * 4
    values = [r.value for r in await cluster.written(cluster.output)]
    assert values == [f"9-{n}".encode() for n in range(40) if n % 10 != 3] + [b"after"]
    await sending.stop()
    assert await sending.check() == 0
    assert reasons == ["refused"]


async def test_stopping_ends_soon_whatever_the_broker_does(cluster: KafkaCluster, broker: local.Stack) -> None:
    before = asyncio.all_tasks()
    sink, source = KafkaSink(cluster.settings, cluster.sizes), cluster.source("g")
    await sink.start()
    await source.start(Group())
    transactions = cluster.transactions("g")
    await transactions.open(0)
    async with frozen(broker):
        unacknowledged = sink.send(cluster.topic, 0, [record("x")])
        transacting = asyncio.create_task(transactions.transact(0, [Write(cluster.output, 0, [record("x")])], 1))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await asyncio.gather(sink.stop(), source.stop(), transactions.stop())
        assert time.monotonic() - began < 10
        assert not unacknowledged.done()
        transacting.cancel()
        await asyncio.gather(transacting, return_exceptions=True)
    assert asyncio.all_tasks() - before == set()


# Exactly once


async def test_a_transaction_over_a_frozen_broker_is_whole_or_not_there(broker: local.Stack) -> None:
    async with kafka_cluster(broker, request_timeout_ms=REQUEST_TIMEOUT_MS, transaction_timeout_ms=3_000) as cluster:
        await cluster.sink.send(cluster.topic, 0, [record(str(n)) for n in range(500)])
        transactions, done = cluster.transactions("g"), 0
        async with joined(cluster.source("g"), Group()) as source:
            await transactions.open(0)
            for pause in (0.0, 0.01, 0.03):
                broker.resume("kafka")
                freezing = asyncio.create_task(_freeze_after(broker, pause))
                with pytest.raises(Unavailable):
                    await _transact_from(done, transactions, cluster.output)
                await freezing
                broker.resume("kafka")
                async with asyncio.timeout(HEALED_SECONDS):
                    await _until_open(transactions)
                    await source.rewind(0)
                    done = (await _take(source, 1))[0]
                assert [int(r.value or b"") for r in await cluster.written(cluster.output)] == list(range(done))
        await transactions.stop()


async def _transact_from(first: int, transactions: Transactions, topic: str) -> None:
    for number in range(first, first + 200):
        await transactions.transact(0, [Write(topic, 0, [record(str(number))])], number + 1)


async def _freeze_after(broker: local.Stack, pause: float) -> None:
    await asyncio.sleep(pause)
    broker.pause("kafka")


async def _until_open(transactions: Transactions) -> None:
    while True:
        with suppress(Unavailable):
            await transactions.open(0)
            return


async def _take(source: Source, count: int) -> list[int]:
    """Offsets of the first partition, at least so many."""
    taken: list[int] = []
    while len(taken) < count:
        for each in await source.take(0.2):
            if each.partition == 0:
                taken += [r.offset for r in each.records]
    return taken


# The group


async def poll(sources: Sequence[Source], seconds: float) -> None:
    """All of them go on taking, as consumers do."""

    async def one(source: Source) -> None:
        while True:
            await source.take(0.1)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(one(source) for source in sources))


async def owns(group: Group, count: int, source: Source, seconds: float) -> None:
    """Wait until it owns so many partitions."""
    async with asyncio.timeout(seconds):
        while len(group.epochs) != count:
            await source.take(0.1)


@pytest.mark.parametrize("end", ["leaves", "is killed"])
async def test_an_idle_member_takes_over(cluster: KafkaCluster, end: str) -> None:
    """More members than partitions: those without any wait for their turn."""
    members = [(cluster.source("g"), Group()) for _ in range(PARTITIONS + 1)]
    async with AsyncExitStack() as stack:
        for source, group in members:
            await stack.enter_async_context(joined(source, group))
        await poll([source for source, _ in members], 4)
        owners = [(source, group) for source, group in members if group.epochs]
        ((idle, idle_group),) = [(source, group) for source, group in members if not group.epochs]
        assert len(owners) == PARTITIONS
        gone = owners[0][0]
        assert isinstance(gone, KafkaSource)
        if end == "leaves":
            await gone.stop()
        else:
            consumer = gone._consumer
            await sever(consumer._client, consumer, consumer._coordinator, consumer._fetcher)
        limit = 15 if end == "leaves" else cluster.settings.session_timeout_ms / 1000 + 5
        async with asyncio.TaskGroup() as tasks:
            others = tasks.create_task(poll([source for source, _ in owners[1:]], limit))
            await owns(idle_group, 1, idle, limit)
            others.cancel()


async def test_a_frozen_broker_costs_no_partition_and_reading_goes_on(
    cluster: KafkaCluster, broker: local.Stack
) -> None:
    async with joined(cluster.source("g"), Group()) as source:
        await cluster.sink.send(cluster.topic, 0, [record("a")])
        await _take(source, 1)
        async with frozen(broker):
            await poll([source], 4)
        await cluster.sink.send(cluster.topic, 0, [record("b")])
        async with asyncio.timeout(HEALED_SECONDS):
            assert await _take(source, 1) == [1]
            await source.commit({0: 2})


def member(cluster: KafkaCluster, name: str) -> KafkaSource:
    settings = cluster.settings.model_copy(update={"group_instance_id": name})
    return KafkaSource(cluster.topic, f"{cluster.topic}-static", settings)


async def test_a_static_member_that_restarts_moves_no_partitions(cluster: KafkaCluster) -> None:
    other_group, group = Group(), Group()
    async with joined(member(cluster, "b"), other_group) as other:
        first = member(cluster, "a")
        await first.start(group)
        await poll([other, first], 3)
        before, ours, revocations = dict(other_group.epochs), set(group.epochs), other_group.revocations
        assert len(before) + len(ours) == PARTITIONS
        await first.stop()
        await poll([other], 2)
        again_group = Group()
        async with joined(member(cluster, "a"), again_group) as again:
            await poll([other, again], 3)
            assert other_group.revocations == revocations
            assert other_group.epochs == before
            assert set(again_group.epochs) == ours


async def test_the_former_of_two_processes_with_one_instance_id_ends(cluster: KafkaCluster) -> None:
    group = Group()
    async with joined(member(cluster, "a"), Group()) as first:
        await poll([first], 2)
        async with joined(member(cluster, "a"), group) as second:
            with pytest.raises(
                ContractMismatch, match=r"another process took the place of kafka.group_instance_id 'a'"
            ):
                await poll([first], 30)
            await poll([second], 3)  # the first is not stopped yet: it must not come back
            assert set(group.epochs) == set(range(PARTITIONS))


_UNPACKED = 64 * 1024 * 1024


@pytest.mark.parametrize(("compression", "is_refused"), [("producer", False), ("uncompressed", True)])
def test_a_topic_that_the_broker_unpacks_takes_nothing_that_unpacks_to_more_than_its_limit(
    broker: local.Stack, compression: str, is_refused: bool
) -> None:
    """Any client unpacks a batch whole; what producers that nobody trusts may send is for the broker to bound."""
    address, topic = {"bootstrap.servers": broker.endpoints.kafka}, f"packed-{compression}"
    admin = AdminClient(address)
    admin.create_topics([NewTopic(topic, 1, 1, config={"compression.type": compression})])[topic].result(30)
    errors: list[KafkaError | None] = []
    producer = Producer({**address, "compression.type": "zstd", "message.max.bytes": 2 * _UNPACKED})
    producer.produce(topic, bytes(_UNPACKED), on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(60) == 0
    (error,) = errors
    assert (error is not None) is is_refused
    assert error is None or error.code() == KafkaError.MSG_SIZE_TOO_LARGE


@pytest.mark.slow
async def test_what_is_noted_outlives_the_brokers_retention_of_offsets(apache_available: None, tmp_path: Path) -> None:
    """A minute here, a week by default. Nobody joins these groups, so nothing else keeps what they say."""
    port, controller_port = free_ports(2)
    launch = local_broker.apache(tmp_path / "broker", port, controller_port, lambda text: None)
    properties = tmp_path / "broker" / "server.properties"
    quick = "offsets.retention.minutes=1\noffsets.retention.check.interval.ms=1000\n"
    properties.write_text(properties.read_text() + quick)
    process = spawn(launch.command, launch.environ, tmp_path / "broker.log")
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(local_broker.answers, port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.2)
        settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
        async with Admin(settings) as admin:
            await admin.create_topics({"topic": 1})
        notes, others = GroupOffsets("notes", "topic", settings), "others"
        await notes.write({0: Committed(5, "kept")})
        consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, group_id=others)
        await consumer.start()
        consumer.assign([TopicPartition("topic", 0)])
        await consumer.commit({TopicPartition("topic", 0): 5})
        await consumer.stop()
        forgotten = GroupOffsets(others, "topic", settings)
        async with asyncio.timeout(150):
            while await forgotten.read():  # noqa: ASYNC110 - another process
                await asyncio.sleep(2)
        assert await notes.read() == {0: Committed(5, "kept")}
        await notes.stop()
        await forgotten.stop()
    finally:
        stop_group(process, 10)
