"""A timeout of ours does what asyncio's does, and leaves no timers behind."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from inferstream.patience import Patience

Waits = Callable[[float], AbstractAsyncContextManager[None]]


def ours() -> Waits:
    patience = Patience()

    @asynccontextmanager
    async def wait(seconds: float) -> AsyncIterator[None]:
        with patience.wait(seconds):
            yield

    return wait


def asyncios() -> Waits:
    @asynccontextmanager
    async def wait(seconds: float) -> AsyncIterator[None]:
        async with asyncio.timeout(None if seconds == math.inf else seconds):
            yield

    return wait


@pytest.fixture(params=[ours, asyncios])
def wait(request: pytest.FixtureRequest) -> Waits:
    made: Waits = request.param()
    return made


async def test_what_takes_too_long_is_ended(wait: Waits) -> None:
    for seconds in (0.02, 0.0, -1.0, 0.01):
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with wait(seconds):
                await asyncio.sleep(5)
        assert max(0.0, seconds) <= asyncio.get_running_loop().time() - began < 2


async def test_what_ends_before_is_left_alone(wait: Waits) -> None:
    for _ in range(3):
        async with wait(0.02):
            await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # the timer rings for nobody
    async with wait(math.inf):
        await asyncio.sleep(0)


async def test_each_of_many_has_its_own_time(wait: Waits) -> None:
    ended: list[float] = []

    async def one(seconds: float, takes: float) -> None:
        try:
            async with wait(seconds):
                await asyncio.sleep(takes)
        except TimeoutError:
            ended.append(seconds)

    given = [(0.06, 5), (0.02, 5), (0.04, 0.0), (0.05, 0.01), (0.08, 5), (0.03, 5), (math.inf, 0.1)]
    await asyncio.wait_for(asyncio.gather(*(one(*each) for each in given)), 3)
    assert ended == [0.02, 0.03, 0.06, 0.08]


async def test_who_cancels_is_heard(wait: Waits) -> None:
    async def one() -> None:
        async with wait(5):
            await asyncio.sleep(5)

    task = asyncio.create_task(one())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_cancels_as_the_time_is_over_is_heard(wait: Waits) -> None:
    async def one() -> None:
        async with wait(0.01):
            await asyncio.sleep(5)

    def late() -> None:
        blocks(0.01)
        task.cancel()

    task = asyncio.create_task(one())
    asyncio.get_running_loop().call_later(0.0099, late)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_what_goes_wrong_meanwhile_is_what_is_raised(wait: Waits) -> None:
    with pytest.raises(KeyError):
        async with wait(5):
            raise KeyError

    async def stubborn() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise KeyError from None

    with pytest.raises(KeyError):
        async with wait(0.01):
            await stubborn()
    await asyncio.sleep(0)  # nothing of the cancellation is left in this task


async def test_one_within_another(wait: Waits) -> None:
    with pytest.raises(TimeoutError):
        async with wait(0.02), wait(5):
            await asyncio.sleep(5)
    with pytest.raises(TimeoutError):
        async with wait(5), wait(0.02):
            await asyncio.sleep(5)
    async with wait(5):
        with pytest.raises(TimeoutError):
            async with wait(0.02):
                await asyncio.sleep(5)
        await asyncio.sleep(0)


async def test_a_thousand_waits_set_few_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, patience = asyncio.get_running_loop(), Patience()
    timers = []
    call_at = loop.call_at

    def counted(when: float, *given: object) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counted)
    for _ in range(1_000):
        with patience.wait(5):
            await asyncio.sleep(0)
    assert len(timers) == 1


def test_only_a_task_waits() -> None:
    loop = asyncio.new_event_loop()
    failed: list[BaseException] = []

    def outside() -> None:
        try:
            with Patience().wait(1):
                pass
        except RuntimeError as error:
            failed.append(error)
        loop.stop()

    loop.call_soon(outside)
    loop.run_forever()
    loop.close()
    assert "only a task can wait" in str(failed[0])


def blocks(seconds: float) -> None:
    """Holds the loop up, so that two things are due at once."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        pass
