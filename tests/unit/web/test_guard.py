"""Who may do what with the health port: read, quickly, and not too many at once."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack

import aiohttp
import pytest
from tests.unit.web.scene import Scene, event, serving

from inferstream.settings import WebSettings
from inferstream.web import WebServer, guard, live

pytestmark = pytest.mark.timeout(60)

METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "NONSENSE", "get")
PATHS = ("livez", "readyz", "metrics", "live", "", "page.js")


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(live, "_INTERVAL_SECONDS", 0.05)
    async with serving(Scene()) as made:
        yield made


async def raw(scene: Scene, sent: bytes) -> bytes:
    """All that comes back until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.server.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def is_served(scene: Scene) -> bool:
    async with asyncio.timeout(10):
        return status(await raw(scene, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")) == 200


async def test_nothing_but_reading_is_allowed_anywhere(scene: Scene) -> None:
    for path in PATHS:
        for method in METHODS:
            answer = await raw(scene, f"{method} /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=b".encode())
            assert status(answer) == 405, (method, path)
            assert b"\r\nAllow: GET,HEAD\r\n" in answer
        head = await raw(scene, f"HEAD /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert status(head) == (405 if path == "live" else 200)
        assert head.endswith(b"\r\n\r\n") or path == "live"


@pytest.mark.parametrize(
    "path",
    [
        "/static/page.js",
        "/../server.py",
        "/page.js/../../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "//x",
        "/.",
    ],
)
async def test_there_is_nothing_else(scene: Scene, path: str) -> None:
    answer = await raw(scene, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert status(answer) in (400, 404)
    assert b"import" not in answer


async def test_every_answer_says_how_it_may_be_used_and_not_what_we_are_made_of(scene: Scene) -> None:
    for path in (*PATHS, "nowhere"):
        async with aiohttp.ClientSession() as http, http.get(scene.url(path)) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "Server" not in answer.headers
            assert "aiohttp" not in str(answer.headers)
            assert answer.headers["Connection"] == "close"


CANARY = b"Tr0ub4dor"
ODD = {
    "another method": (b"FOO /" + CANARY + b" HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "a proxy's": (b"CONNECT " + CANARY + b":443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405),
    "a header without a colon": (b"GET /livez HTTP/1.1\r\nAuthorization: " + CANARY + b"\r\nBad Header\r\n\r\n", 400),
    "a header of zeros": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + CANARY + b"\0\r\n\r\n", 400),
    "no host": (b"GET /livez HTTP/1.1\r\nX: " + CANARY + b"\r\n\r\n", 400),
    "a negative length": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\nX: " + CANARY + b"\r\n\r\n", 400),
    "another version": (b"GET /" + CANARY + b" HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "no version": (b"GET /" + CANARY + b"\r\n\r\n", 404),
    "no path": (b"GET \r\nHost: " + CANARY + b"\r\n\r\n", 400),
    "a path of other bytes": (b"GET /\xff\xfe" + CANARY + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a host of other bytes": (b"GET http://[" + CANARY + b"/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00" + CANARY, 400),
    "an endless method": (b"A" * 40 + CANARY, 400),
    "an expectation": (b"GET /livez HTTP/1.1\r\nHost: x\r\nExpect: " + CANARY + b"\r\n\r\n", 417),
    "a wish to go on": (b"GET /livez HTTP/1.1\r\nHost: x\r\nEXPECT: 100-continue\r\n\r\n", 417),
    "too much": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + CANARY * 2_000 + b"\r\n\r\n", 431),
    "no carriage returns": (b"GET /" + CANARY + b" HTTP/1.1\nHost: x\nBad Header\n\n", 400),
}


@pytest.mark.parametrize(("sent", "said"), ODD.values(), ids=ODD)
async def test_what_we_cannot_read_is_answered_as_all_else_and_told_to_nobody(
    scene: Scene, sent: bytes, said: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG", "aiohttp")
    capfd.readouterr()
    answer = await raw(scene, sent)
    assert status(answer) == said
    head, body = answer.split(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"X-Content-Type-Options"] == b"nosniff"
    assert headers[b"X-Frame-Options"] == b"DENY"
    assert headers[b"Content-Security-Policy"].startswith(b"default-src 'none'")
    assert headers[b"Cache-Control"] == b"no-store"
    assert headers[b"Connection"] == b"close"
    assert headers[b"Content-Length"] == str(len(body)).encode()
    assert b"Server" not in headers
    assert CANARY not in answer
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []
    assert capfd.readouterr() == ("", "")


async def test_a_refusal_in_pieces_is_the_same_refusal(scene: Scene) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.server.port)
    for byte in b"GET /livez HTTP/1.1\r\nBad Header\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert status(await reader.read()) == 400
    writer.close()


async def test_a_refusal_of_head_has_no_body(scene: Scene) -> None:
    answer = await raw(scene, b"HEAD /livez HTTP/1.1\r\nBad Header\r\n\r\n")
    assert status(answer) == 400
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("lines", [b"X: " + b"a" * 15_000, b"\r\n".join([b"X: a"] * 2_000)], ids=["one", "many"])
async def test_a_request_may_be_all_headers(scene: Scene, lines: bytes) -> None:
    assert status(await raw(scene, b"GET /livez HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n\r\n")) == 200


async def test_who_sends_on_without_end_is_hung_up_on(scene: Scene) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectionError):
        await pour(scene)
    assert time.monotonic() - began < guard.REQUEST_SECONDS, "because of the bytes, not of the time"


async def pour(scene: Scene) -> None:
    """A request, and then bytes without end."""
    _, writer = await asyncio.open_connection("127.0.0.1", scene.server.port)
    writer.write(b"POST /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        async with asyncio.timeout(20):
            while True:
                writer.write(b"a" * 65_536)
                await writer.drain()
    finally:
        writer.close()


async def test_a_request_that_does_not_come_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(ConnectionError):
        await drip(scene)
    assert 0.4 < time.monotonic() - began < 15
    assert await raw(scene, b"") == b"", "nor one that says nothing"
    assert await raw(scene, b"GET /livez HTTP/1.1\r\n") == b""


async def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.5)
    size_bytes = 30_000_000

    async def many() -> str:
        return "#" * size_bytes

    server = WebServer(WebSettings(host="127.0.0.1", port=0), Scene(), many, "text/plain")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1_024)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(1.5)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(size_bytes)
    writer.close()
    await server.stop()


async def drip(scene: Scene) -> None:
    """A request, a byte at a time."""
    _, writer = await asyncio.open_connection("127.0.0.1", scene.server.port)
    try:
        async with asyncio.timeout(20):
            for byte in b"GET /livez HTTP/1.1\r\nX-Slow: " + b"a" * 10_000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)
    finally:
        writer.close()


async def test_a_stream_lasts_longer_than_a_request_may(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.3)
    async with aiohttp.ClientSession() as http, http.get(scene.url("live")) as answer:
        began = time.monotonic()
        while time.monotonic() - began < 1:
            await event(answer)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-Many: a\r\n" * 2_000 + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"a" * 4_000 + b"\r\n") * 100 + b"\r\n",
    ],
    ids=["long header", "many headers", "long path", "long headers"],
)
async def test_a_request_that_is_too_large_is_refused(scene: Scene, sent: bytes) -> None:
    assert status(await raw(scene, sent)) == 431
    assert await is_served(scene)


async def test_a_body_is_not_waited_for(scene: Scene) -> None:
    """Answered at once, and hung up; however much was promised."""
    began = time.monotonic()
    for framing in (b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked"):
        answer = await raw(scene, b"POST /livez HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        assert status(answer) == 405
        answer = await raw(scene, b"GET /livez HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        assert status(answer) == 200
    assert time.monotonic() - began < guard.REQUEST_SECONDS


async def test_a_second_request_on_a_connection_is_not_answered(scene: Scene) -> None:
    once = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await raw(scene, once * 50)).count(b"HTTP/1.1 200") == 1


async def test_however_many_connect_and_wait_the_probe_is_answered(scene: Scene) -> None:
    with ExitStack() as held:
        waiting = []
        for _ in range(guard.MOST_CONNECTIONS + 50):
            waiting.append(held.enter_context(socket.create_connection(("127.0.0.1", scene.server.port))))
            waiting[-1].sendall(b"GET /livez HTTP/1.1\r\n")
            await asyncio.sleep(0)
        assert await is_served(scene)
        waiting[0].settimeout(5)
        assert is_hung_up(waiting[0]), "the first that came gives way"
        assert await is_served(scene)


def is_hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


async def test_nobody_who_looks_is_thrown_out_by_those_who_wait(scene: Scene) -> None:
    async with aiohttp.ClientSession() as http, http.get(scene.url("live")) as answer:
        await event(answer)
        with ExitStack() as held:
            for _ in range(guard.MOST_CONNECTIONS + 10):
                held.enter_context(socket.create_connection(("127.0.0.1", scene.server.port)))
                await asyncio.sleep(0)
            for _ in range(5):
                assert (await event(answer))[0] in ("history", "frame")
