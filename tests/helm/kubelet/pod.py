"""One pod: its sandbox, its volumes, its containers in their order, and what is told of it."""

import asyncio
import itertools
import shutil
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.helm.api import Object
from tests.helm.kubelet.container import Container
from tests.helm.kubelet.environment import Lookup, expanded, variables
from tests.helm.kubelet.images import Image
from tests.helm.kubelet.sandbox import Mount, Sandbox
from tests.helm.kubelet.volumes import Volumes

_AGAIN_SECONDS = 1.0


class Surroundings(NamedTuple):
    """What the node has for its pods."""

    folder: Path
    images: Mapping[str, Image]
    lookup: Lookup
    host: str
    refresh_seconds: float
    """How soon a mounted Secret or ConfigMap follows a change."""


class Pod:
    """`tell` hears of every change: of which container, and what."""

    def __init__(self, pod: Object, address: str, node: Surroundings, tell: Callable[[str, str], None]) -> None:
        self.pod, self.address, self._node, self.tell = pod, address, node, tell
        self._folder = node.folder / "pods" / pod["metadata"]["name"] / pod["metadata"]["uid"]
        self._volumes = Volumes(pod, self._folder / "volumes", node.lookup)
        self._sandbox = Sandbox(address)
        self._attempts = itertools.count()
        policy, spec = pod["spec"]["restartPolicy"], pod["spec"]
        at_init = "Never" if policy == "Never" else "OnFailure"
        self.initial = [
            Container(each, each.get("restartPolicy", at_init), self, tell) for each in spec.get("initContainers", ())
        ]
        self.main = [Container(each, policy, self, tell) for each in spec["containers"]]
        self._running: list[asyncio.Task[int]] = []
        self.has_failed_to_start = False

    @property
    def sidecars(self) -> list[Container]:
        """They start before the others and end after them."""
        return [each for each in self.initial if each.spec.get("restartPolicy") == "Always"]

    async def run(self) -> None:
        """Until every container has ended for good. Cancelled, it leaves them to `stop`."""
        await self._make()
        refreshing = asyncio.create_task(self._refresh())
        try:
            for each in self.initial:
                running = self._start(each)
                if each in self.sidecars:
                    await each.started.wait()
                elif await asyncio.shield(running):
                    self.has_failed_to_start = True
                    return
            await asyncio.gather(*(asyncio.shield(self._start(each)) for each in self.main))
        finally:
            refreshing.cancel()
        await self._stop_sidecars(time.monotonic() + self.pod["spec"]["terminationGracePeriodSeconds"])

    async def stop(self, grace_seconds: float) -> None:
        """Everything, in its order, within this time; nothing of it is left."""
        deadline = time.monotonic() + grace_seconds
        others = [each for each in (*self.initial, *self.main) if each not in self.sidecars]
        await asyncio.gather(*(each.stop(grace_seconds) for each in others))
        await self._stop_sidecars(deadline)
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._sandbox.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self, spec: Object) -> Process:
        """Of `Runtime`."""
        repository = spec["image"].partition("@")[0].rpartition(":")[0] or spec["image"]
        image = self._node.images.get(repository)
        if image is None:
            raise LookupError(f"no image {repository}: this kubelet knows {', '.join(self._node.images)}")
        own = await variables(spec, self._fields, self._node.lookup)
        words = [*(spec.get("command") or image.entrypoint), *spec.get("args", ())]
        folder = self._folder / "containers" / spec["name"] / str(next(self._attempts))
        folder.mkdir(parents=True)
        line = self._sandbox.line(spec, self.pod, image, self._mounts(spec), folder)
        with (self._node.folder / f"{self.pod['metadata']['name']}.{spec['name']}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *line,
                *(expanded(word, own) for word in words),
                env={**image.environ, **own},
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def run_beside(self, spec: Object, process: Process, command: list[str]) -> int:
        """Of `Runtime`."""
        context = {**self.pod["spec"].get("securityContext", {}), **spec.get("securityContext", {})}
        user, group = context.get("runAsUser", 0), context.get("runAsGroup", 0)
        enter = ["nsenter", "--target", str(process.pid), "--net", "--mount", "--root", "--wd"]
        line = [*enter, "--setuid", str(user), "--setgid", str(group), *command]
        running = await asyncio.create_subprocess_exec(*line, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        try:
            return await running.wait()
        finally:
            with suppress(ProcessLookupError):
                running.kill()

    @property
    def _fields(self) -> Mapping[str, Any]:
        addresses = {"podIP": self.address, "podIPs": self.address, "hostIP": self._node.host}
        return {**self.pod, "status": addresses}

    async def _make(self) -> None:
        """As soon as what it needs is there."""
        told = ""
        while True:
            try:
                await self._volumes.make()
                break
            except LookupError as error:
                if told != (told := f"waits: {error}"):
                    self.tell("", told)
                await asyncio.sleep(_AGAIN_SECONDS)
        group = self.pod["spec"].get("securityContext", {}).get("fsGroup", 0)
        await self._sandbox.make(self._volumes.memory, group)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._node.refresh_seconds)
            with suppress(LookupError):
                if await self._volumes.refresh():
                    self.tell("", "volumes changed")

    def _start(self, container: Container) -> "asyncio.Task[int]":
        running = asyncio.create_task(container.run())
        self._running.append(running)
        return running

    async def _stop_sidecars(self, deadline: float) -> None:
        for each in reversed(self.sidecars):
            await each.stop(max(0, deadline - time.monotonic()))

    def _mounts(self, spec: Object) -> list[Mount]:
        return [
            Mount(
                self._volumes.path(each["name"]) / each.get("subPath", ""),
                each["mountPath"],
                each.get("readOnly", False),
            )
            for each in spec.get("volumeMounts", ())
        ]
