"""Everything that runs but the load: control plane, node, secured Kafka, Triton, and the chart's release."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from loadtest import topics
from tests.chaos.cluster import Janitor
from tests.helm import control_plane
from tests.helm.api import Api, Object, connected
from tests.helm.kubelet.node import Node, Said
from tests.helm.kubelet.sandbox import HOST
from tests.helm.packages import installed
from tests.helm.rendering import Cluster, Helm
from tests.helm.rolling.load import PARTITIONS
from tests.integration.secured import PASSWORD, USER, SecuredBroker, secured_broker

from inferstream.kafka import of_service
from inferstream.local import triton
from inferstream.local.process import free_ports, spawn, stop_group
from inferstream.local.stack import shipped_models
from inferstream.settings import load as load_settings

NAMESPACE = "rolling"
_RELEASE_SECONDS = 180
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.1


class Options(NamedTuple):
    """Of a run."""

    folder: Path
    login_ms: int
    """How long a login to Kafka holds; 0: for ever."""


class Stage:
    """Where the release is, and what happened to its pods so far."""

    def __init__(self, api: Api, helm: Helm, kubeconfig: Path, broker: SecuredBroker) -> None:
        self.api, self.broker = api, broker
        self._helm, self._cluster = helm, Cluster(kubeconfig, NAMESPACE)
        self.said: list[Said] = []

    async def helm(self, action: str, values: Object | None = None) -> None:
        """Until all pods are ready, or gone. Raises Refused."""
        options: dict[str, Any] = {"wait": "watcher", "timeout": _RELEASE_SECONDS}
        await asyncio.to_thread(self._helm.act, self._cluster, action, values, **options)

    async def until(self, what: str, pod: str, since: int) -> None:
        """This is said of the pod, after so much was said already. Raises TimeoutError."""
        deadline = time.monotonic() + _READY_SECONDS
        while not any((each.what, each.pod) == (what, pod) for each in self.said[since:]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{pod}: '{what}' was not said in {_READY_SECONDS:.0f} s")
            await asyncio.sleep(_LOOK_SECONDS)

    async def secret(self, name: str, values: Mapping[str, bytes]) -> None:
        """Made, or changed."""
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        path = f"api/v1/namespaces/{NAMESPACE}/secrets"
        if any(each["metadata"]["name"] == name for each in await self.api.items(path)):
            await self.api.merge(f"{path}/{name}", {"data": data})
        else:
            await self.api.create(path, {"metadata": {"name": name}, "data": data})


@asynccontextmanager
async def staged(options: Options) -> AsyncIterator[Stage]:
    """All of it but the release. Raises NoControlPlane, LocalStackError, RuntimeError."""
    async with AsyncExitStack() as stack:
        folder = options.folder
        kubeconfig = stack.enter_context(control_plane.running(folder / "control-plane", nodes=0))
        api = await stack.enter_async_context(connected(kubeconfig))
        helm = Helm(await asyncio.to_thread(installed), folder / "helm.log")
        stack.callback(helm.close)
        journal = stack.enter_context((folder / "journal.jsonl").open("wb", buffering=0))
        said: list[Said] = []

        def heard(new: Said) -> None:
            said.append(new)
            journal.write(msgspec.json.encode(new) + b"\n")

        node = Node(api, folder / "node", heard)
        await stack.enter_async_context(_run(node))
        (folder / "kafka").mkdir()
        broker = stack.enter_context(secured_broker(folder / "kafka", options.login_ms, HOST))
        stage = Stage(api, helm, kubeconfig, broker)
        stage.said = said
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        await api.create("api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}})
        authority = broker.ca_file.read_bytes()
        await stage.secret("kafka-authority", {"ca.crt": authority})
        await stage.secret("kafka-user", {"username": USER.encode(), "password": PASSWORD.encode()})
        yield stage


@asynccontextmanager
async def _run(node: Node) -> AsyncIterator[None]:
    running = asyncio.create_task(node.run())
    try:
        await asyncio.wait([running, asyncio.create_task(node.is_up.wait())], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@contextmanager
def external_triton(folder: Path) -> Iterator[str]:
    """The address of a Triton that pods reach."""
    ports, janitor = free_ports(3), Janitor()
    launch = triton.launch(shipped_models(), ports, "inferstream_rolling", ["fraud"], print)
    command = [word.replace("127.0.0.1", "0.0.0.0") for word in launch.command]  # noqa: S104 - of this machine only
    running = spawn(command, launch.environ, folder / "triton.log")
    janitor.watch(running)
    try:
        yield f"{HOST}:{ports[1]}"
    finally:
        stop_group(running, 5)
        janitor.forget(running.pid)
        janitor.close()


def values(stage: Stage, tag: str, kind: str, triton_url: str, slo_ms: int) -> Object:
    """Of the chart."""
    pipeline = {
        "input_topic": f"{tag}-in",
        "output_topic": f"{tag}-out",
        "dead_letter_topic": f"{tag}-dead",
        "group": f"{tag}-group",
        "slo_ms": slo_ms,
    }
    return {
        "replicaCount": 3,
        "workload": {"kind": kind},
        "kafka": {
            "partitions": PARTITIONS,
            "sasl": {"existingSecret": "kafka-user"},
            "tls": {"existingSecret": "kafka-authority"},
        },
        "triton": {"mode": "external"},
        "config": {
            "kafka": {"bootstrap_servers": f"{HOST}:{stage.broker.login}", "security_protocol": "SASL_SSL"},
            "triton": {"url": triton_url},
            "pipelines": {"fraud": pipeline},
        },
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
    }


def prepare(stage: Stage, tag: str, given: Object) -> None:
    """Topics, and the rights that `inferstream acls` lists, no others. Blocks."""
    topics.create(f"localhost:{stage.broker.inside}", tag, PARTITIONS)
    pipelines = given["config"]["pipelines"]
    environ = {
        f"INFERSTREAM__PIPELINES__FRAUD__{name.upper()}": str(value) for name, value in pipelines["fraud"].items()
    }
    stage.broker.grant(of_service(load_settings(environ=environ)))
