"""Minutes of load while everything that can be killed is killed: the audit stays clean. `make test-slow`."""

import asyncio
import os
import random

import pytest
from tests.integration.conftest import Bench, bench

__all__ = ["bench"]

IS_SHORT = os.environ.get("INFERSTREAM_SHORT") == "1"
SECONDS = 45 if IS_SHORT else 600
RATE = 500


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize(
    "stack", [pytest.param("apache", marks=[pytest.mark.integration, pytest.mark.apache])], indirect=True
)
async def test_two_replicas_under_fire_lose_nothing(bench: Bench) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    rng = random.Random(seed)
    await bench.create_topics()
    events = SECONDS * RATE
    sending = asyncio.create_task(bench.send(events, rate=RATE, poison_every=250))
    services = [bench.service() for _ in range(2)]
    for service in services:
        await service.start()
    await asyncio.gather(*(service.until_ready() for service in services))
    while not sending.done():
        await asyncio.sleep(rng.uniform(2, 6))
        victim = rng.choice(["service", "service", "triton", "pause"])
        if victim == "service":
            number = rng.randrange(2)
            if rng.random() < 0.5:
                await services[number].kill()
            else:
                assert await services[number].terminate() == 0
            services[number] = bench.service()
            await services[number].start()
        elif victim == "triton":
            await asyncio.to_thread(bench.stack.kill, "triton")
            await asyncio.sleep(rng.uniform(0, 2))
            await asyncio.to_thread(bench.stack.start, "triton")
        else:
            bench.stack.pause("triton")
            await asyncio.sleep(rng.uniform(0.5, 3))
            bench.stack.resume("triton")
    await sending
    await asyncio.gather(*(service.until_ready() for service in services))
    report = await bench.audit(events, wait=120)
    codes = await asyncio.gather(*(service.terminate() for service in services))
    assert report.problems == {}
    assert report.inputs == events
    assert codes == [0, 0]
