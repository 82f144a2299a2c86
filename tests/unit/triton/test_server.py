"""A connection: calls end in time; why there is none is said in words; it turns to new files without giving up a call.

The server is gRPC's own in this process; tests/integration/test_triton_security.py does the same with a real Triton.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs
from tests.unit.triton.certificates import Authority, Pair
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inferstream.errors import Unavailable
from inferstream.settings import TritonSettings
from inferstream.triton import TritonServer, restrictions, server, stream

SLOW_SECONDS = 1.0
HOST = "127.0.0.1"
"""A name may have several addresses, of which gRPC tells what became of the last."""


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Says who calls; answers inference slowly; keeps some calls for those with a key."""

    def __init__(self) -> None:
        self.callers: list[str] = []
        self.headers: list[dict[str, Any]] = []
        self.left: list[float | None] = []
        self.slow_answers = 0
        self.key: tuple[str, str] | None = None
        self.restricted: set[str] = set()

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        await self._enter("metadata", context)
        return service_pb2.ServerMetadataResponse(name="triton", version="1")

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("health", context)
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("statistics", context)
        return service_pb2.ModelStatisticsResponse()

    async def SystemSharedMemoryStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("shared-memory", context)
        return service_pb2.SystemSharedMemoryStatusResponse()

    async def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("shared-memory", context)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("shared-memory", context)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("inference", context)
        await asyncio.sleep(SLOW_SECONDS)
        self.slow_answers += 1
        return service_pb2.ModelInferResponse(model_name="slow")

    async def ModelStreamInfer(self, requests: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("inference", context)
        for number in range(4):
            answer = service_pb2.ModelStreamInferResponse()
            answer.infer_response.outputs.add(name=str(number))
            answer.infer_response.parameters["triton_final_response"].bool_param = number == 3
            yield answer
            await asyncio.sleep(SLOW_SECONDS / 4)

    async def _enter(self, protocol: str, context: Any) -> None:
        names = context.auth_context().get("x509_common_name", [])
        self.callers.append(b"".join(names).decode())
        self.headers.append(dict(context.invocation_metadata()))
        self.left.append(context.time_remaining())
        if protocol in self.restricted and self.key is not None and self.headers[-1].get(self.key[0]) != self.key[1]:
            said = f"This protocol is restricted, expecting header '{self.key[0]}'"
            await context.abort(grpc.StatusCode.UNAVAILABLE, said)


@asynccontextmanager
async def serving(service: Service, pair: Pair | None = None, roots: bytes | None = None) -> AsyncIterator[str]:
    """host:port. With `roots` whoever calls must show a certificate that these have signed."""
    made = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, made)
    if pair is None:
        port = made.add_insecure_port(f"{HOST}:0")
    else:
        own = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
        mutual = grpc.ssl_server_credentials(own, roots, require_client_auth=roots is not None)
        port = made.add_secure_port(f"{HOST}:0", mutual)
    await made.start()
    try:
        yield f"{HOST}:{port}"
    finally:
        await made.stop(grace=None)


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[TritonServer]:
    made = TritonServer(url, TritonSettings(**{"url": url, "shared_memory": "off", **settings}))
    try:
        yield made
    finally:
        await made.stop()


def shows(pair: Pair) -> dict[str, Any]:
    return {"certificate_file": pair.certificate, "key_file": pair.key}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "other")


async def why_not(url: str, **settings: Any) -> str:
    async with connected(url, **settings) as made:
        with pytest.raises(Unavailable) as refused:
            await made.version()
    said = str(refused.value)
    assert "\n" not in said
    return said


async def overdue(made: TritonServer, timeout: float) -> str:
    """What is said of a call that takes too long, which is seen in time."""
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as refused:
        await made.ask("ModelInfer", service_pb2.ModelInferRequest(), timeout)
    assert timeout <= time.monotonic() - began < timeout + SLOW_SECONDS / 2
    error: Any = refused.value
    return str(error.code().name)


async def test_a_call_ends_with_its_time_and_is_not_cancelled_at_the_server_at_once() -> None:
    """An old Triton can die of that. It hears in advance that it may take a little longer."""
    service = Service()
    async with serving(service) as url, connected(url) as made:
        assert await overdue(made, 0.3) == "DEADLINE_EXCEEDED"
        gc.collect()
        given_up = asyncio.create_task(made.ask("ModelInfer", service_pb2.ModelInferRequest(), 5))
        await asyncio.sleep(0.1)
        given_up.cancel()
        async with asyncio.timeout(10):
            while service.slow_answers < 2:  # noqa: ASYNC110 - the service is told of nothing
                await asyncio.sleep(0.02)
    # gRPC writes times of a second and more in hundredths, rounded up: 1.25 s came as 1.26.
    assert 0.3 < (service.left[0] or 0) <= 1.31


async def test_a_call_that_was_given_up_does_not_go_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LEFT_SECONDS", 0.1)
    service = Service()
    async with serving(service) as url, connected(url) as made:
        assert await overdue(made, 0.1) == "DEADLINE_EXCEEDED"
        await asyncio.sleep(SLOW_SECONDS + 0.5)
    assert service.slow_answers == 0


async def test_a_call_ends_with_its_time_though_grpcs_own_timer_does_not_fire() -> None:
    slow = asyncio.ensure_future(asyncio.sleep(SLOW_SECONDS))
    async with connected(f"{HOST}:1") as made:
        made.stub = SimpleNamespace(ModelInfer=lambda message, timeout, metadata: slow)
        assert await overdue(made, 0.05) == "DEADLINE_EXCEEDED"


async def test_tls_and_mutual_tls_connect(authority: Authority) -> None:
    service, client = Service(), authority.client()
    secure: dict[str, Any] = {"tls": True, "ca_file": authority.file}
    async with serving(service, authority.server(HOST)) as url, connected(url, **secure) as made:
        assert await made.version() == "triton 1"
    for shown in (shows(client), {"certificate_file": client.both}):
        async with (
            serving(service, authority.server(HOST), authority.pem) as url,
            connected(url, **secure, **shown) as made,
        ):
            assert await made.version() == "triton 1"
    assert service.callers == ["", "client", "client"]


async def test_why_there_is_no_connection_is_said(authority: Authority, other: Authority) -> None:
    ours, service = {"tls": True, "ca_file": authority.file}, Service()
    async with serving(service, authority.server(HOST)) as url:
        assert "its certificate is not signed by the authority in triton.ca_file" in await why_not(
            url, tls=True, ca_file=other.file
        )
        assert "not signed by anybody gRPC knows: set triton.ca_file" in await why_not(url, tls=True)
        assert "if it speaks TLS, set triton.tls to true" in await why_not(url)
    async with serving(service, authority.server(HOST, is_expired=True)) as url:
        assert "its certificate has expired" in await why_not(url, **ours)
    async with serving(service, authority.server("elsewhere.example.org")) as url:
        assert "its certificate is for another name" in await why_not(url, **ours)
    async with serving(service, authority.server(HOST), authority.pem) as url:
        assert "it wants a certificate of ours" in await why_not(url, **ours)
        assert "does not accept our certificate" in await why_not(url, **ours, **shows(other.client()))
    async with serving(service) as url:
        assert "it does not speak TLS there: set triton.tls to false" in await why_not(url, **ours)
    assert "(UNAVAILABLE); is `triton.url` right?" in await why_not(url, **ours)
    assert service.callers == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LOOK_SECONDS", 0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_new_files_are_used_for_new_calls_and_calls_under_way_end_where_they_began(
    authority: Authority, other: Authority, quick: None
) -> None:
    service, pair = Service(), authority.client("first")
    trusted = authority.pem + other.pem
    async with (
        serving(service, authority.server(HOST), trusted) as url,
        connected(url, tls=True, ca_file=authority.file, **shows(pair)) as made,
    ):
        await made.version()
        slow = asyncio.create_task(made.ask("ModelInfer", service_pb2.ModelInferRequest(), 10))
        told = asyncio.create_task(pieces(made))
        await until(lambda: len(service.callers) == 3)
        with capture_logs() as logs:
            pair.replace_by(other.client("second"))
            await until(lambda: any(each["event"] == "credentials_renewed" for each in logs))
        assert not slow.done()
        await made.version()
        assert service.callers == ["first"] * 3 + ["second"]
        assert (await slow).model_name == "slow"
        assert await told == ["0", "1", "2", "3"]


async def pieces(made: TritonServer) -> list[str]:
    message = service_pb2.ModelInferRequest()
    return [answer.outputs[0].name async for answer in stream.answers(made, message, 10)]


async def test_files_that_are_broken_or_refused_change_nothing_and_are_told_of_once(
    authority: Authority, other: Authority, quick: None
) -> None:
    service, pair, stranger = Service(), authority.client("first"), other.client("stranger")
    before = [file.read_bytes() for file in pair]
    async with (
        serving(service, authority.server(HOST), authority.pem) as url,
        connected(url, tls=True, ca_file=authority.file, **shows(pair)) as made,
    ):
        with capture_logs() as logs:
            for broken in (b"", stranger.certificate.read_bytes()):
                pair.certificate.write_bytes(broken)
                await until(lambda: len(logs) == 1)
                await asyncio.sleep(0.2)
                assert await made.version() == "triton 1"
                (line,) = [logs.pop() for _ in list(logs)]
                assert (line["event"], line["log_level"]) == ("credentials_not_renewed", "warning")
                assert "certificate" in line["reason"]
                assert made.is_stale
            pair.replace_by(stranger)
            await until(lambda: bool(logs) and "does not accept our certificate" in logs[-1]["reason"])
            assert await made.version() == "triton 1"
            for file, content in zip(pair, before, strict=True):
                file.write_bytes(content)
            await until(lambda: logs[-1]["event"] == "credentials_renewed")
        await made.version()
        assert not made.is_stale
    assert set(service.callers) == {"first"}


async def test_files_that_are_being_written_are_told_of_only_when_they_rest(authority: Authority, quick: None) -> None:
    pair = authority.client("first")
    whole = pair.certificate.read_bytes()
    async with (
        serving(Service(), authority.server(HOST), authority.pem) as url,
        connected(url, tls=True, ca_file=authority.file, **shows(pair)) as made,
    ):
        with capture_logs() as logs:
            for written in range(20):  # more often than it is looked
                pair.certificate.write_bytes(whole[: 10 * written])
                await asyncio.sleep(server._LOOK_SECONDS / 2)
            assert logs == []
            await until(lambda: len(logs) == 1)
            assert logs[0]["event"] == "credentials_not_renewed"
            pair.certificate.write_bytes(whole)
            await until(lambda: logs[-1]["event"] == "credentials_renewed")
        await made.version()


async def test_a_server_that_is_away_meanwhile_is_found_with_the_new_files(
    authority: Authority, other: Authority, quick: None
) -> None:
    """It comes back with a certificate of another authority, and trusts nobody but that."""
    service, pair = Service(), authority.client("first")
    anchor = authority.file.with_suffix(".trusted")
    anchor.write_bytes(authority.pem)
    async with serving(service, authority.server(HOST), authority.pem) as url:
        made = TritonServer(url, TritonSettings(url=url, tls=True, ca_file=anchor, shared_memory="off", **shows(pair)))
        await made.version()
    pair.replace_by(other.client("second"))
    anchor.write_bytes(other.pem)
    with capture_logs() as logs:
        await until(lambda: any("no answer" in each.get("reason", "") for each in logs))
        async with serving_at(url, service, other.server(HOST), other.pem):
            await until(lambda: logs[-1]["event"] == "credentials_renewed")
            await made.version()
    await made.stop()
    assert service.callers == ["first", "second"]


@asynccontextmanager
async def serving_at(url: str, service: Service, pair: Pair, roots: bytes) -> AsyncIterator[None]:
    made = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, made)
    own = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
    made.add_secure_port(f"{HOST}:{url.rpartition(':')[2]}", grpc.ssl_server_credentials(own, roots, True))
    await made.start()
    try:
        yield
    finally:
        await made.stop(grace=None)


async def test_a_key_goes_with_every_call_and_a_new_one_is_followed(quick: None, tmp_path: Path) -> None:
    service, file = Service(), tmp_path / "key"
    file.write_text("svc=first\n")
    async with serving(service) as url, connected(url, access_key_file=file) as made:
        await made.version()
        assert await pieces(made)
        file.write_text("svc=second\n")
        await until(lambda: made.headers[0][1] == "second")
        await made.version()
    assert [each["triton-grpc-protocol-svc"] for each in service.headers] == ["first", "first", "second"]


async def test_what_a_server_restricts_is_found_with_what_it_costs() -> None:
    service = Service()
    service.key, service.restricted = ("triton-grpc-protocol-svc", "yes"), {"health", "statistics", "shared-memory"}
    async with serving(service) as url:
        for key, words in ((None, "set triton.access_key (or access_key_file) to"), ("svc=no", "is not its svc=VALUE")):
            settings = TritonSettings(url=url, access_key=key)
            async with connected(url, access_key=key) as made:
                found = await restrictions(made, settings)
            assert [each.is_vital for each in found] == [True, False, False]
            assert all(words in each.text for each in found)
            assert "inferstream_model_server_* stay empty" in found[1].text
            assert "go over the wire" in found[2].text
        settings = TritonSettings(url=url, access_key="svc=yes")
        async with connected(url, access_key="svc=yes") as made:
            assert await restrictions(made, settings) == []


async def test_a_key_that_no_call_can_carry_is_the_servers_fault() -> None:
    service = Service()
    service.key, service.restricted = ("triton-grpc-protocol-Svc", "yes"), {"metadata"}
    async with serving(service) as url:
        assert "names a key 'Svc', and no call can carry capitals there" in await why_not(url, access_key="svc=yes")


async def test_memory_is_not_shared_where_that_is_restricted() -> None:
    service = Service()
    service.key, service.restricted = ("triton-grpc-protocol-svc", "yes"), {"shared-memory"}
    reasons: list[str] = []
    async with serving(service) as url, connected(url, shared_memory="auto", shared_memory_min_bytes=1) as made:
        assert made.shared is not None
        made.shared.when_off = reasons.append
        assert made.shared.take(1_000) is None
        await until(lambda: bool(reasons))
        assert not made.shared.is_worth(10**6)
    assert "restricted" in reasons[0]
