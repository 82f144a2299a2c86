"""The proxy passes bytes as they are, and each fault is what it is called."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.chaos.proxy import Bad, Route

from inferstream.local import free_port

_PATIENCE = 10.0
_QUIET = 0.3


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def _route() -> AsyncIterator[tuple[Route, int]]:
    """A route to a server that sends back what it gets, and the port to reach it by."""
    target, port = free_port(), free_port()
    server = await asyncio.start_server(_echo, "127.0.0.1", target)
    route = Route(port, target)
    await route.open()
    try:
        yield route, port
    finally:
        await route.suffer(Bad("refuse"))
        server.close()
        await asyncio.sleep(0.05)  # the cut connections' ends are heard of


class _Client:
    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self._reader, self._writer = streams

    @classmethod
    async def connect(cls, port: int) -> "_Client":
        return cls(await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, data: bytes, patience: float = _PATIENCE) -> bytes:
        self._writer.write(data)
        return await asyncio.wait_for(self._reader.readexactly(len(data)), patience)

    def close(self) -> None:
        self._writer.transport.abort()


async def test_bytes_pass_unchanged_and_in_order() -> None:
    data = bytes(range(256)) * 8_192
    async with _route() as (_, port):
        client = await _Client.connect(port)
        assert await client.ask(data) == data
        client.close()


async def test_delay_makes_each_way_longer_and_keeps_the_order() -> None:
    async with _route() as (route, port):
        client = await _Client.connect(port)
        await client.ask(b"warm")
        await route.suffer(Bad("delay", 0.15))
        began = time.monotonic()
        assert await client.ask(b"0123456789") == b"0123456789"
        assert time.monotonic() - began >= 0.3
        client.close()


async def test_stall_lets_nothing_pass_and_loses_nothing() -> None:
    async with _route() as (route, port):
        client = await _Client.connect(port)
        await route.suffer(Bad("stall"))
        with pytest.raises(TimeoutError):
            await client.ask(b"first", _QUIET)
        fresh = await _Client.connect(port)
        with pytest.raises(TimeoutError):
            await fresh.ask(b"other", _QUIET)
        await route.suffer(None)
        assert await client.ask(b"") == b""
        assert await asyncio.wait_for(client._reader.readexactly(5), _PATIENCE) == b"first"
        client.close()
        fresh.close()


async def test_reset_cuts_what_is_connected_and_no_more() -> None:
    async with _route() as (route, port):
        client = await _Client.connect(port)
        await client.ask(b"x")
        await route.suffer(Bad("reset"))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.ask(b"y")
        fresh = await _Client.connect(port)
        assert await fresh.ask(b"z") == b"z"
        fresh.close()


async def test_refuse_lets_nobody_in_until_it_is_healed() -> None:
    async with _route() as (route, port):
        client = await _Client.connect(port)
        await client.ask(b"x")
        await route.suffer(Bad("refuse"))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.ask(b"y")
        with pytest.raises(ConnectionRefusedError):
            await _Client.connect(port)
        await route.suffer(None)
        fresh = await _Client.connect(port)
        assert await fresh.ask(b"z") == b"z"
        fresh.close()


async def test_throttle_passes_no_more_than_it_says() -> None:
    async with _route() as (route, port):
        client = await _Client.connect(port)
        await client.ask(b"warm")
        await route.suffer(Bad("throttle", 100_000))
        began = time.monotonic()
        await client.ask(bytes(20_000))
        assert time.monotonic() - began >= 0.4, "20 kB at 100 kB/s, both ways"
        client.close()
