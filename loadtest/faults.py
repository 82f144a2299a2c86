"""What goes wrong during a run, done to real processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from inferstream.local import Stack
from loadtest.errors import ScenarioError
from loadtest.instances import Instances
from loadtest.scenario import Fault


class Saboteur:
    """Does what a fault says. `triton_started` hears of the process id of a new Triton."""

    def __init__(
        self,
        stack: Stack | None,
        instances: Instances | None,
        factor_file: Path,
        triton_started: Callable[[int], None],
    ) -> None:
        self._stack = stack
        self._instances = instances
        self._factor_file = factor_file
        self._triton_started = triton_started

    async def do(self, fault: Fault) -> None:
        """Do it; returns when it is over. Raises ScenarioError for what is not ours to harm."""
        await getattr(self, f"_{fault.kind}")(fault)

    async def _pause_triton(self, fault: Fault) -> None:
        stack = self._our_stack(fault)
        stack.pause("triton")
        try:
            await asyncio.sleep(fault.for_ms / 1e3)
        finally:
            stack.resume("triton")

    async def _restart_triton(self, fault: Fault) -> None:
        stack = self._our_stack(fault)
        await asyncio.to_thread(stack.kill, "triton")
        try:
            await asyncio.sleep(fault.for_ms / 1e3)
        finally:  # also when the run is given up: others come after it
            await asyncio.to_thread(stack.start, "triton")
        self._triton_started(stack.pid("triton"))

    async def _slow_triton(self, fault: Fault) -> None:
        self._our_stack(fault)
        whole = self._factor_file.with_suffix(".new")
        whole.write_text(f"{fault.factor}")
        whole.replace(self._factor_file)
        try:
            await asyncio.sleep(fault.for_ms / 1e3)
        finally:
            self._factor_file.unlink()

    async def _rebalance(self, fault: Fault) -> None:
        instances = self._our_instances(fault)
        second = await instances.start()
        await asyncio.sleep(fault.for_ms / 1e3)
        await instances.end(second)

    async def _kill_service(self, fault: Fault) -> None:
        instances = self._our_instances(fault)
        await instances.kill()
        await asyncio.sleep(fault.for_ms / 1e3)
        await instances.start()

    async def _stall_service(self, fault: Fault) -> None:
        await self._our_instances(fault).stall(fault.for_ms / 1e3)

    def _our_stack(self, fault: Fault) -> Stack:
        if self._stack is None:
            raise ScenarioError(f"fault {fault.kind}: this Triton is not ours to harm; let the tool start one")
        return self._stack

    def _our_instances(self, fault: Fault) -> Instances:
        if self._instances is None:
            raise ScenarioError(f"fault {fault.kind}: this service is not ours to harm; let the tool start one")
        return self._instances
