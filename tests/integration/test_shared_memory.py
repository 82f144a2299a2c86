"""Large tensors through shared memory to a real Triton: right answers whatever ends or is given up; nothing is left."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from loadtest.shared_memory import measure, model, repository
from tests.integration.hostile import SCORE, ModelServer
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inferstream import local
from inferstream.errors import ModelError
from inferstream.settings import TritonSettings
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.fraud.features import FEATURES
from inferstream.triton import TritonModel, TritonServer
from inferstream.triton.shared_memory import FOLDER, PREFIX, SharedMemory

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(120)]

SIZE_BYTES = 300_000
SLOW = 255
"""A tensor that begins with it takes the model a second."""
Bytes = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    folder = tmp_path_factory.mktemp("inverter")
    models = repository(folder / "models")
    with local.running(folder / "stack", parts=["triton"], model_repository=models) as stack:
        yield stack


@pytest.fixture
async def server(triton: local.Stack) -> AsyncIterator[TritonServer]:
    made = connect(triton)
    yield made
    await made.stop()
    assert not own_files(), "something is left in shared memory"


def connect(triton: local.Stack, doubt_seconds: float = 0.3) -> TritonServer:
    """A connection whose regions are let go soon after a call was given up."""
    url = triton.endpoints.triton
    server = TritonServer(url, TritonSettings(url=url, shared_memory="off"))
    server.shared = SharedMemory(server.ask, 200_000, doubt_seconds)
    return server


def own_files() -> set[str]:
    return {path.name for path in FOLDER.glob(f"{PREFIX}{os.getpid()}-*")}


def known(triton: local.Stack) -> set[str]:
    """Our regions that the server has."""
    with grpc.insecure_channel(triton.endpoints.triton) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        status = stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest(), timeout=5)
    return {name for name in status.regions if name.startswith(PREFIX)}


def asked(server: TritonServer, size_bytes: int = SIZE_BYTES) -> TritonModel:
    return model(server, TritonSettings(url=server.url), size_bytes)


def tensor(seed: int, size_bytes: int = SIZE_BYTES, first: int = 0) -> Bytes:
    made = np.random.default_rng(seed).integers(0, 256, (1, size_bytes), np.uint8)
    made[0, 0] = first
    return made


async def is_right(asked: TritonModel, given: Bytes, timeout: float = 10) -> bool:
    outputs = (await asked.infer({"given": given}, timeout)).outputs
    return bool((outputs["inverted"] == np.invert(given)).all())


async def until_shared(server: TritonServer) -> None:
    """Ask until there is a region, so that the next call goes through it."""
    assert server.shared is not None
    async with asyncio.timeout(10):
        while not server.shared.regions:
            assert await is_right(asked(server), tensor(0))
            await asyncio.sleep(0.01)


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_true():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.05)


async def test_many_calls_at_once_do_not_mix(server: TritonServer, triton: local.Stack) -> None:
    await until_shared(server)
    for _ in range(3):
        answers = await asyncio.gather(*(is_right(asked(server), tensor(seed)) for seed in range(12)))
        assert all(answers)
    assert server.shared is not None
    assert server.shared.regions > 1
    assert known(triton) == own_files()


async def test_a_larger_tensor_gets_a_larger_region(server: TritonServer) -> None:
    await until_shared(server)
    large = asked(server, 3_000_000)
    for seed in range(5):
        assert await is_right(large, tensor(seed, 3_000_000))
    assert max((FOLDER / name).stat().st_size for name in own_files()) >= 6_000_000


async def test_a_small_tensor_goes_over_the_wire(server: TritonServer, triton: local.Stack) -> None:
    for seed in range(5):
        assert await is_right(asked(server, 50_000), tensor(seed, 50_000))
    assert not own_files()


async def test_what_a_call_that_was_given_up_still_writes_reaches_nobody(
    server: TritonServer, triton: local.Stack
) -> None:
    """The server computes on, and writes its answer a second later: never into the memory of a later call."""
    await until_shared(server)
    given_up = own_files()
    with pytest.raises(ModelError) as late:
        await is_right(asked(server), tensor(1, first=SLOW), timeout=0.2)
    assert late.value.cause == "model_timeout"
    assert all(await asyncio.gather(*(is_right(asked(server), tensor(seed)) for seed in range(20))))
    await until(lambda: not given_up & own_files() and not given_up & known(triton))


async def test_a_region_the_server_does_not_know_any_more_costs_no_call(
    server: TritonServer, triton: local.Stack
) -> None:
    """As after a restart between two calls: the call is repeated over the wire, then memory is shared anew."""
    await until_shared(server)
    before = own_files()
    with grpc.insecure_channel(triton.endpoints.triton) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name in known(triton):
            stub.SystemSharedMemoryUnregister(service_pb2.SystemSharedMemoryUnregisterRequest(name=name), timeout=5)
    assert await is_right(asked(server), tensor(1))
    await until(lambda: not before & own_files())
    await until_shared(server)
    assert await is_right(asked(server), tensor(2))
    assert known(triton) == own_files()


async def test_a_server_that_starts_anew_under_load_costs_no_wrong_answer(
    server: TritonServer, triton: local.Stack
) -> None:
    await until_shared(server)
    before, stopped = own_files(), asyncio.Event()

    async def call() -> tuple[int, list[str]]:
        right, failed = 0, list[str]()
        while not stopped.is_set():
            try:
                assert await is_right(asked(server), tensor(right), timeout=2)
                right += 1
            except ModelError as error:
                failed.append(error.cause)
                await asyncio.sleep(0.05)
        return right, failed

    calls = [asyncio.create_task(call()) for _ in range(3)]
    await asyncio.sleep(0.5)
    await asyncio.to_thread(triton.kill, "triton")
    await asyncio.to_thread(triton.start, "triton")
    await until(lambda: bool(known(triton)))  # it is shared again
    await asyncio.sleep(0.5)
    stopped.set()
    done = await asyncio.gather(*calls)
    assert all(right > 0 and failed for right, failed in done)
    assert {cause for _, failed in done for cause in failed} <= {"model_unavailable", "model_timeout", "model_error"}
    assert not before & own_files()


SERVICE = """
import asyncio, sys
import numpy as np
from inferstream.settings import TritonSettings
from inferstream.triton import TritonServer
from loadtest.shared_memory import model

async def main():
    settings = TritonSettings(url=sys.argv[1])
    server = TritonServer(settings.url, settings)
    asked = model(server, settings, 300_000)
    while True:
        await asked.infer({"given": np.zeros((1, 300_000), np.uint8)}, 5)
        print(server.shared.regions, flush=True)

asyncio.run(main())
"""


async def test_what_a_killed_process_left_is_gone_after_the_next_start(triton: local.Stack) -> None:
    """In its files and in the server."""
    root = str(Path(__file__).parents[2])
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, triton.endpoints.triton, stdout=asyncio.subprocess.PIPE, cwd=root
    )
    assert other.stdout is not None
    while (await asyncio.wait_for(other.stdout.readline(), 30)).strip() in (b"0", b""):
        pass
    other.send_signal(signal.SIGKILL)
    await other.wait()
    left = {path.name for path in FOLDER.glob(f"{PREFIX}{other.pid}-*")}
    assert left
    assert left <= known(triton)
    server = connect(triton)
    try:
        await until(lambda: not any((FOLDER / name).exists() for name in left) and not left & known(triton))
    finally:
        await server.stop()


async def test_a_server_that_shares_no_memory_is_asked_over_the_wire_and_that_is_told_once() -> None:
    told: list[str] = []
    async with ModelServer(FraudTask()) as hostile:
        settings = TritonSettings(url=hostile.url, shared_memory_min_bytes=1)
        server = TritonServer(hostile.url, settings)
        assert server.shared is not None
        server.shared.when_off = told.append
        fraud = TritonModel(server, "fraud", "", FraudTask(), settings)
        for _ in range(5):
            outputs = (await fraud.infer({"features": np.ones((8, len(FEATURES)), np.float32)}, 5)).outputs
            assert (outputs["probability"] == np.float32(SCORE)).all()
            await asyncio.sleep(0.02)
        await server.stop()
    assert len(told) == 1
    assert not own_files()


async def test_both_ways_are_measured(triton: local.Stack) -> None:
    """What `python -m loadtest.shared_memory` does for each size."""
    measured = await measure(triton.endpoints.triton, SIZE_BYTES, rounds=1)
    assert measured.size_bytes == SIZE_BYTES
    assert 0 < measured.wire_p50_ms <= measured.wire_p99_ms
    assert 0 < measured.shared_p50_ms <= measured.shared_p99_ms
    assert not own_files()
