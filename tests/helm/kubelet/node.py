"""The node: what is bound to it runs, and the API server hears of it."""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tests.helm.api import NO_ANSWER, Api, ApiError, Object
from tests.helm.kubelet.images import Image, installed
from tests.helm.kubelet.pod import Pod, Surroundings
from tests.helm.kubelet.sandbox import HOST, Network
from tests.helm.kubelet.status import status

NAME = "processes"
_LEASE_SECONDS, _AGAIN_SECONDS = 10.0, 0.5
_ROOM = {"cpu": "64", "memory": "256Gi", "pods": "100"}


class Said(msgspec.Struct, frozen=True):
    """Something that happened to a pod, or to one of its containers."""

    at_unix_ms: int
    pod: str
    container: str
    what: str


class Objects:
    """Secrets and ConfigMaps of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    async def data(self, kind: str, name: str, optional: bool = False) -> Mapping[str, bytes]:
        """Of `Lookup`."""
        try:
            found = await self._api.get(f"api/v1/namespaces/{self._namespace}/{kind}/{name}")
        except ApiError as error:
            if error.status == 404 and optional:
                return {}
            raise LookupError(f"{kind}/{name}: {error}") from None
        if kind == "secrets":
            return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
        return {key: value.encode() for key, value in found.get("data", {}).items()}


class Node:
    """Takes the pods of all namespaces. `heard` gets everything that happens."""

    def __init__(self, api: Api, folder: Path, heard: Callable[[Said], None], refresh_seconds: float = 2.0) -> None:
        self._api, self._folder, self._heard, self._refresh_seconds = api, folder, heard, refresh_seconds
        self._network = Network()
        self._pods: dict[str, _Kept] = {}
        self._seen: set[str] = set()
        self.is_up = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; then nothing of any pod is left. Raises ApiError, RuntimeError."""
        images = await asyncio.to_thread(installed, self._folder / "programs")
        await self._network.up()
        try:
            async with asyncio.TaskGroup() as group:
                await self._register()
                group.create_task(self._renew())
                self.is_up.set()
                async for what, pod in self._api.watch("api/v1/pods", fieldSelector=f"spec.nodeName={NAME}"):
                    self._see(what, pod, images, group)
        finally:
            await asyncio.gather(*(each.pod.stop(0) for each in self._pods.values()), return_exceptions=True)
            await self._network.down()

    def _see(self, what: str, pod: Object, images: Mapping[str, Image], group: asyncio.TaskGroup) -> None:
        uid = pod["metadata"]["uid"]
        kept = self._pods.get(uid)
        if uid not in self._seen and what != "DELETED":
            self._seen.add(uid)
            kept = self._pods[uid] = self._keep(pod, images)
            group.create_task(self._live(kept))
        if kept is not None:
            kept.pod.pod = pod
            if what == "DELETED":
                kept.grace_seconds = 0.0
                kept.is_deleted.set()
            elif "deletionTimestamp" in pod["metadata"]:
                kept.grace_seconds = float(pod["metadata"]["deletionGracePeriodSeconds"])
                kept.is_deleted.set()

    def _keep(self, pod: Object, images: Mapping[str, Image]) -> "_Kept":
        name, changed = pod["metadata"]["name"], asyncio.Event()

        def tell(container: str, what: str) -> None:
            self._heard(Said(time.time_ns() // 1_000_000, name, container, what))
            changed.set()

        lookup = Objects(self._api, pod["metadata"]["namespace"])
        surroundings = Surroundings(self._folder, images, lookup, HOST, self._refresh_seconds)
        return _Kept(Pod(pod, self._network.take(), surroundings, tell), changed)

    async def _live(self, kept: "_Kept") -> None:
        """From the moment it is bound until it is no more."""
        tasks = [asyncio.create_task(each) for each in (kept.pod.run(), kept.is_deleted.wait())]
        reporting = asyncio.create_task(self._report(kept))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
                await kept.is_deleted.wait()
            kept.tell("is to end")
            tasks[0].cancel()
            await asyncio.wait(tasks[:1])
            await kept.pod.stop(kept.grace_seconds)
        finally:
            for each in (*tasks, reporting):
                each.cancel()
        await self._forget(kept)

    async def _forget(self, kept: "_Kept") -> None:
        pod = kept.pod.pod
        self._network.give_back(kept.pod.address)
        del self._pods[pod["metadata"]["uid"]]
        with suppress(ApiError):
            await self._tell_server(kept)
        await self._delete(pod)
        kept.tell("is gone")

    async def _delete(self, pod: Object) -> None:
        """As soon as the server answers: nobody else would."""
        while True:
            try:
                await self._api.delete(_path(pod), gracePeriodSeconds=0, preconditions={"uid": pod["metadata"]["uid"]})
            except ApiError as error:
                if error.status == NO_ANSWER:
                    await asyncio.sleep(_AGAIN_SECONDS)
                    continue
            return

    async def _report(self, kept: "_Kept") -> None:
        while True:
            kept.changed.clear()
            with suppress(ApiError):  # it may just have been deleted
                await self._tell_server(kept)
            await kept.changed.wait()

    async def _tell_server(self, kept: "_Kept") -> None:
        kept.pod.pod = await self._api.merge(
            f"{_path(kept.pod.pod)}/status", {"status": status(kept.pod, HOST, _now())}
        )

    async def _register(self) -> None:
        labels = {"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "here"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME, "labels": labels}}
        with suppress(ApiError):
            await self._api.delete(f"api/v1/nodes/{NAME}")
        await self._api.create("api/v1/nodes", node)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": _now()}
        addresses = [{"type": "InternalIP", "address": HOST}]
        said = {"capacity": _ROOM, "allocatable": _ROOM, "conditions": [ready], "addresses": addresses}
        await self._api.merge(f"api/v1/nodes/{NAME}/status", {"status": said})

    async def _renew(self) -> None:
        """The lease that says that the node lives."""
        leases = "apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {"holderIdentity": NAME, "leaseDurationSeconds": 40}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}, "spec": spec}
        with suppress(ApiError):
            await self._api.create(leases, lease)
        while True:
            renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            with suppress(ApiError):
                await self._api.merge(f"{leases}/{NAME}", {"spec": {"renewTime": renewed}})
            await asyncio.sleep(_LEASE_SECONDS)


class _Kept:
    """A pod and what is known of its end."""

    def __init__(self, pod: Pod, changed: asyncio.Event) -> None:
        self.pod, self.changed = pod, changed
        self.is_deleted = asyncio.Event()
        self.grace_seconds = 0.0

    def tell(self, what: str) -> None:
        """Of the pod as a whole."""
        self.pod.tell("", what)


def _path(pod: Object) -> str:
    return f"api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
