"""The running instances of one contestant: usually one, two while the group rebalances, another after a kill."""

import asyncio
import itertools
import signal
from collections.abc import Callable
from pathlib import Path

from loadtest.contestants import Contestant, Job
from loadtest.errors import ContestantUnavailable
from loadtest.processes import Child


class Instances:
    """Starts, watches and ends them. `started` hears of the process id of each."""

    def __init__(self, contestant: Contestant, job: Job, folder: Path, started: Callable[[int], None]) -> None:
        self._contestant = contestant
        self._job = job
        self._folder = folder
        self._started = started
        self._numbers = itertools.count(1)
        self._running: list[Child] = []

    async def start(self) -> Child:
        """Another instance, ready."""
        log = self._folder / f"{self._contestant.name}-{next(self._numbers)}.log"
        child = await self._contestant.start(self._job, log)
        self._running.append(child)
        self._started(child.pid)
        await self._contestant.until_ready(child)
        return child

    def check(self) -> None:
        """Raises ContestantUnavailable if one has ended by itself."""
        for child in self._running:
            if child.has_ended:
                raise ContestantUnavailable(f"{child.name} ended during the run: {child.last_words()}")

    async def stall(self, seconds: float) -> None:
        """All of them stand still."""
        for child in self._running:
            child.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            for child in self._running:
                child.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL for the first one."""
        await self._running.pop(0).kill()

    async def end(self, child: Child | None = None) -> None:
        """SIGTERM for one or all of them. Raises ContestantUnavailable unless they end with 0."""
        for ending in [child] if child is not None else list(self._running):
            self._running.remove(ending)
            code = await ending.end()
            if code != 0:
                raise ContestantUnavailable(f"{ending.name} ended with {code} on SIGTERM: {ending.last_words()}")

    async def clear(self) -> None:
        """Leave nothing behind, whatever happened."""
        for child in self._running:
            await child.kill()
        self._running.clear()
