"""The demo's service, as its users run it: a process of its own, ended by SIGTERM."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from inferstream import local
from inferstream.errors import InferstreamError
from inferstream.settings import ENV_PREFIX

_READY_SECONDS = 60.0
_DRAIN_SECONDS = 20.0


class DemoError(InferstreamError):
    """The demo did not do what it shows."""


class Service:
    """It sees the settings file and the variables it is given; those of this shell are meant for another service."""

    def __init__(self, file: Path, environ: Mapping[str, str], log: Path) -> None:
        self._file = file
        self._log = log
        self._port = local.free_port()
        ours = {name: value for name, value in os.environ.items() if not name.upper().startswith(ENV_PREFIX)}
        web = {"INFERSTREAM__WEB__HOST": "127.0.0.1", "INFERSTREAM__WEB__PORT": str(self._port)}
        self._environ = {**ours, **environ, **web}
        self._process: Process | None = None

    def url(self, path: str) -> str:
        """Of its health port."""
        return f"http://127.0.0.1:{self._port}/{path}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From ready to drained. Raises DemoError if it is not ready in time or ends with anything but 0."""
        command = (sys.executable, "-m", "inferstream", "run", "--settings", str(self._file))
        with self._log.open("wb") as log:
            self._process = service = await asyncio.create_subprocess_exec(
                *command, env=self._environ, stdout=log, stderr=log
            )
        try:
            await self._until_ready()
            yield
            if service.returncode is None:
                service.send_signal(signal.SIGTERM)
            if await asyncio.wait_for(service.wait(), _DRAIN_SECONDS) != 0:
                raise self._error(f"ended with {service.returncode}")
        finally:
            if service.returncode is None:
                service.kill()
                await service.wait()

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                self.raise_if_ended()
                try:
                    async with session.get(self.url("readyz")) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise self._error(f"was not ready after {_READY_SECONDS:.0f} s")

    def raise_if_ended(self) -> None:
        """Raises DemoError with the end of its log."""
        if self._process is not None and self._process.returncode is not None:
            raise self._error(f"ended with {self._process.returncode}")

    def _error(self, what: str) -> DemoError:
        return DemoError(f"the service {what}; its log ends with:\n{local.tail(self._log)}")
