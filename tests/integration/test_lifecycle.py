"""How the service ends when everything is gone, and goes on when a topic takes nothing more. On a stack of its own."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from tests.integration.conftest import Bench

from inferstream import local
from inferstream.kafka import KafkaSink
from inferstream.pipeline.interfaces import OutRecord

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    pytest.mark.apache,
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("apache_available"),
]


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    with local.running(tmp_path_factory.mktemp("lifecycle"), kafka="apache") as stack:
        yield stack


@pytest.fixture
def own(own_stack: local.Stack, tmp_path: Path) -> Bench:
    return Bench(own_stack, tmp_path)


@pytest.fixture(params=["at_least_once", "exactly_once"])
def either(own: Bench, request: pytest.FixtureRequest) -> Bench:
    own.environ["INFERSTREAM__PIPELINES__FRAUD__DELIVERY"] = request.param
    return own


async def _send_one(bench: Bench, *more: tuple[str, bytes | None]) -> None:
    """A good event on partition 0."""
    sink = KafkaSink(bench.settings.kafka)
    await sink.start()
    event = msgspec.msgpack.encode(
        {
            "transaction_id": "t",
            "card_id": "c",
            "terminal_id": "x",
            "merchant_id": "m",
            "merchant_category": 5411,
            "amount": 10.0,
            "currency": "EUR",
            "timestamp_ms": 1_700_000_000_000,
            "channel": "chip",
            "country": "DE",
        }
    )
    await sink.send(bench.pipeline.input_topic, 0, [OutRecord(b"k", event, list(more), int(time.time() * 1000))])
    await sink.stop()


async def _until_outcomes(bench: Bench, count: int, seconds: float = 20) -> list[dict[str, object]]:
    deadline = time.monotonic() + seconds
    while len(found := await bench.outcomes()) < count:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    return found


async def test_an_outcome_that_the_broker_refuses_becomes_a_dead_letter_and_holds_nothing_up(either: Bench) -> None:
    """The output topic's limit is lowered while the service runs; the next event is answered a moment later."""
    await either.create_topics()
    async with either.service() as service:
        await _send_one(either)
        await _until_outcomes(either, 1)
        client = AIOKafkaAdminClient(bootstrap_servers=either.settings.kafka.bootstrap_servers)
        await client.start()
        limit = {"max.message.bytes": "1500"}
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, either.pipeline.output_topic, limit)])
        await client.close()
        await asyncio.sleep(1)  # until the topic's log goes by it
        await _send_one(either, ("large", b"x" * 3_000))
        await _send_one(either)
        sent = time.monotonic()
        outcomes = await _until_outcomes(either, 3)
        took = time.monotonic() - sent
        assert sorted(str(outcome["outcome"]) for outcome in outcomes) == ["dead_lettered", "scored", "scored"]
        report = await either.audit(3)
        assert report.problems == {}
        assert report.repeats == 0
        assert took < 5, "the next event waits for the replacement of a producer, no longer"
        assert await service.terminate() == 0


async def test_a_dead_letter_topic_that_is_gone_holds_the_offset_and_loses_nothing(own: Bench) -> None:
    """Poison waits for its topic; other partitions go on; when the topic is back all is written."""
    await own.create_topics()
    settings = own.settings
    async with own.service() as service:
        await own.send(40)
        assert (await own.audit(40)).problems == {}
        client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
        await client.start()
        await client.delete_topics([own.pipeline.dead_letter_topic])
        await asyncio.sleep(1)
        await own.send(400, poison_every=100)
        await asyncio.sleep(3)
        dead = [outcome for outcome in await own.outcomes() if outcome["outcome"] == "dead_lettered"]
        assert dead == [], "an outcome must not name a dead letter that is nowhere"
        assert service.process.returncode is None
        await client.create_topics([NewTopic(own.pipeline.dead_letter_topic, 2, 1)])
        await client.close()
        report = await own.audit(440, wait=60)
        assert report.problems == {}
        assert report.outcomes["dead_lettered"] == 4
        assert await service.terminate() == 0


@pytest.mark.parametrize("signals", [1, 2])
async def test_sigterm_with_kafka_and_triton_dead_ends_in_time_and_says_so(own: Bench, signals: int) -> None:
    """Ten seconds at most, with a code that tells that something was left; a second signal ends it at once."""
    await own.create_topics()
    service = own.service()
    await service.start()
    await service.until_ready()
    sending = asyncio.create_task(own.send(8_000, rate=1_000))
    await _until_outcomes(own, 100)
    await asyncio.to_thread(own.stack.kill, "triton")
    await asyncio.sleep(0.7)  # events wait for the model to come back, so some are under way when Kafka goes too
    await asyncio.to_thread(own.stack.kill, "kafka")
    try:
        await asyncio.sleep(1)
        began = time.monotonic()
        os.kill(service.process.pid, signal.SIGTERM)
        if signals == 2:
            await asyncio.sleep(0.3)
            os.kill(service.process.pid, signal.SIGTERM)
        code = await asyncio.wait_for(service.process.wait(), 15)
        took = time.monotonic() - began
        assert took <= (10 if signals == 1 else 3)
        assert code == (4 if signals == 1 else 1)
        assert "Traceback" not in service.log
    finally:
        if service.process.returncode is None:
            await service.kill()
        await asyncio.to_thread(own.stack.start, "kafka")
        await asyncio.to_thread(own.stack.start, "triton")
        await asyncio.wait_for(sending, 60)
