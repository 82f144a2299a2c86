"""`inferstream topics` makes what is missing and leaves alone what is there."""

import asyncio
import secrets

import pytest

from inferstream.errors import ContractMismatch
from inferstream.kafka import Admin
from inferstream.local import Stack
from inferstream.operate.topics import run_topics
from inferstream.settings import Settings, load


def settings_on(stack: Stack) -> Settings:
    """With topics that nobody else has."""
    mark = secrets.token_hex(4)
    roles = {f"{role}_TOPIC": f"{role.lower()}-{mark}" for role in ("INPUT", "OUTPUT", "DEAD_LETTER")}
    pipeline = {f"INFERSTREAM__PIPELINES__FRAUD__{name}": topic for name, topic in roles.items()}
    return load(environ={"INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": stack.endpoints.kafka, **pipeline})


async def partitions(settings: Settings) -> dict[str, int]:
    async with Admin(settings.kafka) as admin:
        counts = await admin.partition_counts()
    pipeline = settings.pipelines["fraud"]
    topics = (pipeline.input_topic, pipeline.output_topic, pipeline.dead_letter_topic)
    return {topic: counts[topic] for topic in topics if topic in counts}


async def test_topics_are_made_once(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_on(stack)
    assert await run_topics(settings, 6, 1) == 0
    assert list((await partitions(settings)).values()) == [6, 6, 6]
    assert capsys.readouterr().out.count("6 partitions, created") == 3
    assert await run_topics(settings, 12, 1) == 0
    assert list((await partitions(settings)).values()) == [6, 6, 6]
    assert capsys.readouterr().out.count("6 partitions, was there") == 3


async def test_nothing_is_made_that_would_not_fit_what_is_there(stack: Stack) -> None:
    settings = settings_on(stack)
    pipeline = settings.pipelines["fraud"]
    async with Admin(settings.kafka) as admin:
        await admin.create_topics({pipeline.input_topic: 8})
    while not await partitions(settings):  # noqa: ASYNC110 - a broker hears of it a moment later
        await asyncio.sleep(0.1)
    with pytest.raises(ContractMismatch, match="has 4 partitions, input topic"):
        await run_topics(settings, 4, 1)
    assert set(await partitions(settings)) == {pipeline.input_topic}


async def test_a_dead_letter_topic_takes_the_largest_event_and_its_headers(stack: Stack) -> None:
    """Else it would lose its body, and `check` would warn of what we made ourselves."""
    settings = settings_on(stack)
    pipeline = settings.pipelines["fraud"]
    async with Admin(settings.kafka) as admin:
        await admin.create_topics({pipeline.input_topic: 4}, max_message_bytes={pipeline.input_topic: 3_000_000})
        assert await run_topics(settings, 4, 1) == 0
        sizes = await admin.max_message_bytes([pipeline.input_topic, pipeline.dead_letter_topic])
    assert sizes[pipeline.input_topic] == 3_000_000
    assert sizes[pipeline.dead_letter_topic] >= 3_004_096
