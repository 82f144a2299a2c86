"""Stands before the HTTP server: whoever connects gets so many bytes and so long for one request, and no more.

The port is open to whoever reaches it, and the probes come by it. So nobody may hold it by being slow, by sending
without end, or by being many: when all places are taken, the one who has waited longest gives way.
"""

import asyncio
from collections.abc import Callable

MOST_CONNECTIONS = 128
MOST_BYTES = 16_384  # of a request, line and headers and all
REQUEST_SECONDS = 10.0  # for a request and its answer


class Guard:
    """Makes a connection's protocol from what `handle` makes."""

    def __init__(self, handle: Callable[[], asyncio.Protocol]) -> None:
        self._handle = handle
        self._waiting: dict[asyncio.BaseTransport | None, _Connection] = {}
        """In the order they came, without those that are let through."""

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self._handle(), self)

    def let_through(self, transport: asyncio.BaseTransport | None) -> None:
        """Its answer is a stream, which lasts; whoever sends it looks after it."""
        if transport in self._waiting:
            self._waiting[transport].release()

    def enter(self, transport: asyncio.Transport, connection: "_Connection") -> None:
        """One more; if that is too many, the oldest is cut off."""
        if len(self._waiting) >= MOST_CONNECTIONS:
            next(iter(self._waiting.values())).cut()
        self._waiting[transport] = connection

    def leave(self, transport: asyncio.Transport) -> None:
        """Idempotent."""
        self._waiting.pop(transport, None)


class _Connection(asyncio.Protocol):
    """Hands on all that it hears."""

    def __init__(self, handler: asyncio.Protocol, guard: Guard) -> None:
        self._handler = handler
        self._guard = guard
        self._bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        self._transport = transport
        self._end = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self.cut)
        self._guard.enter(transport, self)
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            self.cut()
        else:
            self._handler.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.release()
        self._handler.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def cut(self) -> None:
        """Hang up at once."""
        self.release()
        self._transport.abort()

    def release(self) -> None:
        """It counts no more, and is not timed."""
        self._end.cancel()
        self._guard.leave(self._transport)
