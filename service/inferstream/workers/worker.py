"""The worker's side: the whole service, which tells its parent instead of the world how it is."""

import asyncio
import os
import socket
from contextlib import suppress

import structlog

from inferstream.app import App
from inferstream.errors import InferstreamError, SettingsError
from inferstream.settings import Settings
from inferstream.workers.channel import DRAIN, REPORT, Failure, Report, encode, parse_seat

log = structlog.get_logger()

_CLOSE_SECONDS = 2.0


def own_settings(settings: Settings, number: int) -> Settings:
    """What must differ between the workers of a machine: members of a group that are known by name are so by number."""
    instance = settings.kafka.group_instance_id
    if instance is None:
        return settings
    kafka = settings.kafka.model_copy(update={"group_instance_id": f"{instance}-{number}"})
    return settings.model_copy(update={"kafka": kafka})


async def run_worker(settings: Settings, option: str) -> int:
    """The service as the worker that the option names, until the parent wants it to end or is gone; the exit code."""
    seat = parse_seat(option)
    structlog.contextvars.bind_contextvars(worker=seat.number)
    line = await Line.open(seat.descriptor)
    try:
        return await App(own_settings(settings, seat.number), lambda app: WorkerFront(line, app)).run()
    except InferstreamError as error:
        line.tell(Failure(str(error)))
        return error.exit_code
    finally:
        await line.close()


class Line:
    """The worker's end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, descriptor: int) -> "Line":
        """Take over the end that the parent left open for us. Raises SettingsError if it did not."""
        try:
            os.set_inheritable(descriptor, False)  # what a task starts must not hold it open
            return cls(*await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor)))
        except (OSError, ValueError):
            raise SettingsError(f"no parent process is at descriptor {descriptor}: start it with --workers") from None

    async def asked(self) -> bytes:
        """What the parent wants next; nothing if it is gone."""
        try:
            return await self._reader.read(1)
        except ConnectionError:
            return b""

    def tell(self, said: Report | Failure) -> None:
        """Say it; lost if the parent is gone."""
        if not self._writer.is_closing():
            self._writer.write(encode(said))

    async def close(self) -> None:
        """Hang up when everything is said, or the parent does not listen."""
        self._writer.close()
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.wait_closed()


class WorkerFront:
    """Where a worker is asked for health and metrics."""

    def __init__(self, line: Line, app: App) -> None:
        self._line = line
        self._app = app
        self._answering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to answer the parent."""
        self._answering = asyncio.create_task(self._answer())

    async def stop(self) -> None:
        """Answer no more; what was counted last is told unasked. Idempotent."""
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
            self._line.tell(self._report())

    async def _answer(self) -> None:
        while asked := await self._line.asked():
            if asked == REPORT:
                self._line.tell(self._report())
            elif asked == DRAIN:
                self._app.stop()
        log.warning("parent_gone")
        self._app.stop()

    def _report(self) -> Report:
        signals = self._app.signals
        return Report(self._app.why_not_live(), self._app.why_not_ready(), signals.snapshot(), signals.misses.last())
