"""One container: started, probed, started again, and stopped."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from tests.helm.api import Object
from tests.helm.kubelet.probes import Probe, Thresholds

_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 1.0, 60.0
_LEAST_GRACE_SECONDS = 2.0  # after a hook that took all of it
_SIGNALLED = 128


class Runtime(Protocol):
    """Starts processes in the pod."""

    address: str

    async def start(self, spec: Object) -> Process:
        """A container's own. Raises LookupError or RuntimeError with what is missing."""

    async def run_beside(self, spec: Object, process: Process, command: list[str]) -> int:
        """Another beside it, to its end; the exit code."""


class Container:
    """`policy`: Always, OnFailure or Never. `tell` hears of every change."""

    def __init__(self, spec: Object, policy: str, runtime: Runtime, tell: Callable[[str, str], None]) -> None:
        self.spec, self.name, self._policy, self._runtime = spec, str(spec["name"]), policy, runtime
        self._tell = tell
        self._process: Process | None = None
        self._ending, self._has_ended = asyncio.Event(), asyncio.Event()
        self._ports = {each["name"]: each["containerPort"] for each in spec.get("ports", ()) if "name" in each}
        self.state: Object = {"waiting": {"reason": "PodInitializing"}}
        self._last: Object = {}
        self.restarts = 0
        self.started = asyncio.Event()
        self.is_ready = False

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or may run again."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    def status(self) -> Object:
        """As the API server takes it."""
        image = self.spec["image"]
        return {
            "name": self.name,
            "image": image,
            "imageID": image,
            "restartCount": self.restarts,
            "ready": self.is_ready,
            "started": self.started.is_set(),
            "state": self.state,
            "lastState": self._last,
        }

    async def run(self) -> int:
        """Until it has ended for good; its exit code."""
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            code = await self._once()
            if self._ending.is_set() or self._policy == "Never" or (self._policy == "OnFailure" and code == 0):
                self._has_ended.set()
                return code
            self._last, self.state = self.state, {"waiting": {"reason": "CrashLoopBackOff", "message": f"exit {code}"}}
            self._tell(self.name, "waits to be started again")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), backoff)
                return code
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)
            self.restarts += 1

    async def stop(self, grace_seconds: float) -> None:
        """The hook, SIGTERM, and SIGKILL when the time is up. It does not start again."""
        self._ending.set()
        process, deadline = self._process, time.monotonic() + grace_seconds
        if process is None or process.returncode is not None:
            return
        self._tell(self.name, "is to stop")
        with suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + grace_seconds):
                await self._hook(process)
        self._tell(self.name, "SIGTERM")
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), max(deadline - time.monotonic(), _LEAST_GRACE_SECONDS))
        self.kill()
        await self._has_ended.wait()

    def kill(self) -> None:
        """SIGKILL for all of it, now."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _hook(self, process: Process) -> None:
        hook = self.spec.get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            await asyncio.sleep(hook["sleep"]["seconds"])
        elif "exec" in hook:
            await self._runtime.run_beside(self.spec, process, hook["exec"]["command"])

    async def _once(self) -> int:
        """One process from its start to its end."""
        began = _now()
        try:
            self._process = process = await self._runtime.start(self.spec)
        except (LookupError, RuntimeError, OSError) as error:
            return self._ended(_SIGNALLED, began, f"CreateContainerError: {error}")
        self.state = {"running": {"startedAt": began}}
        self._tell(self.name, "runs")
        if self._ending.is_set():  # while it was being started
            self.kill()
        probing = asyncio.create_task(self._probe(process))
        try:
            code = await process.wait()
        finally:
            self.kill()
            probing.cancel()
            await asyncio.wait([probing])
        if not probing.cancelled():
            probing.result()
        return self._ended(code if code >= 0 else _SIGNALLED - code, began, "")

    def _ended(self, code: int, began: str, message: str) -> int:
        reason = "Completed" if code == 0 else "Error"
        times = {"startedAt": began, "finishedAt": _now()}
        self.state = {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}
        self.started.clear()
        self.is_ready = False
        self._tell(self.name, f"ended with {code} {message}".strip())
        return code

    async def _probe(self, process: Process) -> None:
        async def run(command: list[str]) -> int:
            return await self._runtime.run_beside(self.spec, process, command)

        probes = {
            kind: Probe(self.spec[f"{kind}Probe"], self._runtime.address, self._ports, run)
            for kind in ("startup", "readiness", "liveness")
            if f"{kind}Probe" in self.spec
        }
        if startup := probes.get("startup"):
            await self._watch(startup, False, self._has_started)
        else:
            self._has_started(True)
        self._be_ready("readiness" not in probes)
        watches: list[tuple[Probe, bool, Callable[[bool], None]]] = []
        if "readiness" in probes:
            watches.append((probes["readiness"], False, self._be_ready))
        if "liveness" in probes:
            watches.append((probes["liveness"], True, self._lives))
        await asyncio.gather(*(self._watch(*each) for each in watches))

    async def _watch(self, probe: Probe, is_up: bool, note: Callable[[bool], None]) -> None:
        """Until the container ends; a startup probe only until it succeeds."""
        thresholds = Thresholds(probe.spec, is_up)
        await asyncio.sleep(probe.spec["initialDelaySeconds"])
        while True:
            if thresholds.add(await probe.ask()):
                note(thresholds.is_up)
                if note == self._has_started and thresholds.is_up:
                    return
            await asyncio.sleep(probe.spec["periodSeconds"])

    def _has_started(self, is_up: bool) -> None:
        if is_up:
            self.started.set()
            self._tell(self.name, "has started")
        else:
            self._lives(False)

    def _be_ready(self, is_up: bool) -> None:
        if is_up != self.is_ready:
            self.is_ready = is_up
            self._tell(self.name, "is ready" if is_up else "is not ready")

    def _lives(self, is_up: bool) -> None:
        """A process that does not is ended; it may be started again."""
        if not is_up and self._process is not None:
            self._tell(self.name, "is unhealthy")
            with suppress(ProcessLookupError):
                self._process.terminate()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
