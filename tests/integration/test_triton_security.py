"""A real Triton behind TLS and keys: the service, `check` and `models` reach it, say why not, and follow new files."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.integration.conftest import Bench
from tests.integration.steady import Counts, counts, under_load, until_scored
from tests.integration.versions import OTHER, SOUND, models, repository, state
from tests.unit.triton.certificates import Authority, Pair

from inferstream import local
from inferstream.local import triton
from inferstream.local.process import Identity, free_ports, spawn, stop_group

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(300)]

TRITON = "INFERSTREAM__TRITON__"
RATE = 200
_STALE = 'inferstream_stale_credentials{{server="triton"}} {}'


class Server(NamedTuple):
    """A Triton of one's own, that can be started again with other options."""

    folder: Path
    ports: Sequence[int]

    @property
    def url(self) -> str:
        return f"localhost:{self.ports[1]}"

    @asynccontextmanager
    async def running(self, *options: str) -> AsyncIterator[None]:
        process = await self.start(*options)
        try:
            yield
        finally:
            self.end(process)

    async def start(self, *options: str) -> Identity:
        launch = triton.launch(self.folder / "models", self.ports, self._region, ["fraud"], lambda text: None)
        process = spawn([*launch.command, *options], launch.environ, self.folder / "triton.log")
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(triton.is_ready, self.ports[0]):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.1)
        return process

    def end(self, process: Identity) -> None:
        stop_group(process, 5)
        for region in Path(triton.SHARED_MEMORY).glob(f"{self._region}*"):
            region.unlink(missing_ok=True)

    @property
    def _region(self) -> str:
        return f"inferstream_secured_{self.ports[1]}"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    repository(tmp_path / "models")
    return Server(tmp_path, free_ports(3))


@pytest.fixture
async def bench(server: Server, stacks: Callable[[str], local.Stack], tmp_path: Path) -> Bench:
    """The shared broker, and a Triton of its own."""
    made = Bench(stacks("embedded"), tmp_path)
    made.environ |= {f"{TRITON}URL": server.url, f"{TRITON}MODEL_CONTROL": "explicit"}
    await made.create_topics()
    return made


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "other")


def tls(pair: Pair, roots: Path | None = None) -> list[str]:
    """Triton's options; with `roots` it wants a certificate that these have signed."""
    own = [f"--grpc-server-cert={pair.certificate}", f"--grpc-server-key={pair.key}"]
    mutual = [] if roots is None else ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={roots}"]
    return ["--grpc-use-ssl=true", *own, *mutual]


def given(**settings: object) -> dict[str, str]:
    """Variables of Triton's settings."""
    return {f"{TRITON}{name.upper()}": str(value) for name, value in settings.items()}


def shown(pair: Pair) -> dict[str, str]:
    return given(certificate_file=pair.certificate, key_file=pair.key)


async def check(bench: Bench, **environ: str) -> str:
    """What `inferstream check` prints."""

    def run() -> str:
        command = [sys.executable, "-m", "inferstream", "check", "--timeout", "2"]
        env = {**bench.environ, **environ}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        assert "ssl_transport_security" not in done.stderr, "gRPC's own lines"
        return done.stdout + done.stderr

    return await asyncio.to_thread(run)


async def test_everything_that_asks_triton_does_so_with_mutual_tls(
    bench: Bench, server: Server, ours: Authority
) -> None:
    pair = ours.client()
    async with server.running(*tls(ours.server(), ours.file)):
        bench.environ |= given(tls=True, ca_file=ours.file) | shown(pair)
        assert "FAIL" not in await check(bench)
        async with bench.service() as service, under_load(bench, 50) as load:
            await until_scored(service, 50)
            done = await models(bench, "switch", OTHER)
            assert done.code == 0, done.errors
            assert await state(bench) == ([OTHER], OTHER)
            load.stop()
            await asyncio.sleep(0.5)
            assert (await bench.audit(load.sent)).problems == {}
            assert (await counts(service)).total("model_server_rows_total") > 0, "its own account is read, too"


async def test_why_triton_is_not_reached_is_one_line_in_check_and_in_the_log(
    bench: Bench, server: Server, ours: Authority, other: Authority
) -> None:
    secure, alien = given(tls=True, ca_file=ours.file), given(tls=True, ca_file=other.file)
    cases: list[tuple[list[str], list[tuple[dict[str, str], str]]]] = [
        (
            tls(ours.server()),
            [
                (alien, "its certificate is not signed by the authority in triton.ca_file"),
                (given(tls=True), "not signed by anybody gRPC knows: set triton.ca_file"),
                ({}, "if it speaks TLS, set triton.tls to true"),
            ],
        ),
        (tls(ours.server(is_expired=True)), [(secure, "its certificate has expired")]),
        (tls(ours.server("away.example.org")), [(secure, "its certificate is for another name")]),
        (
            tls(ours.server(), ours.file),
            [
                (secure, "it wants a certificate of ours: set triton.certificate_file"),
                (secure | shown(other.client()), "it does not accept our certificate"),
            ],
        ),
        ([], [(secure, "it does not speak TLS there: set triton.tls to false")]),
    ]
    for options, askers in cases:
        async with server.running(*options):
            for environ, words in askers:
                said = await check(bench, **environ)
                lines = [line for line in said.splitlines() if words in line]
                assert len(lines) == 1, said
                assert lines[0].startswith(f"FAIL model server: no answer from Triton at {server.url}: ")
            environ, words = askers[-1]
            async with bench.service({**environ, **given(start_timeout_ms=1_500)}) as service:
                await asyncio.sleep(2)
                assert service.log.count(words) == 1, "told once, however often it is tried"


async def test_a_file_that_is_missing_ends_the_start_in_one_line(bench: Bench, tmp_path: Path) -> None:
    bench.environ |= given(tls=True, ca_file=tmp_path / "missing.pem")
    service = bench.service()
    await service.start()
    assert await asyncio.wait_for(service.process.wait(), 60) == 2
    assert service.log.strip().splitlines()[-1].endswith("missing.pem cannot be read (No such file or directory)")
    assert "Traceback" not in service.log
    assert "FAIL model server: triton.ca_file" in await check(bench)


async def test_what_triton_restricts_is_reached_with_the_key_and_missed_without(bench: Bench, server: Server) -> None:
    """As the chart starts it: one key for all that an event does not need."""
    kept = "model-repository,model-config,statistics,shared-memory,trace,logging"
    key = server.folder / "key"
    key.write_text("access-key=let,me=in\n")
    async with server.running(f"--grpc-restricted-protocol={kept}:access-key=let,me=in"):
        for wrong in ({}, given(access_key="access-key=wrong")):
            said = await check(bench, **wrong)
            assert "warn model server" in said
            assert "its protocol statistics is restricted, so the metrics" in said
            assert "its protocol shared-memory is restricted, so large tensors go over the wire" in said
            assert "FAIL model 'fraud' of 'fraud'" in said, "the model's configuration is needed"
            assert "let,me=in" not in said
        bench.environ |= given(access_key_file=key)
        said = await check(bench)
        assert "FAIL" not in said
        assert "restricted" not in said
        async with bench.service() as service, under_load(bench, 50) as load:
            await until_scored(service, 50)
            done = await models(bench, "switch", OTHER)
            assert done.code == 0, done.errors
            await asyncio.sleep(11)  # the account is asked for every ten seconds
            assert (await counts(service)).total("model_server_rows_total") > 0
            load.stop()
            await asyncio.sleep(0.5)
            assert (await bench.audit(load.sent)).problems == {}


async def test_the_service_does_without_what_only_helps(bench: Bench, server: Server) -> None:
    async with server.running("--grpc-restricted-protocol=model-repository,statistics,shared-memory,trace:a=b"):
        said = await check(bench)
        assert "FAIL" not in said
        assert said.count("is restricted, so") == 2
        async with bench.service() as service, under_load(bench, 50) as load:
            await until_scored(service, 50)
            load.stop()
            await asyncio.sleep(0.5)
            assert (await bench.audit(load.sent)).problems == {}
        refused = await models(bench, "switch", OTHER)
        assert refused.code == 3
        assert "set triton.model_control_key" in refused.errors
        key = server.folder / "key"
        key.write_text("a=b\n")
        bench.environ |= given(model_control_key_file=key)
        assert (await models(bench, "switch", OTHER, "--keep")).code == 0
        assert await state(bench) == ([SOUND, OTHER], OTHER)


async def test_a_new_certificate_is_followed_under_load_and_no_event_is_lost_or_late(
    bench: Bench, server: Server, ours: Authority, other: Authority
) -> None:
    """A certificate of a second authority comes while events do; then Triton forgets the first, and all goes on.

    What is in time while it turns is held against the same load just before.
    """
    pair, trusted = ours.client(), server.folder / "trusted.pem"
    trusted.write_bytes(ours.pem + other.pem)
    bench.environ |= given(tls=True, ca_file=ours.file) | shown(pair)
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__SLO_MS"] = "1000"
    process = await server.start(*tls(ours.server(), trusted))
    try:
        async with bench.service() as service, under_load(bench, RATE) as load:
            await until_scored(service, RATE)
            begin = await counts(service)
            await asyncio.sleep(8)
            calm = await counts(service)
            for number in range(4):
                is_last = number == 3
                pair.certificate.write_bytes(b"half a certificate")
                await until_said(service, "credentials_not_renewed", number + 1)
                assert _STALE.format(1) in await service.metrics()
                pair.replace_by((other if is_last else ours).client(f"renewed-{number}"))
                await until_said(service, "credentials_renewed", number + 1)
                await asyncio.sleep(0.5)
            turned = await counts(service)
            assert _STALE.format(0) in await service.metrics()
            assert service.log.count("credentials_not_renewed") == 4
            server.end(process)
            trusted.write_bytes(other.pem)
            process = await server.start(*tls(ours.server(), trusted))
            again = await counts(service)
            async with asyncio.timeout(90):
                while scored(await counts(service)) < scored(again) + 2 * RATE:  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.5)
            load.stop()
            await asyncio.sleep(1)
            report = await bench.audit(load.sent, wait=60)
            refused = await check(bench, **shown(ours.client("late")))
        assert report.problems == {}
        assert "it does not accept our certificate" in refused, "the first authority counts no more"
        before, meanwhile = (share(*looks) for looks in ((begin, calm), (calm, turned)))
        print(  # noqa: T201 - the figures are what it is for
            f"4 renewals, {load.sent} events at {RATE}/s, problems {report.problems}: in time and scored "
            f"{meanwhile:.4f}, before {before:.4f} (machine stalled {load.stalled:.2f})"
        )
        assert meanwhile >= before - max(0.005, load.stalled)
    finally:
        server.end(process)


async def until_said(service: Any, words: str, times: int) -> None:
    async with asyncio.timeout(60):
        while service.log.count(words) < times:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)


def scored(seen: Counts) -> float:
    """By the model, in time."""
    return seen.total("slo_good_total", indicator="scored")


def share(before: Counts, after: Counts) -> float:
    """Of the outcomes between two looks, those that were."""
    return (scored(after) - scored(before)) / (after.total("slo_valid_total") - before.total("slo_valid_total"))
