"""The live page's stream: server-sent events, one a second, computed once however many look, and not at all if none do.

The page is static; it is all in `static/`. A strict Content-Security-Policy lets it load only itself.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources

import msgspec
import structlog
from aiohttp import web

from inferstream.settings import Settings
from inferstream.signals import Miss, Snapshot
from inferstream.web.figures import Figures

log = structlog.get_logger()

MOST_VIEWERS = 16
STREAM_TYPE = "text/event-stream"

_INTERVAL_SECONDS = 1.0
_MOST_WAITING = 5  # messages a viewer may be behind before it is dropped
_SEND_BUFFER_BYTES = 65_536  # the kernel's: a viewer that reads nothing is noticed when it is full
_RETRY_SECONDS = 10
_FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "parts.js": ("parts.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_STREAM_HEADERS = {
    **_HEADERS,
    "Cache-Control": "no-store",
    "Content-Type": STREAM_TYPE,
    "X-Accel-Buffering": "no",  # a proxy that gathers bytes would make a second of many
}


class Viewer:
    """One browser that looks."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING)
        sock = transport.get_extra_info("socket") if transport is not None else None
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def offer(self, message: bytes | None) -> None:
        """Send it; None ends the stream. Who reads too slowly is cut off."""
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            log.info("viewer_dropped", reason="reads too slowly")
            self.cut()

    def cut(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()


class Live:
    """The page and its stream. `missed` is asked right after `snapshot`."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Awaitable[Snapshot]],
        missed: Callable[[], Sequence[Miss]],
        why_not_ready: Callable[[], str | None],
    ) -> None:
        self._figures = Figures(settings)
        self._snapshot = snapshot
        self._missed = missed
        self._why_not_ready = why_not_ready
        self._viewers: set[Viewer] = set()
        self._telling: asyncio.Task[None] | None = None
        self._is_stopped = False

    @property
    def viewers(self) -> int:
        """How many look now."""
        return len(self._viewers)

    def routes(self) -> list[web.RouteDef]:
        """What is to be served."""
        folder = resources.files("inferstream.web") / "static"
        files = [
            web.get(f"/{path}", _file((folder / name).read_bytes(), kind)) for path, (name, kind) in _FILES.items()
        ]
        return [*files, web.get("/live", self._stream, allow_head=False)]

    async def stop(self) -> None:
        """End all streams. Idempotent."""
        self._is_stopped = True
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._is_stopped or len(self._viewers) >= MOST_VIEWERS:
            why = "ending" if self._is_stopped else f"{MOST_VIEWERS} browsers look already; close one of them"
            return web.Response(status=503, text=why + "\n", headers={"Retry-After": str(_RETRY_SECONDS)})
        viewer = Viewer(request.transport)
        self._viewers.add(viewer)
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        try:
            await response.prepare(request)
            await response.write(_event("history", list(self._figures.history)))
            self._begin()
            while (message := await viewer.messages.get()) is not None:
                await response.write(message)
        except ConnectionError:
            pass  # the viewer is gone
        finally:
            self._viewers.discard(viewer)
        return response

    def _begin(self) -> None:
        if not self._is_stopped and (self._telling is None or self._telling.done()):
            self._figures.begin()
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        """Compute and tell, as long as somebody looks."""
        loop = asyncio.get_running_loop()
        try:
            while self._viewers:
                began = loop.time()
                message = await self._message()
                for viewer in list(self._viewers):
                    viewer.offer(message)
                await asyncio.sleep(max(_INTERVAL_SECONDS / 2, began + _INTERVAL_SECONDS - loop.time()))
        except Exception:  # the page's fault must not become the service's
            log.exception("live_page_failed")
        finally:
            for viewer in list(self._viewers):
                viewer.offer(None)

    async def _message(self) -> bytes:
        snapshot = await self._snapshot()
        now, now_ms = time.monotonic(), int(time.time() * 1000)
        return _event("frame", self._figures.frame(snapshot, self._missed(), now, now_ms, self._why_not_ready()))


def _event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))


def _file(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_HEADERS)

    return answer
