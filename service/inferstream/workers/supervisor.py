"""The parent of the workers: start -> ready -> drain -> stop, and the one health port."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog

from inferstream import __version__
from inferstream.errors import Unavailable
from inferstream.settings import Settings
from inferstream.signals import Miss, Signals, Snapshot
from inferstream.telemetry import metrics
from inferstream.telemetry.otlp import exporting
from inferstream.web import Live, WebServer, told
from inferstream.workers.backoff import Backoff
from inferstream.workers.merge import merge
from inferstream.workers.slot import Slot

log = structlog.get_logger()

_SCRAPE_SECONDS = 1.0  # a worker that is slower is shown as it was
_HARD_EXIT_SECONDS = 2.0  # on top of the drain timeout, in which the workers end by themselves


async def supervise(settings: Settings, count: int, command: Sequence[str]) -> int:
    """Workers 0 to `count` - 1, each Python with `command`, until told to stop; the worst of their exit codes.

    Raises InferstreamError for what a user can mend.
    """
    return await Supervisor(settings, count, command).run()


class Supervisor:
    """Keeps the workers and answers for them. Made on the running loop, run once."""

    def __init__(self, settings: Settings, count: int, command: Sequence[str]) -> None:
        self._settings = settings
        self._drain_seconds = settings.drain_timeout_ms / 1000
        self._signals = Signals()
        self._signals.build.cell(__version__).set(1)
        self._slots = [Slot(number, command, self._signals, Backoff()) for number in range(count)]
        self._signals.ready_workers.cell().read = lambda: sum(slot.is_ready for slot in self._slots)
        self._stop = asyncio.Event()
        live = Live(settings, self._snapshot, self._missed, self.why_not_ready) if settings.web.page else None
        self.web = WebServer(settings.web, self, self._metrics, metrics.CONTENT_TYPE, live)

    def why_not_live(self) -> str | None:
        """That it answers shows that its loop turns; workers that hang are its own business, unless they defy it."""
        return next((why for slot in self._slots if (why := slot.why_not_live())), None)

    def why_not_ready(self) -> str | None:
        """Ready once every worker has been; afterwards as long as one is, the others being restarted meanwhile."""
        if self._stop.is_set():
            return "draining"
        starting = [number for number, slot in enumerate(self._slots) if not slot.was_ready]
        if starting:
            return f"starting: worker {', '.join(map(str, starting))}"
        return None if any(slot.is_ready for slot in self._slots) else "no worker is ready"

    def stop(self) -> None:
        """Drain the workers and end. A second time: end now."""
        if self._stop.is_set():
            log.warning("stopped_at_once", reason="second signal")
            self._end_now(1)
        self._stop.set()

    async def run(self) -> int:
        """Keep the workers until told to stop; the worst of their exit codes. Raises what a user can mend."""
        async with AsyncExitStack() as stack:
            await self._listen(stack)
            keeping = [asyncio.create_task(slot.keep()) for slot in self._slots]
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({*keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
                return await self._drain(keeping)
            finally:
                stopping.cancel()
                for slot in self._slots:
                    slot.kill()

    async def _listen(self, stack: AsyncExitStack) -> None:
        """The probes answer from the first moment, signals are heard."""
        await self.web.start()
        stack.push_async_callback(self.web.stop)
        await stack.enter_async_context(exporting(self._settings.telemetry.otlp, self._snapshot, self._signals))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
            stack.callback(loop.remove_signal_handler, number)

    async def _drain(self, keeping: Sequence["asyncio.Task[int]"]) -> int:
        """End all workers, also if one has ended us by an error: then that is raised when all are gone."""
        self._stop.set()
        log.info("draining_workers", workers=len(self._slots))
        hard = self._drain_seconds + _HARD_EXIT_SECONDS
        asyncio.get_running_loop().call_later(hard, self._end_now, Unavailable.exit_code)
        for slot in self._slots:
            slot.drain()
        await asyncio.wait(keeping)
        return max([task.result() for task in keeping])

    def _end_now(self, code: int) -> None:
        for slot in self._slots:
            slot.kill()
        os._exit(code)

    async def _snapshot(self) -> Snapshot:
        await asyncio.gather(*(slot.refresh(_SCRAPE_SECONDS) for slot in self._slots))
        return merge([self._signals.snapshot(), *(slot.snapshot() for slot in self._slots)])

    def _missed(self) -> list[Miss]:
        return [miss for slot in self._slots for miss in slot.missed()]

    async def _metrics(self) -> str:
        return metrics.render(told(await self._snapshot(), self._settings))
