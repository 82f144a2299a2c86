"""The service as its users run it, for tests and load tests: a process of its own, started, watched and ended."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import aiohttp

_READY_SECONDS = 60.0
_END_SECONDS = 40.0


class ServiceProcess:
    """`inferstream run` with these variables on top of ours; a context manager that ends it by SIGTERM."""

    def __init__(self, environ: Mapping[str, str], port: int, log: Path) -> None:
        self._environ = {**os.environ, "INFERSTREAM__WEB__HOST": "127.0.0.1", **environ}
        self._environ["INFERSTREAM__WEB__PORT"] = str(port)
        self._port = port
        self._log = log
        self._process: Process | None = None

    async def start(self) -> None:
        """Start and return at once."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "inferstream", "run", env=self._environ, stdout=log, stderr=log
            )

    @property
    def process(self) -> Process:
        """The running process."""
        if self._process is None:
            raise RuntimeError("start it first")
        return self._process

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    async def until_ready(self) -> None:
        """Wait for `/readyz`."""
        deadline = time.monotonic() + _READY_SECONDS
        while await self.status("readyz") != 200:
            if self.process.returncode is not None:
                raise AssertionError(f"the service ended with {self.process.returncode}:\n{self.log[-2000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the service was not ready in time:\n{self.log[-2000:]}")
            await asyncio.sleep(0.05)

    async def status(self, path: str) -> int | None:
        """Status of a request to the health port, or None if nobody answers."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url(path)) as answer:
                return answer.status
        except aiohttp.ClientError:
            return None

    async def metrics(self) -> str:
        """`/metrics`."""
        async with aiohttp.ClientSession() as session, session.get(self.url("metrics")) as answer:
            return await answer.text()

    async def terminate(self) -> int:
        """SIGTERM; its exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def __aenter__(self) -> "ServiceProcess":
        await self.start()
        try:
            await self.until_ready()
        except BaseException:
            if self.process.returncode is None:
                await self.terminate()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            await self.terminate()

    async def _end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        try:
            return await asyncio.wait_for(self.process.wait(), _END_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"the service did not end by itself:\n{self.log[-2000:]}") from None

    def url(self, path: str) -> str:
        """Of the health port."""
        return f"http://127.0.0.1:{self._port}/{path}"
