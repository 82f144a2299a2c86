"""Probes, metrics and the live page over HTTP. What is live and ready is decided elsewhere; here it is only said."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
from aiohttp import web

from inferstream import __version__
from inferstream.errors import Unavailable
from inferstream.settings import WebSettings
from inferstream.web.guard import MOST_BYTES, Guard
from inferstream.web.live import STREAM_TYPE, Live

log = structlog.get_logger()

_CLOSE_SECONDS = 2.0  # an answer that is not read by then is given up
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer that has none of its own."""


class Health(Protocol):
    """What the probes ask. Each answer is None if all is well, else the reason in a few words."""

    def why_not_live(self) -> str | None: ...
    def why_not_ready(self) -> str | None: ...


class Front(Protocol):
    """Where health and metrics are asked for: the health port, or a worker's line to its parent process."""

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self) -> None:
        """Answer no more. Idempotent."""


class WebServer:
    """An HTTP server on the running loop. It only reads: every route is a GET, and changes nothing."""

    def __init__(
        self,
        settings: WebSettings,
        health: Health,
        metrics: Callable[[], Awaitable[str]],
        content_type: str,
        live: Live | None = None,
    ) -> None:
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._content_type = content_type
        self._live = live
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._show_metrics),
            ]
        )
        if live is not None:
            app.add_routes(live.routes())
        app.on_response_prepare.append(self._before_answer)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_CLOSE_SECONDS)
        self._guard = Guard(self._handler, _HEADERS)
        self._listening: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises Unavailable if the port is taken."""
        await self._runner.setup()
        host, port = self._settings.host, self._settings.port
        try:
            self._listening = await asyncio.get_running_loop().create_server(self._guard, host, port)
        except OSError as error:
            await self._runner.cleanup()
            raise Unavailable(
                f"cannot listen on {host}:{port} ({error.strerror}); set web.port to a free port, or 0 for any"
            ) from None
        self.port = self._listening.sockets[0].getsockname()[1]
        log.info("listening", port=self.port, version=__version__)

    async def stop(self) -> None:
        """Stop listening. Idempotent."""
        if self._listening is not None:
            self._listening.close()
        if self._live is not None:
            await self._live.stop()  # else its streams would be waited for
        await self._runner.cleanup()

    def _handler(self) -> asyncio.Protocol:
        if self._runner.server is None:
            raise RuntimeError("stopped")
        return _Handler(self._runner.server, self._guard)

    async def _before_answer(self, request: web.Request, response: web.StreamResponse) -> None:
        """One request for each connection, so that the guard can time it; and nothing about what we are made of."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.pop("Server", None)
        response.headers["Connection"] = "close"
        response.force_close()
        if response.content_type == STREAM_TYPE:
            self._guard.let_through(request.transport)

    async def _livez(self, _: web.Request) -> web.Response:
        return _answer(self._health.why_not_live())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._health.why_not_ready())

    async def _show_metrics(self, _: web.Request) -> web.Response:
        text = await self._metrics()
        return web.Response(body=text.encode(), headers={"Content-Type": self._content_type})


class _Handler(web.RequestHandler):
    """aiohttp's own answer to a head that it cannot read says who made it and repeats the head, in the log too."""

    def __init__(self, server: web.Server, guard: Guard) -> None:
        # The guard has counted the bytes of the head: one header may be all of it. And what is sent after it is not
        # waited for: no request of ours has a body.
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            max_line_size=MOST_BYTES,
            max_field_size=MOST_BYTES,
            max_headers=MOST_BYTES,
            lingering_time=0,
        )
        self._guard = guard

    def handle_error(self, request: web.BaseRequest, status: int = 500, *more: Any, **named: Any) -> web.StreamResponse:
        if status != 400:
            return super().handle_error(request, status, *more, **named)
        self._guard.refuse(self.transport)
        self.force_close()  # so that what is given back here finds nobody
        return web.Response(status=status)


def _answer(why_not: str | None) -> web.Response:
    return web.Response(text=(why_not or "ok") + "\n", status=503 if why_not else 200)
