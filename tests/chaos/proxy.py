"""A TCP proxy whose network can be made bad: between the clients and one broker each.

A process of its own. It reads one JSON line of routes (listening port to broker's port), then orders: a fault for
some ports, or none to heal them; each order is answered with a line. It ends when its standard input does.
`python -m tests.chaos.proxy`
"""

import asyncio
import contextlib
import signal
import socket
import struct
import sys
from typing import Literal

import msgspec

FaultKind = Literal["delay", "stall", "reset", "refuse", "throttle"]
_CHUNK_BYTES = 65_536
_PENDING_CHUNKS = 16
_RESET_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: what is closed is reset


class Bad(msgspec.Struct, frozen=True):
    """What is wrong with the network: `amount` is seconds of a delay, or bytes per second of a throttle.

    stall: nothing passes and nothing is closed; reset: what is connected is cut, new connections live;
    refuse: nobody listens and what is connected is cut.
    """

    kind: FaultKind
    amount: float = 0.0


class Order(msgspec.Struct, frozen=True):
    """From now on these ports have this fault, or none."""

    ports: list[int]
    bad: Bad | None = None


class Route:
    """One listening port and all its connections."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._bad: Bad | None = None
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listen."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=_CHUNK_BYTES)

    async def suffer(self, bad: Bad | None) -> None:
        """Have this fault from now on."""
        self._bad = bad
        if bad is not None and bad.kind == "stall":
            self._whole.clear()
        else:
            self._whole.set()
        if bad is not None and bad.kind == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        if bad is not None and bad.kind in ("reset", "refuse"):
            self._cut()
        if bad is None:
            await self.open()

    def _cut(self) -> None:
        for writer in self._connections:
            plug: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            await self._whole.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target, limit=_CHUNK_BYTES)
        except OSError:
            self._drop(writer)
            return
        self._connections.add(back)
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except OSError:
            pass  # one side is gone: so is the other
        finally:
            self._drop(writer)
            self._drop(back)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._connections.discard(writer)
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction. What arrives is read on while what came before is held back, as on a long line."""
        pending: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PENDING_CHUNKS)
        passing = asyncio.create_task(self._pass_on(pending, writer))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                delay = self._bad.amount if self._bad is not None and self._bad.kind == "delay" else 0.0
                if passing.done():
                    break
                await pending.put((asyncio.get_running_loop().time() + delay, data))
            raise ConnectionResetError
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)

    async def _pass_on(self, pending: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await pending.get()
            if (wait := due - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            await self._whole.wait()
            if self._bad is not None and self._bad.kind == "throttle":
                await asyncio.sleep(len(data) / self._bad.amount)
            writer.write(data)
            await writer.drain()


async def serve(lines: asyncio.StreamReader) -> None:
    """Routes first, then orders, until the input ends."""
    given = msgspec.json.decode(await lines.readline(), type=dict[str, int])
    routes = {int(port): Route(int(port), target) for port, target in given.items()}
    for route in routes.values():
        await route.open()
    _tell(listening=sorted(routes))
    while line := await lines.readline():
        order = msgspec.json.decode(line, type=Order)
        for port in order.ports:
            await routes[port].suffer(order.bad)
        _tell(done=len(order.ports))


def _tell(**facts: object) -> None:
    print(msgspec.json.encode(facts).decode(), flush=True)  # noqa: T201 - to the conductor


async def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the conductor's to handle
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await serve(lines)


if __name__ == "__main__":
    asyncio.run(_main())
