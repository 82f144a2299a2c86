"""The service's processes: killed, frozen, and started again as an orchestrator would."""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
from loadtest.errors import LoadTestError
from loadtest.processes import Child, environment
from tests.chaos.cluster import Janitor
from tests.chaos.errors import ChaosError
from tests.chaos.history import Fault

from inferstream.local import free_port
from inferstream.local.process import identify

_LOOK_SECONDS = 0.2
_RESTART_SECONDS = 0.5
_READY_SECONDS = 45.0
_FIRST_SECONDS = 30.0  # a worker that ends by itself so soon cannot be started at all


class Workers:
    """A fixed number of them, by number. One that ends by itself is started again, and that is noted."""

    def __init__(self, count: int, environ: Mapping[str, str], folder: Path, keeper: Janitor) -> None:
        self.count = count
        self._environ = environment(**environ)
        self._folder = folder
        self._janitor = keeper
        self._children: dict[int, Child] = {}
        self._ports: dict[int, int] = {}
        self._away: set[int] = set()
        self._starting = asyncio.Lock()
        self._supervising: asyncio.Task[None] | None = None
        self._began = time.monotonic()
        self.ended_alone: list[Fault] = []

    async def start(self) -> None:
        """All of them."""
        for number in range(self.count):
            await self._start(number)
        self._supervising = asyncio.create_task(self._supervise())

    def check(self) -> None:
        """Raises ChaosError if they cannot be kept running at all."""
        if self._supervising is not None and self._supervising.done():
            self._supervising.result()

    async def kill(self, number: int) -> None:
        """SIGKILL; it stays away until `restart`."""
        self._away.add(number)
        await self._clear(number)

    async def restart(self, number: int) -> None:
        """Back again, as a new process."""
        async with self._starting:
            if number not in self._children:
                await self._start(number)
            self._away.discard(number)

    def freeze(self, number: int) -> None:
        """SIGSTOP."""
        self._signal(number, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """SIGCONT: it does not know that it was away."""
        self._signal(number, signal.SIGCONT)

    async def end(self) -> list[int | str]:
        """SIGTERM for all, once they are ready; their exit codes, or what is wrong."""
        await self._stop_supervising()
        return list(await asyncio.gather(*(self._end(number) for number in list(self._children))))

    async def clear(self) -> None:
        """Leave none behind, whatever happened."""
        await self._stop_supervising()
        for number in list(self._children):
            await self._clear(number)

    def _signal(self, number: int, what: signal.Signals) -> None:
        child = self._children.get(number)
        if child is not None:  # it may just be on its way back after it ended by itself
            child.signal(what)

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for number, child in list(self._children.items()):
                if number not in self._away and child.has_ended:
                    await self._replace(number, child)

    async def _replace(self, number: int, child: Child) -> None:
        if time.monotonic() - self._began < _FIRST_SECONDS:
            raise ChaosError(f"worker {number} ended at once: {child.last_words()}")
        now_ms = int(time.time() * 1000)
        await self.kill(number)
        await asyncio.sleep(_RESTART_SECONDS)
        await self.restart(number)
        self.ended_alone.append(Fault("worker_ended", f"worker-{number}", now_ms, int(time.time() * 1000)))

    async def _start(self, number: int) -> None:
        self._ports[number] = free_port()
        environ = {**self._environ, "INFERSTREAM__WEB__PORT": str(self._ports[number])}
        log = self._folder / f"worker-{number}.log"
        child = Child(f"worker-{number}", [sys.executable, "-m", "inferstream", "run"], environ, log)
        await child.start()
        self._children[number] = child
        identity = identify(child.pid)
        if identity is not None:
            self._janitor.watch(identity)

    async def _clear(self, number: int) -> None:
        child = self._children.pop(number, None)
        if child is not None:
            await child.kill()
            self._janitor.forget(child.pid)

    async def _end(self, number: int) -> int | str:
        is_ready = await self._is_ready(number)
        child = self._children.pop(number)
        try:
            code = await child.end()
            return code if is_ready else f"{code} (never ready)"
        except LoadTestError as error:
            return str(error)
        finally:
            self._janitor.forget(child.pid)

    async def _is_ready(self, number: int) -> bool:
        """Whether it says so in time: one that was killed last may still be starting."""
        url, deadline = f"http://127.0.0.1:{self._ports[number]}/readyz", time.monotonic() + _READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                with suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return True
                await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def _stop_supervising(self) -> None:
        if self._supervising is not None:
            self._supervising.cancel()
            with suppress(asyncio.CancelledError, ChaosError):
                await self._supervising
            self._supervising = None
