"""Virtual time, shuffled order, and processes that freeze and die."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from inferstream.testing.virtual_loop import Deadlock, Host, Livelock, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop(seed=1)
    yield made
    made.end()
    made.close()


def on(loop: VirtualLoop, host: Host, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return loop.create_task(work, context=host.context)


def test_an_hour_takes_no_time(loop: VirtualLoop) -> None:
    began = loop.time()
    loop.run_until_complete(asyncio.sleep(3_600))
    assert loop.time() == began + 3_600


def test_timeouts_keep_virtual_time(loop: VirtualLoop) -> None:
    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.wait_for(loop.create_future(), 60)
        return loop.time()

    began = loop.time()
    assert loop.run_until_complete(wait()) == began + 5


def orders(seed: int) -> list[int]:
    made, ran = VirtualLoop(seed), []

    async def note(number: int) -> None:
        ran.append(number)

    async def both() -> None:
        await asyncio.gather(*(note(number) for number in range(8)))

    made.run_until_complete(both())
    made.close()
    return ran


def test_the_seed_decides_the_order() -> None:
    assert orders(1) == orders(1)
    assert len({tuple(orders(seed)) for seed in range(5)}) > 1


async def _beat(beats: list[float], loop: VirtualLoop) -> None:
    while True:
        beats.append(loop.time())
        await asyncio.sleep(1)


def test_a_frozen_host_waits_and_goes_on(loop: VirtualLoop) -> None:
    beats: list[float] = []
    host = Host("a")
    on(loop, host, _beat(beats, loop))
    loop.run_until_complete(asyncio.sleep(2.5))
    loop.freeze(host)
    loop.run_until_complete(asyncio.sleep(10))
    assert len(beats) == 3
    loop.thaw(host)
    loop.run_until_complete(asyncio.sleep(0.1))
    assert len(beats) == 4


def test_of_a_killed_host_nothing_runs(loop: VirtualLoop) -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            said.append("finally")

    host = Host("a")
    on(loop, host, work())
    loop.run_until_complete(asyncio.sleep(1))
    loop.kill(host)
    loop.run_until_complete(asyncio.sleep(10))
    assert said == []


def test_a_deadlock_says_who_waits(loop: VirtualLoop) -> None:
    async def wait_for_nobody() -> None:
        await loop.create_future()

    with pytest.raises(Deadlock, match="wait_for_nobody"):
        loop.run_until_complete(wait_for_nobody())


def test_time_that_stands_still_is_noticed(loop: VirtualLoop) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - on purpose
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        loop.run_until_complete(spin())
