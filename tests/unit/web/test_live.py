"""The live page over HTTP: what it may load, who may look, what is told, and what it costs if nobody looks."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.unit.web.scene import CANARY, URL, Scene, event, metrics, serving

from inferstream.settings import WebSettings
from inferstream.web import WebServer, live

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(live, "_INTERVAL_SECONDS", 0.05)
    async with serving(Scene()) as made:
        yield made


async def until(scene: Scene, looks: int) -> None:
    async with asyncio.timeout(10):
        while scene.looks < looks:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_the_page_and_all_it_names_are_served_and_may_load_only_themselves(
    scene: Scene, http: aiohttp.ClientSession
) -> None:
    todo, seen = [""], set[str]()
    while todo:
        path = todo.pop()
        seen.add(path)
        async with http.get(scene.url(path)) as answer:
            assert answer.status == 200, path
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
            assert "http" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            text = await answer.text()
        assert "https:" not in text
        assert not re.search(r"\bstyle=|<style|<script>|\son\w+=", text), "what the policy forbids"
        named = re.findall(r'(?:href|src)="([^"#]+)"', text) + re.findall(r'from "\./([^"]+)"', text)
        assert not [name for name in named if name.startswith("/")], "it must work under a path prefix"
        todo += [name for name in named if name not in seen and name != "metrics"]
    assert seen == {"", "page.css", "page.js", "parts.js", "icon.svg"}


async def test_where_the_setting_says_so_there_is_no_page(http: aiohttp.ClientSession) -> None:
    scene = Scene()
    bare = WebServer(WebSettings(host="127.0.0.1", port=0, page=False), scene, metrics, "text/plain")
    await bare.start()
    for path in ("", "live", "page.js"):
        async with http.get(f"http://127.0.0.1:{bare.port}/{path}") as answer:
            assert answer.status == 404
    await bare.stop()


async def test_a_stream_tells_what_the_pipeline_does_and_nothing_of_its_events(
    scene: Scene, http: aiohttp.ClientSession
) -> None:
    feeding = asyncio.create_task(scene.feed())
    async with http.get(scene.url("live")) as answer, asyncio.timeout(20):
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert await event(answer) == ("history", [])
        while True:
            kind, frame = await event(answer)
            assert kind == "frame"
            (pipeline,) = frame["pipelines"]
            late = [one for one in frame["missed"] if one["late_ms"] > 0]
            if (pipeline["per_second"] or 0) > 20 and late and len(frame["missed"]) > len(late):
                break
    feeding.cancel()
    assert {one["name"] for one in pipeline["classes"]} == {"default", "slow"}
    assert {one["outcome"] for one in late} == {"expired"}
    assert {(one["partition"], one["cause"]) for one in late} == {(1, "too_late")}
    assert {one["cause"] for one in frame["missed"] if one["late_ms"] == 0} == {"malformed"}
    assert all(300_000 < one["fetch_us"] < 60_000_000 for one in late)
    assert pipeline["classes"][0]["p99_ms"] > 0
    told = str(frame)
    assert CANARY not in told
    assert URL not in told
    assert "secret-model" not in told


async def test_it_is_computed_once_however_many_look_and_not_at_all_if_none_do(
    scene: Scene, http: aiohttp.ClientSession
) -> None:
    await asyncio.sleep(0.2)
    assert scene.looks == 0
    streams = [await http.get(scene.url("live")) for _ in range(5)]
    await until(scene, 4)
    told = [[(await event(stream))[1] for _ in range(5)][1:] for stream in streams]
    moments = {frame["at_ms"] for frames in told for frame in frames}
    assert len(moments) <= scene.looks
    assert set.intersection(*({frame["at_ms"] for frame in frames} for frames in told)), "each its own"
    for stream in streams:
        stream.close()
    await asyncio.sleep(0.5)
    looks = scene.looks
    await asyncio.sleep(0.3)
    assert scene.looks == looks
    async with http.get(scene.url("live")) as again:
        kind, history = await event(again)
        assert kind == "history"
        assert len(history) >= 4, "who comes back sees what was seen before"
        await event(again)


async def test_so_many_may_look_and_the_next_hears_why_not(scene: Scene) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        streams = [await http.get(scene.url("live")) for _ in range(live.MOST_VIEWERS)]
        assert {stream.status for stream in streams} == {200}
        async with http.get(scene.url("live")) as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "10"
            assert await refused.text() == "16 browsers look already; close one of them\n"
        streams[0].close()
        async with asyncio.timeout(10):
            while (status := await _status(http, scene.url("live"))) != 200:
                assert status == 503
                await asyncio.sleep(0.02)
        assert await _status(http, scene.url("livez")) == 200
        for stream in streams:
            stream.close()


async def _status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as answer:
        return answer.status


async def test_who_does_not_read_is_dropped_and_the_others_go_on(
    scene: Scene, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_INTERVAL_SECONDS", 0.002)
    monkeypatch.setattr(live, "_SEND_BUFFER_BYTES", 4_096)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    deaf.connect(("127.0.0.1", scene.server.port))
    deaf.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
    async with http.get(scene.url("live")) as reader, asyncio.timeout(30):
        await event(reader)
        while scene.viewers > 1 or scene.looks < 50:
            assert (await event(reader))[0] == "frame"
        for _ in range(5):
            await event(reader)
        assert scene.viewers == 1
    deaf.close()


async def test_the_end_of_the_service_waits_for_nobody_who_looks(scene: Scene, http: aiohttp.ClientSession) -> None:
    async with http.get(scene.url("live")) as answer:
        await event(answer)
        await event(answer)
        began = time.monotonic()
        await scene.server.stop()
        assert time.monotonic() - began < 10
        async with asyncio.timeout(5):
            while await answer.content.readline():
                pass


async def test_a_fault_of_the_page_ends_its_streams_and_nothing_else(
    scene: Scene, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> list[object]:
        raise RuntimeError("a fault")

    whole, scene.missed = scene.missed, broken  # type: ignore[assignment]
    async with http.get(scene.url("live")) as answer, asyncio.timeout(5):
        while await answer.content.readline():
            pass
    assert "live_page_failed" in capsys.readouterr().out
    scene.missed = whole
    async with http.get(scene.url("live")) as answer:
        await event(answer)
        assert (await event(answer))[0] == "frame"


async def test_it_says_why_the_service_is_not_ready(scene: Scene, http: aiohttp.ClientSession) -> None:
    scene.not_ready = "starting"
    async with http.get(scene.url("live")) as answer:
        await event(answer)
        assert (await event(answer))[1]["not_ready"] == "starting"
