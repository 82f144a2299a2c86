"""Pods that the process kubelet runs for a real API server live and die as Kubernetes says."""

import asyncio
import base64
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.helm.api import Api, ApiError, Object, connected
from tests.helm.control_plane import NoControlPlane, running
from tests.helm.kubelet.node import Node, Said

SECONDS = 60
CAREFUL = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


class Cluster(NamedTuple):
    """An API server whose only node is ours."""

    api: Api
    said: list[Said]
    pods: str

    async def run(self, name: str, spec: Object) -> None:
        filled = {"terminationGracePeriodSeconds": 5, "automountServiceAccountToken": False, **spec}
        await self.api.create(self.pods, {"metadata": {"name": name}, "spec": filled})

    async def phase(self, name: str) -> str:
        return str((await self.api.get(f"{self.pods}/{name}"))["status"]["phase"])

    async def until(self, is_so: Callable[[], Awaitable[bool]], what: str) -> None:
        for _ in range(SECONDS * 10):
            if await is_so():
                return
            await asyncio.sleep(0.1)
        pytest.fail(f"not within {SECONDS} s: {what}; last was said: {self.said[-20:]}")

    async def until_phase(self, name: str, phase: str) -> None:
        async def is_so() -> bool:
            return await self.phase(name) == phase

        await self.until(is_so, f"{name} is {phase}")

    async def until_gone(self, name: str) -> None:
        async def is_so() -> bool:
            try:
                await self.phase(name)
            except ApiError as error:
                return error.status == 404
            return False

        await self.until(is_so, f"{name} is gone")

    async def until_said(self, pod: str, what: str) -> None:
        async def is_so() -> bool:
            return what in self.of(pod)

        await self.until(is_so, f"{pod} says '{what}'")

    def of(self, pod: str) -> list[str]:
        """What was said of a pod, in order."""
        return [f"{each.container}: {each.what}" for each in self.said if each.pod == pod]


def _without(why: str) -> None:
    if "kube" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
        pytest.fail(f"{why}, and INFERSTREAM_REQUIRE says it must be there")
    pytest.skip(why)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    if os.geteuid() or shutil.which("setpriv") is None:
        _without("the process kubelet makes namespaces: it needs root and util-linux")
    try:
        with running(tmp_path / "plane", nodes=0) as kubeconfig:
            async with connected(kubeconfig) as api:
                said: list[Said] = []
                node = asyncio.create_task(Node(api, tmp_path / "node", said.append, refresh_seconds=0.3).run())
                space = f"t{secrets.token_hex(3)}"
                await api.create("api/v1/namespaces", {"metadata": {"name": space}})
                cluster = Cluster(api, said, f"api/v1/namespaces/{space}/pods")
                try:

                    async def has_account() -> bool:
                        return bool(await api.items(f"api/v1/namespaces/{space}/serviceaccounts"))

                    await cluster.until(has_account, "the namespace has its service account")
                    yield cluster
                finally:
                    node.cancel()
                    await asyncio.wait([node])
    except NoControlPlane as error:
        _without(str(error))


def shell(script: str, name: str = "main", **more: object) -> Object:
    return {"name": name, "image": "inferstream:any", "command": ["sh", "-c", script], **more}


def trapping(action: str, name: str = "main", **more: object) -> Object:
    """Runs until SIGTERM and then does this; it has started once it would."""
    script = f"trap '{action}' TERM; sleep 0.5; touch /s/{name}; while :; do sleep 0.1; done"
    probe = {"exec": {"command": ["test", "-e", f"/s/{name}"]}, "periodSeconds": 1, "failureThreshold": 30}
    return shell(script, name, startupProbe=probe, volumeMounts=[{"name": "s", "mountPath": "/s"}], **more)


@pytest.mark.slow
async def test_pods_live_and_die_as_kubernetes_says(cluster: Cluster) -> None:
    """One API server for all: it takes seconds to start."""
    await asyncio.gather(
        _careful(cluster),
        _ordered(cluster),
        _unhealthy(cluster),
        _stubborn(cluster),
        _secret(cluster),
        _failing(cluster),
    )


async def _careful(cluster: Cluster) -> None:
    """A container is the user that is asked for, may not write where it must not, and is alone on its network."""
    script = (
        'test "$(id -u):$(id -g)" = 10001:10002 && ! touch /etc/x && ! touch /ro/x && touch /rw/x && touch /dev/shm/x'
        " && grep -q 'NoNewPrivs:.1' /proc/self/status && grep -q 'CapBnd:.0*$' /proc/self/status"
        " && grep -q eth0: /proc/net/dev && ! grep -q inferstream0: /proc/net/dev"
    )
    main = shell(
        script,
        securityContext={
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        volumeMounts=[
            {"name": "a", "mountPath": "/ro", "readOnly": True},
            {"name": "a", "mountPath": "/rw"},
        ],
    )
    context = {"runAsUser": 10001, "runAsGroup": 10002, "fsGroup": 10003}
    pod = {
        "restartPolicy": "Never",
        "securityContext": context,
        "volumes": [{"name": "a", "emptyDir": {}}],
        "containers": [main],
    }
    await cluster.run("careful", pod)
    await cluster.until_phase("careful", "Succeeded")


async def _ordered(cluster: Cluster) -> None:
    """First what prepares, then the sidecar; the container ends before it."""
    sidecar = trapping("exit 0", "sidecar", restartPolicy="Always")
    main = trapping("sleep 0.5; exit 0", lifecycle={"preStop": {"sleep": {"seconds": 1}}})
    volumes = [{"name": "s", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    spec = {"initContainers": [shell("true", "first"), sidecar], "containers": [main], "volumes": volumes}
    await cluster.run("ordered", spec)
    await cluster.until_said("ordered", "main: has started")
    await cluster.api.delete(f"{cluster.pods}/ordered")
    await cluster.until_gone("ordered")
    wanted = [
        "first: ended with 0",
        "sidecar: runs",
        "sidecar: has started",
        "main: runs",
        ": is to end",
        "main: is to stop",
        "main: SIGTERM",
        "main: ended with 0",
        "sidecar: SIGTERM",
        "sidecar: ended with 0",
    ]
    assert [each for each in cluster.of("ordered") if each in wanted] == wanted
    at = {f"{each.container}: {each.what}": each.at_unix_ms for each in cluster.said if each.pod == "ordered"}
    assert at["main: SIGTERM"] - at["main: is to stop"] >= 1_000, "the hook comes first"


async def _unhealthy(cluster: Cluster) -> None:
    """Started again when it does not live; it is ready only while its probe says so."""
    main = shell(
        "test -e /s/once && exec sleep 1000; touch /s/once; exec sleep 1000",
        livenessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2},
        volumeMounts=[{"name": "s", "mountPath": "/s"}],
    )
    await cluster.run("unhealthy", {"containers": [main], "volumes": [{"name": "s", "emptyDir": {}}]})

    async def was_started_again() -> bool:
        found = (await cluster.api.get(f"{cluster.pods}/unhealthy"))["status"].get("containerStatuses", [{}])
        return bool(found[0].get("restartCount", 0) >= 1)

    await cluster.until(was_started_again, "a container that does not live is started again")


async def _stubborn(cluster: Cluster) -> None:
    """SIGKILL when its time is up."""
    volumes = [{"name": "s", "emptyDir": {}}]
    spec = {"containers": [trapping("")], "volumes": volumes, "terminationGracePeriodSeconds": 2}
    await cluster.run("stubborn", spec)
    await cluster.until_said("stubborn", "main: has started")
    await cluster.api.delete(f"{cluster.pods}/stubborn")
    await cluster.until_gone("stubborn")
    assert "main: ended with 137" in cluster.of("stubborn")


async def _secret(cluster: Cluster) -> None:
    """It waits for a Secret, and the mounted file follows a change."""
    mounted = [{"name": "s", "mountPath": "/secret", "readOnly": True}]
    script = 'echo "$FROM"; until grep -q second /secret/key; do sleep 0.1; done; test "$FROM" = first'
    env = [{"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "late", "key": "key"}}}]
    volumes = [{"name": "s", "secret": {"secretName": "late", "defaultMode": 0o440}}]
    main = shell(script, volumeMounts=mounted, env=env)
    await cluster.run("secret", {"restartPolicy": "Never", "containers": [main], "volumes": volumes})
    await cluster.until_phase("secret", "Pending")
    path = cluster.pods.replace("pods", "secrets")
    await cluster.api.create(path, {"metadata": {"name": "late"}, "data": {"key": _encoded("first")}})
    await cluster.until_phase("secret", "Running")
    await cluster.api.merge(f"{path}/late", {"data": {"key": _encoded("second")}})
    await cluster.until_phase("secret", "Succeeded")


async def _failing(cluster: Cluster) -> None:
    await cluster.run("failing", {"restartPolicy": "Never", "containers": [shell("exit 3")]})
    await cluster.until_phase("failing", "Failed")
    await cluster.run("unknown", {"restartPolicy": "Never", "containers": [{"name": "main", "image": "other:1"}]})
    await cluster.until_phase("unknown", "Failed")
    assert any("no image other" in each for each in cluster.of("unknown"))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
