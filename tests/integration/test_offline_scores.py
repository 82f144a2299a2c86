"""What the model says of an event does not depend on the way it came: streamed scores are the offline ones."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from tests.chaos.rescoring import Rescorer
from tests.integration.conftest import Bench

from inferstream.kafka import Reader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True),
]

EVENTS = 10_000 if os.environ.get("INFERSTREAM_SHORT") else 100_000
MOST_DIFFERENCE = 1e-5


async def test_every_streamed_score_is_the_offline_one(bench: Bench, tmp_path: Path) -> None:
    """Raw events, some without aggregates, through Kafka, batches of any size and Triton; then all at once without."""
    await bench.create_topics()
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__SLO_MS"] = "600000"  # all of them are for the model
    async with bench.service() as service:
        await bench.send(EVENTS)
        async with Reader(bench.pipeline.output_topic, bench.settings.kafka) as reader, asyncio.timeout(400):
            while sum((await reader.end_offsets()).values()) < EVENTS:  # noqa: ASYNC110 - a topic has no event
                await asyncio.sleep(1)
        report = await bench.audit(EVENTS, wait=400)
        assert report.problems == {}
        assert report.outcomes["scored"] == EVENTS
        assert await service.terminate() == 0
    events = {(r.partition, r.offset): r.value for r in await bench.records(bench.pipeline.input_topic)}
    scores = await asyncio.to_thread(Rescorer().scores, list(events.values()))
    expected = dict(zip(events, scores, strict=True))
    worst, seen = 0.0, 0
    for record in await bench.records(bench.pipeline.output_topic):
        outcome = msgspec.msgpack.decode(record.value or b"")
        source = outcome["source"]
        offline = expected[source["partition"], source["offset"]]
        assert offline is not None
        worst = max(worst, abs(outcome["result"]["probability"] - offline["model"]))
        seen += 1
    assert seen == EVENTS
    assert worst <= MOST_DIFFERENCE, worst
