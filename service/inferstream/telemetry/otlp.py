"""Metrics by OTLP to a collector, from the same snapshot as `/metrics`. Beside the service: it never waits for this.

A thread of its own makes, encodes and sends a few points at a time, so that it never holds the interpreter for long.
One snapshot is under way and one waits at most; where the collector is slow, the older one is given up for the newer.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import structlog

from inferstream.settings import OtlpSettings
from inferstream.signals import Signals, Snapshot

log = structlog.get_logger()

_END_SECONDS = 0.7  # what is told last may take so long
_POINTS = 16  # at a time: a millisecond or two of work
_PAUSE_SECONDS = 0.001  # between two portions, for the event loop


class Sender(Protocol):
    """Called on the thread."""

    def send(self, snapshot: Snapshot) -> bool:
        """Whether the collector took all of it. Blocks."""

    def close(self) -> None:
        """Give up what is under way. From another thread."""


@asynccontextmanager
async def exporting(
    settings: OtlpSettings, snapshot: Callable[[], Awaitable[Snapshot]], signals: Signals
) -> AsyncIterator[None]:
    """Send what `snapshot` gives at an interval, and once more at the end; nothing without an endpoint."""
    if settings.endpoint is None:
        yield
        return
    sender = OtlpSender(settings.endpoint, settings.timeout_ms / 1000)
    export = Export(sender, snapshot, settings.interval_ms / 1000, signals)
    running = asyncio.create_task(export.run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await export.stop()


class Export:
    """Hands a snapshot over at an interval and counts what became of it. Made on the running loop, run once."""

    def __init__(
        self, sender: Sender, snapshot: Callable[[], Awaitable[Snapshot]], interval: float, signals: Signals
    ) -> None:
        self._sender = sender
        self._snapshot = snapshot
        self._interval = interval
        self._waiting: queue.Queue[Snapshot | None] = queue.Queue(maxsize=1)
        self._sent, self._failed, self._dropped = (
            signals.otlp_exports.cell(result) for result in ("sent", "failed", "dropped")
        )
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._works = True
        threading.Thread(target=self._send_all, name="otlp", daemon=True).start()

    async def run(self) -> None:
        """Hand over now and then, for ever."""
        while True:
            await asyncio.sleep(self._interval)
            self._hand_over(await self._snapshot())

    async def stop(self) -> None:
        """Send what is known now, unless that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                self._hand_over(await self._snapshot())
                while self._waiting.full():  # noqa: ASYNC110 - a thread takes it
                    await asyncio.sleep(0.01)
                self._hand_over(None)
                await self._ended.wait()
        if not self._ended.is_set():
            log.warning("otlp_given_up")
            self._hand_over(None)
        self._sender.close()

    def _hand_over(self, snapshot: Snapshot | None) -> None:
        """The newer one counts: it holds all that the older one says."""
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
                self._dropped.add()
        self._waiting.put_nowait(snapshot)

    def _send_all(self) -> None:
        while (snapshot := self._waiting.get()) is not None:
            works = self._sender.send(snapshot)
            (self._sent if works else self._failed).add()
            if works is not self._works:
                self._works = works
                (log.info if works else log.warning)("otlp_works" if works else "otlp_fails")
        with suppress(RuntimeError):  # the loop has ended without us
            self._loop.call_soon_threadsafe(self._ended.set)


class OtlpSender:
    """OpenTelemetry's exporter, fed with our own points: none of its instruments is on the data path."""

    def __init__(self, endpoint: str, timeout: float) -> None:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        from inferstream.telemetry import otlp_data

        logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)  # each try; we say it once
        self._exporter = OTLPMetricExporter(endpoint, timeout=timeout)
        self._data = otlp_data
        self._resource = otlp_data.resource()
        self._began_ns = time.time_ns()

    def send(self, snapshot: Snapshot) -> bool:
        """See `Sender`. The first portion that fails ends it: the next snapshot holds all of it."""
        now_ns = time.time_ns()
        for part in self._data.parts(snapshot, self._resource, self._began_ns, now_ns, _POINTS):
            try:
                result = self._exporter.export(part)
            except Exception:  # the exporter's own, when it is closed meanwhile
                return False
            if result.name != "SUCCESS":
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def close(self) -> None:
        """See `Sender`."""
        self._exporter.shutdown()
