"""The promise under overload and faults of the model server, on real parts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from loadtest.bench import Bench
from loadtest.scenario import parse

from inferstream import local
from inferstream.operate.local import environment
from inferstream.settings import load
from inferstream.tasks.fraud import FraudTask
from inferstream.triton import TritonModel, TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


async def test_at_twice_the_models_capacity_everything_is_answered_and_mostly_in_time(tmp_path: Path) -> None:
    """The model takes what it can; nobody who could be answered in time waits behind it."""
    overload = {
        "name": "overload",
        "model": "paced",
        "slo_ms": 200,  # the machine may be busy with other tests
        "arrivals": {"kind": "poisson", "load": 2.0},
        "seconds": 5,
        "warm_up_s": 2,
    }
    async with Bench("embedded", folder=tmp_path) as bench:
        run = await bench.run("service", parse(overload, "test"))
        capacity = bench.calibrations["paced"].capacity_per_s(200)
    counts = run["counts"]
    assert counts["lost"] == 0
    assert counts["fallback"] > 0.2 * run["sent"]
    assert run["answered_in_time_ratio"] > 0.8
    assert run["goodput_per_s"] > 0.5 * capacity


@pytest.fixture
async def watched(stacks: Callable[[str], local.Stack]) -> AsyncIterator[tuple[local.Stack, TritonModel]]:
    """A model on the local Triton, which runs with its default flags."""
    stack = stacks("embedded")
    settings = load(environ=environment(stack.endpoints)).triton
    server = TritonServer(settings.url, settings)
    model = TritonModel(server, "fraud", "", FraudTask(), settings)
    model.start()
    await _until(lambda: model.is_ready, 20)
    yield stack, model
    await model.stop()
    await server.stop()


async def _until(is_true: Callable[[], bool], seconds: float) -> float:
    """How long it took to become true."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not is_true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_frozen_server_is_seen_and_found_again(watched: tuple[local.Stack, TritonModel]) -> None:
    """Nothing tells that a process stands still but its silence; two seconds of it are enough."""
    stack, model = watched
    stack.pause("triton")
    try:
        assert await _until(lambda: not model.is_ready, 10) < 2.0
    finally:
        stack.resume("triton")
    assert await _until(lambda: model.is_ready, 10) < 2.0  # one second on a quiet machine


async def test_a_killed_server_is_seen_at_once_and_found_again(watched: tuple[local.Stack, TritonModel]) -> None:
    """The kernel tells; and a server that is back is used within a second of being ready."""
    stack, model = watched
    await asyncio.to_thread(stack.kill, "triton")
    assert await _until(lambda: not model.is_ready, 10) < 2.0
    await asyncio.to_thread(stack.start, "triton")
    assert await _until(lambda: model.is_ready, 10) < 2.0  # of which the service's poll takes half a second
