"""A real Triton takes the chart's options, answers the chart's probes, and guards what the chart says it guards."""

import asyncio
import shutil
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.protobuf import json_format
from tests.helm.rendering import Helm, containers, example
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inferstream import local
from inferstream.local import triton
from inferstream.local.process import free_ports, spawn, stop_group

pytestmark = pytest.mark.integration
KEY = "control-key=let-me-in"
REGION = "inferstream_chart"
SERVING = b"\x08\x01"
ELSEWHERE = ("--model-config-name", "--grpc-max-response-pool-size")
"""The local server is too old for the second."""
LOCAL_ONLY = ("--backend-directory", "--backend-config", "--grpc-", "--metrics-")
MODELS = Path(local.__file__).parents[1] / "model_repository"


class Running(NamedTuple):
    channel: grpc.aio.Channel
    metrics_port: int


@pytest.fixture
async def running(helm: Helm, tmp_path: Path) -> AsyncIterator[Running]:
    """As the chart starts it, but for where it is, and for the models' configuration, which wants a full image."""
    (container,) = (
        c for _, pod in helm.render(example("service")).pods() for c in containers(pod) if c["name"] == "triton"
    )
    shutil.copytree(MODELS / "fraud", tmp_path / "models" / "fraud")
    replaced = {"/models": str(tmp_path / "models"), "$(CONTROL_KEY)": KEY}
    given = [argument for argument in container["args"] if not argument.startswith(ELSEWHERE)]
    for found, by in replaced.items():
        given = [argument.replace(found, by) for argument in given]
    ports = free_ports(3)
    launch = triton.launch(tmp_path / "models", ports, REGION, ["fraud"], lambda text: None)
    here = [argument for argument in launch.command[1:] if argument.startswith(LOCAL_ONLY)]
    process = spawn([launch.command[0], *here, *given], launch.environ, tmp_path / "triton.log")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
            try:
                async with asyncio.timeout(60):
                    await until_serving(channel)
            except TimeoutError:
                pytest.fail(f"Triton did not start: {(tmp_path / 'triton.log').read_text()[-2000:]}")
            yield Running(channel, ports[2])
    finally:
        stop_group(process, 10)
        for region in Path(triton.SHARED_MEMORY).glob(f"{REGION}*"):
            region.unlink(missing_ok=True)


async def until_serving(channel: grpc.aio.Channel) -> None:
    """What the kubelet asks for a probe of kind `grpc`."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    while True:
        try:
            if await check(b"", timeout=1) == SERVING:
                return
        except grpc.aio.AioRpcError:
            pass
        await asyncio.sleep(0.1)


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http, on this machine
        return bytes(answer.read())


async def test_a_version_that_does_not_load_does_not_look_like_death(running: Running, tmp_path: Path) -> None:
    """The kubelet would end a Triton whose other version goes on answering."""
    broken = tmp_path / "models" / "fraud" / "9"
    shutil.copytree(tmp_path / "models" / "fraud" / "1", broken)
    for file in filter(Path.is_file, broken.rglob("*")):
        file.write_bytes(b"no model, nor code")
    name, _, value = KEY.partition("=")
    stub = service_pb2_grpc.GRPCInferenceServiceStub(running.channel)
    loading = service_pb2.RepositoryModelLoadRequest(model_name="fraud")
    configured = await stub.ModelConfig(
        service_pb2.ModelConfigRequest(name="fraud"), timeout=5, metadata=((f"triton-grpc-protocol-{name}", value),)
    )
    configured.config.version_policy.specific.versions[:] = [1, 9]
    loading.parameters["config"].string_param = json_format.MessageToJson(configured.config)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.RepositoryModelLoad(loading, timeout=60, metadata=((f"triton-grpc-protocol-{name}", value),))
    ready = await stub.ModelReady(service_pb2.ModelReadyRequest(name="fraud", version="1"), timeout=5)
    assert ready.ready
    assert await running.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=1) == SERVING


async def test_the_charts_triton_serves_and_guards(running: Running) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(running.channel)
    ready = await stub.ModelReady(service_pb2.ModelReadyRequest(name="fraud"), timeout=5)
    assert ready.ready
    assert b"nv_inference" in await asyncio.to_thread(fetched, f"http://127.0.0.1:{running.metrics_port}/metrics")
    unload = service_pb2.RepositoryModelUnloadRequest(model_name="fraud")
    register = service_pb2.SystemSharedMemoryRegisterRequest(name="a", key="/b", byte_size=64)
    trace = service_pb2.TraceSettingRequest()
    for call, request in (
        (stub.RepositoryModelUnload, unload),
        (stub.SystemSharedMemoryRegister, register),
        (stub.TraceSetting, trace),
        (stub.ModelConfig, service_pb2.ModelConfigRequest(name="fraud")),
        (stub.ModelStatistics, service_pb2.ModelStatisticsRequest(name="fraud")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request, timeout=5)
        assert "restricted" in (refused.value.details() or "")
    name, _, value = KEY.partition("=")
    header = ((f"triton-grpc-protocol-{name}", value),)
    assert await stub.TraceSetting(trace, timeout=5, metadata=header)
