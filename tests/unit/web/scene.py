"""A service with fakes behind it and the live page in front of it: real pipeline, real HTTP, real time."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from tests.unit.pipeline.world import World, encode, running

from inferstream.settings import PipelineSettings, Settings, TritonSettings, WebSettings
from inferstream.signals import Miss, Snapshot
from inferstream.web import Live, WebServer

CANARY = "4111-secret-in-payload"
"""In every event; nobody who looks at the page may find it."""
URL = "triton.internal:8001"


class Scene:
    """One pipeline `p` with the classes `default` and `slow`, and what can be asked of its port."""

    def __init__(self, **web: Any) -> None:
        classes: dict[str, Any] = {"slow": {"slo_ms": 2_000}}
        self.world = World(slo_ms=250, slo_classes=classes)
        self.world.signals.misses.keep()
        self.world.signals.model_ready.cell("p", "secret-model", URL).set(1)
        self.looks = 0
        self.not_ready: str | None = None
        self._web = WebSettings(host="127.0.0.1", port=0, page=True, **web)
        self._pipelines = {"p": PipelineSettings(slo_ms=250, slo_classes=classes)}
        self.missed: Callable[[], Sequence[Miss]] = self.world.signals.misses.last
        self.server = self.another_server()

    def another_server(self, port: int = 0) -> WebServer:
        """Not started yet."""
        settings = Settings(
            web=self._web.model_copy(update={"port": port}), triton=TritonSettings(url=URL), pipelines=self._pipelines
        )
        self._live = Live(settings, self._snapshot, lambda: self.missed(), self.why_not_ready)
        return WebServer(settings.web, self, metrics, "text/plain", self._live)

    @property
    def viewers(self) -> int:
        return self._live.viewers

    def why_not_live(self) -> str | None:
        return None

    def why_not_ready(self) -> str | None:
        return self.not_ready

    async def _snapshot(self) -> Snapshot:
        self.looks += 1
        return self.world.signals.snapshot()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.port}/{path}"

    def send(self, count: int, values: Sequence[float] = (1.0, 2.0, 3.0), **how: Any) -> None:
        """Events of the class `default`."""
        for number in range(count):
            self.world.write(encode({"id": f"{CANARY}-{number}", "values": list(values)}), **how)

    async def feed(self) -> None:
        """Traffic without end: mostly good, some poison, some that come too late."""
        for number in itertools.count():
            self.send(18, age_ms=5)
            self.send(1, partition=1, age_ms=400)
            if number % 20 == 0:
                self.world.write(b"\xc1 no event", 1)
            await asyncio.sleep(0.05)


async def metrics() -> str:
    return "# EOF\n"


@asynccontextmanager
async def serving(scene: Scene) -> AsyncIterator[Scene]:
    """The pipeline at work and the page served."""
    async with running(scene.world.pipeline()):
        await scene.server.start()
        try:
            yield scene
        finally:
            await scene.server.stop()


async def event(answer: aiohttp.ClientResponse) -> tuple[str, Any]:
    """The next server-sent event: its name and data."""
    kind, data, end = [await answer.content.readline() for _ in range(3)]
    assert (kind[:7], data[:6], end) == (b"event: ", b"data: ", b"\n")
    return kind[7:-1].decode(), msgspec.json.decode(data[6:])
