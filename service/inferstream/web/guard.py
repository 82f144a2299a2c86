"""Stands before the HTTP server: whoever connects gets so many bytes and so long for one request, and no more.

The port is open to whoever reaches it, and the probes come by it. So nobody may hold it by being slow, by sending
without end, or by being many: when all places are taken, the one who has waited longest gives way.

The server hears of GET and HEAD alone, a whole head at once and nothing after it. What else comes is answered here, in
words that are always the same, and logged nowhere: it is a stranger's.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

MOST_CONNECTIONS = 128
MOST_BYTES = 16_384  # of a request, line and headers and all
REQUEST_SECONDS = 10.0  # for a request and its answer

_MOST_IGNORED_BYTES = 262_144  # after the head; who is hung up on while he sends may never see his answer
_HEAD_ENDS = re.compile(rb"\n\r?\n")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}( |\Z)")  # or the first bytes of one
_EXPECTS = re.compile(rb"\nexpect[ \t]*:", re.IGNORECASE)


class Guard:
    """Makes a connection's protocol from what `handle` makes. `headers` are those of every refusal."""

    def __init__(self, handle: Callable[[], asyncio.Protocol], headers: Mapping[str, str]) -> None:
        self._handle = handle
        self._headers = headers
        self._waiting: dict[asyncio.BaseTransport | None, _Connection] = {}
        """In the order they came, without those that are let through."""

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self._handle(), self)

    def let_through(self, transport: asyncio.BaseTransport | None) -> None:
        """Its answer is a stream, which lasts; whoever sends it looks after it."""
        if transport in self._waiting:
            self._waiting[transport].release()

    def refuse(self, transport: asyncio.BaseTransport | None) -> None:
        """The server cannot read the head of the request that came on this."""
        if transport in self._waiting:
            self._waiting[transport].refuse(HTTPStatus.BAD_REQUEST)

    def refusal(self, status: HTTPStatus) -> tuple[bytes, bytes]:
        """Head and body of an answer that says no."""
        body = f"{status.value}: {status.phrase}\n".encode()
        given = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            **({"Allow": "GET,HEAD"} if status is HTTPStatus.METHOD_NOT_ALLOWED else {}),
            **self._headers,
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in given.items())]
        return "\r\n".join([*lines, "", ""]).encode(), body

    def enter(self, transport: asyncio.Transport, connection: "_Connection") -> None:
        """One more; if that is too many, the oldest is cut off."""
        if len(self._waiting) >= MOST_CONNECTIONS:
            next(iter(self._waiting.values())).cut()
        self._waiting[transport] = connection

    def leave(self, transport: asyncio.Transport) -> None:
        """Idempotent."""
        self._waiting.pop(transport, None)


class _Connection(asyncio.Protocol):
    """Hands on the head of a request, once it is whole, or refuses it."""

    def __init__(self, handler: asyncio.Protocol, guard: Guard) -> None:
        self._handler = handler
        self._guard = guard
        self._head = b""
        self._is_heard = False
        """The head was handed on, or refused."""
        self._ignored_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        self._transport = transport
        self._end = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self.cut)
        self._guard.enter(transport, self)
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._is_heard:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > _MOST_IGNORED_BYTES:
                self.cut()
            return
        looked_at = max(0, len(self._head) - 2)
        self._head += data
        end = _HEAD_ENDS.search(self._head, looked_at)
        status = self._fault(end.end() if end else None)
        if status is not None:
            self.refuse(status)
        elif end:
            self._is_heard = True
            self._handler.data_received(self._head[: end.end()])

    def _fault(self, end: int | None) -> HTTPStatus | None:
        """What is wrong with the head so far; it ends before `end`, if that has come."""
        method = _METHOD.match(self._head)
        if method is None:
            return HTTPStatus.BAD_REQUEST  # no HTTP at all: TLS, say
        if (end or len(self._head)) > MOST_BYTES:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if end and method[0] not in (b"GET ", b"HEAD "):
            return HTTPStatus.METHOD_NOT_ALLOWED
        if end and _EXPECTS.search(self._head, 0, end):
            return HTTPStatus.EXPECTATION_FAILED  # no request of ours has a body that could be waited for
        return None

    def refuse(self, status: HTTPStatus) -> None:
        """Answer, and then ignore what is still sent, so that the answer arrives."""
        self._is_heard = True
        head, body = self._guard.refusal(status)
        self._transport.write(head if self._head.startswith(b"HEAD ") else head + body)
        self._transport.write_eof()

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
