"""Whether a container has started, lives and is ready."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import aiohttp
import grpc
from tests.helm.api import Object

_SERVING = b"\x08\x01"
_DEFAULTS = {
    "initialDelaySeconds": 0,
    "periodSeconds": 10,
    "timeoutSeconds": 1,
    "successThreshold": 1,
    "failureThreshold": 3,
}


class Exec(Protocol):
    """Runs a command in the container."""

    async def __call__(self, command: list[str]) -> int:
        """Its exit code."""


class Thresholds:
    """The state that results make of a probe, by how many in a row agree."""

    def __init__(self, probe: Object, is_up: bool) -> None:
        self.is_up = is_up
        self._needed = {True: probe["successThreshold"], False: probe["failureThreshold"]}
        self._last, self._in_a_row = is_up, 0

    def add(self, result: bool) -> bool:
        """Whether that decided something: up, or down, as it may have been before."""
        self._in_a_row = self._in_a_row + 1 if result == self._last else 1
        self._last = result
        if self._in_a_row < self._needed[result]:
            return False
        self.is_up = result
        return True


class Probe:
    """One probe of a container that listens at an address."""

    def __init__(self, spec: Object, address: str, ports: Mapping[str, int], run: Exec) -> None:
        self.spec = {**_DEFAULTS, **spec}
        self._address, self._ports, self._run = address, ports, run

    async def ask(self) -> bool:
        """Whether it succeeds within its time."""
        with suppress(TimeoutError, aiohttp.ClientError, OSError, grpc.aio.AioRpcError):
            async with asyncio.timeout(self.spec["timeoutSeconds"]):
                if "httpGet" in self.spec:
                    return await self._http(self.spec["httpGet"])
                if "grpc" in self.spec:
                    return await self._grpc(self.spec["grpc"]["port"])
                if "tcpSocket" in self.spec:
                    _, writer = await asyncio.open_connection(self._address, self._port(self.spec["tcpSocket"]["port"]))
                    writer.close()
                    return True
                return await self._run(self.spec["exec"]["command"]) == 0
        return False

    async def _http(self, given: Object) -> bool:
        scheme = given.get("scheme", "HTTP").lower()
        url = f"{scheme}://{self._address}:{self._port(given['port'])}{given.get('path', '/')}"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=False, allow_redirects=False) as answer:
            return 200 <= answer.status < 400

    async def _grpc(self, port: int) -> bool:
        async with grpc.aio.insecure_channel(f"{self._address}:{port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            answer: bytes = await check(b"", timeout=self.spec["timeoutSeconds"])
            return answer == _SERVING

    def _port(self, port: int | str) -> int:
        return self._ports[port] if isinstance(port, str) else port
