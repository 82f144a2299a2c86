"""The place of one worker: keeps a process in it, and what those before it counted."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from inferstream.errors import ContractMismatch, InferstreamError, SettingsError
from inferstream.signals import Miss, Signals, Snapshot
from inferstream.workers.backoff import Backoff
from inferstream.workers.merge import lasting, succeeding
from inferstream.workers.process import WorkerProcess

log = structlog.get_logger()

_POLL_SECONDS = 0.5
_ANSWER_SECONDS = 2.0
_STUCK_SECONDS = 10.0  # as long as a service of one process may hang before its liveness probe fails
_START_SECONDS = 60.0  # until the first answer: interpreters that start together on few cores take their time
_MENDABLE: dict[int, type[InferstreamError]] = {error.exit_code: error for error in (SettingsError, ContractMismatch)}
"""Exit codes that a new start would only repeat."""


class _End(NamedTuple):
    """How a process ended."""

    code: int
    reason: str
    ready_seconds: float = 0.0
    was_stuck: bool = False


class Slot:
    """Worker `number`: started, watched, killed when it hangs, started again. Run once."""

    def __init__(self, number: int, command: Sequence[str], signals: Signals, backoff: Backoff) -> None:
        self._number = number
        self._command = command
        self._restarts = signals.worker_restarts
        self._backoff = backoff
        self._stopping = asyncio.Event()
        self._process: WorkerProcess | None = None
        self._is_well = False
        self._retired: Snapshot = ()
        self.was_ready = False
        """Whether a worker has been ready here, this one or one before it."""

    @property
    def is_ready(self) -> bool:
        """Whether the worker answers and is ready."""
        report = self._process.report if self._process else None
        return self._is_well and report is not None and report.not_ready is None

    def why_not_live(self) -> str | None:
        """A worker that hangs is killed; only if that does not help it is more than the parent can do."""
        process = self._process
        if process is None or process.killed_at is None or time.monotonic() - process.killed_at < _STUCK_SECONDS:
            return None
        return f"worker {self._number} was killed and does not end"

    async def keep(self) -> int:
        """Have a worker here until told to drain; the exit code of the last one.

        Raises SettingsError or ContractMismatch if it ended for that; without a message if it told the user itself.
        """
        while True:
            end = await self._run_one()
            told = log.bind(worker=self._number, exit_code=end.code, reason=end.reason)
            if self._stopping.is_set():
                told.info("worker_ended")
                return end.code
            if end.code in _MENDABLE:
                raise _MENDABLE[end.code](end.reason)
            delay = self._backoff.delay(end.ready_seconds)
            told.warning("worker_ended", again_in_seconds=round(delay, 1))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
                return 0
            self._restarts.cell("stuck" if end.was_stuck else "ended").add()

    def drain(self) -> None:
        """Let the worker drain and start none any more."""
        self._stopping.set()
        if self._process is not None:
            self._process.drain()

    def kill(self) -> None:
        """End the worker at once."""
        if self._process is not None:
            self._process.kill()

    async def refresh(self, timeout_seconds: float) -> None:
        """Have the worker's newest report; the last one stays if none comes in time."""
        if self._process is not None and self._process.report is not None:
            await self._process.ask(timeout_seconds)

    def snapshot(self) -> Snapshot:
        """What the worker counts and what those before it have counted."""
        report = self._process.report if self._process else None
        return self._retired if report is None else succeeding(self._retired, report.snapshot)

    def missed(self) -> Sequence[Miss]:
        """The worker's last events that were not scored in time."""
        return () if self._process is None or self._process.report is None else self._process.report.missed

    async def _run_one(self) -> _End:
        """One process from start to end."""
        try:
            process = self._process = await WorkerProcess.start(self._number, self._command)
        except OSError as error:
            return _End(1, f"cannot be started: {error.strerror}")
        log.info("worker_started", worker=self._number, pid=process.pid)
        if self._stopping.is_set():
            process.drain()
        watching = asyncio.create_task(self._watch(process))
        code = await process.wait()
        watching.cancel()
        self._retire(process)
        ready_seconds = time.monotonic() - process.ready_at if process.ready_at else 0.0
        return _End(code, process.failure, ready_seconds, process.killed_at is not None)

    async def _watch(self, process: WorkerProcess) -> None:
        """Kill it when it hangs. A pause of our own is not held against it: one round counts for its length at most."""
        unwell = 0.0
        while unwell < (_STUCK_SECONDS if process.report else _START_SECONDS):
            began = time.monotonic()
            self._is_well = await process.ask(_ANSWER_SECONDS)
            self.was_ready = self.was_ready or process.ready_at is not None
            await asyncio.sleep(_POLL_SECONDS)
            round_seconds = min(time.monotonic() - began, _ANSWER_SECONDS + _POLL_SECONDS)
            unwell = 0.0 if self._is_well else unwell + round_seconds
        log.error("worker_stuck", worker=self._number, pid=process.pid, seconds=round(unwell))
        process.kill()

    def _retire(self, process: WorkerProcess) -> None:
        """Keep what it counted: the sum must never go back."""
        self._process, self._is_well = None, False
        if process.report is not None:
            self._retired = lasting(succeeding(self._retired, process.report.snapshot))
