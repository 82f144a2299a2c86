"""The parent's side of one child process: asks it, ends it, hears what it says."""

import asyncio
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import structlog

from inferstream.workers.channel import DRAIN, REPORT, Failure, Report, Seat, receive

log = structlog.get_logger()

_LAST_WORDS_SECONDS = 1.0


class WorkerProcess:
    """A child process that runs the service, from its start to its end."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._answer: asyncio.Future[None] | None = None
        self._reading = asyncio.create_task(self._read())
        self.report: Report | None = None
        """What it said last of itself."""
        self.failure = ""
        """Why it ended, if it could say."""
        self.ready_at: float | None = None
        """When it said for the first time that it is ready, monotonic seconds."""
        self.killed_at: float | None = None
        """When it was killed, monotonic seconds."""

    @classmethod
    async def start(cls, number: int, command: Sequence[str]) -> "WorkerProcess":
        """Run Python with `command` and what makes it a worker. Raises OSError.

        In a session of its own: ctrl-C is for the parent, which then lets the workers drain.
        """
        ours, theirs = socket.socketpair()
        try:
            seat = Seat(number, theirs.fileno())
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, *seat.arguments(), stdin=DEVNULL, pass_fds=[seat.descriptor],
                start_new_session=True,
            )  # fmt: skip
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, *await asyncio.open_unix_connection(sock=ours))

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    async def ask(self, timeout_seconds: float) -> bool:
        """Ask for a report; False if it does not come in time or says that the worker is not live.

        A question that is still open is not put again, so that nothing piles up before a worker that hangs.
        """
        if self._answer is None or self._answer.done():
            if self._reading.done():
                return False
            self._answer = asyncio.get_running_loop().create_future()
            self._writer.write(REPORT)
        answer = self._answer
        await asyncio.wait({answer}, timeout=timeout_seconds)
        return answer.done() and not self._reading.done() and self.report is not None and not self.report.not_live

    def drain(self) -> None:
        """Let it answer what it took, and end."""
        if not self._writer.is_closing():
            self._writer.write(DRAIN)

    def kill(self) -> None:
        """End it at once. Idempotent."""
        if self._process.returncode is None:
            self.killed_at = self.killed_at or time.monotonic()
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait until it has ended and everything it said is heard; its exit code, 128 and the signal if by one."""
        code = await self._process.wait()
        await asyncio.wait({self._reading}, timeout=_LAST_WORDS_SECONDS)
        self._reading.cancel()
        self._writer.close()
        return code if code >= 0 else 128 - code

    async def _read(self) -> None:
        try:
            while True:
                self._heard(await receive(self._reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except msgspec.DecodeError as error:
            self.failure = f"it is of another version than its parent ({error}); start inferstream anew"
            self.kill()
        finally:
            self._answered()

    def _heard(self, said: Report | Failure) -> None:
        if isinstance(said, Failure):
            self.failure = said.message
            return
        self.report = said
        if said.not_ready is None and self.ready_at is None:
            self.ready_at = time.monotonic()
        self._answered()

    def _answered(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)
