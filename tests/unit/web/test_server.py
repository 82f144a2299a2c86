"""Probes over HTTP."""

import aiohttp
import pytest

from inferstream.errors import Unavailable
from inferstream.settings import WebSettings
from inferstream.web import WebServer


class Health:
    live: str | None = None
    ready: str | None = "starting"

    def why_not_live(self) -> str | None:
        return self.live

    def why_not_ready(self) -> str | None:
        return self.ready


async def metrics() -> str:
    return "# EOF\n"


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_probes_say_what_health_says_and_why() -> None:
    health = Health()
    server = WebServer(WebSettings(host="127.0.0.1", port=0), health, metrics, "text/x")
    await server.start()
    assert await get(server.port, "/livez") == (200, "ok\n")
    assert await get(server.port, "/readyz") == (503, "starting\n")
    health.ready, health.live = None, "the event loop is 11 s late"
    assert await get(server.port, "/readyz") == (200, "ok\n")
    assert await get(server.port, "/livez") == (503, "the event loop is 11 s late\n")
    assert await get(server.port, "/metrics") == (200, "# EOF\n")
    assert (await get(server.port, "/secrets"))[0] == 404
    await server.stop()
    await server.stop()


async def test_a_taken_port_says_what_to_set() -> None:
    first = WebServer(WebSettings(host="127.0.0.1", port=0), Health(), metrics, "text/x")
    await first.start()
    second = WebServer(WebSettings(host="127.0.0.1", port=first.port), Health(), metrics, "text/x")
    with pytest.raises(Unavailable, match=r"set web\.port to a free port"):
        await second.start()
    await first.stop()
