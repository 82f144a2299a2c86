"""Steady load on a bench, and what the service has counted meanwhile."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from tests.integration.conftest import PARTITIONS, Bench

from inferstream.kafka import KafkaSink
from inferstream.pipeline.interfaces import OutRecord
from inferstream.tasks.fraud import Transaction
from inferstream.testing import ServiceProcess
from inferstream.traffic import stream

_PATIENCE_SECONDS = 30.0
_TICK_SECONDS = 0.005
_STALL_SECONDS = 0.03


class Load:
    """Transactions at a steady rate, no two alike; and a witness of how busy the machine was meanwhile."""

    def __init__(self, bench: Bench, rate: float, change: Callable[[int, Transaction], None]) -> None:
        self._bench = bench
        self._change = change
        self._rate = rate
        self._is_over = False
        self._seconds = 0.0
        self.stalled_seconds = 0.0
        self.sent = 0

    @property
    def stalled(self) -> float:
        """Share of the time in which even this sender came late by more than `_STALL_SECONDS`.

        Where it does, the machine is not there for the service either; what the service keeps in time is less by this.
        """
        return self.stalled_seconds / max(self._seconds, 1e-9)

    async def run(self) -> None:
        """Send until told to stop; everything is acknowledged then."""
        sink = KafkaSink(self._bench.settings.kafka)
        await sink.start()
        transactions = await asyncio.to_thread(_opened, 4)
        began = woke = time.monotonic()
        while not self._is_over:
            while self.sent < (woke - began) * self._rate:
                transaction = next(transactions)
                transaction.timestamp_ms = int(time.time() * 1000)
                self._change(self.sent, transaction)
                record = OutRecord(b"", msgspec.msgpack.encode(transaction), [], transaction.timestamp_ms)
                sink.send(self._bench.pipeline.input_topic, self.sent % PARTITIONS, [record])
                self.sent += 1
            before = woke
            await asyncio.sleep(_TICK_SECONDS)
            woke = time.monotonic()
            if woke - before > _STALL_SECONDS:
                self.stalled_seconds += woke - before
        self._seconds = woke - began
        await sink.flush()
        await sink.stop()

    def stop(self) -> None:
        """No more."""
        self._is_over = True


class Counts:
    """What the service has counted so far."""

    def __init__(self, text: str) -> None:
        self._text = text

    def total(self, name: str, **labels: str) -> float:
        """Sum over a family's cells with these labels."""
        lines = re.findall(rf"^inferstream_{name}{{(.*)}} (\S+)$", self._text, re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for given, value in lines if all(label in given for label in wanted))

    @property
    def in_time(self) -> float:
        """Share of the outcomes that were acknowledged by their deadline."""
        return self.total("outcomes_in_time_total") / self.total("outcomes_total")

    def in_time_beside(self, load: Load) -> str:
        """For people: the share in time, and what the machine was like."""
        return f"in time {self.in_time:.4f} (machine stalled {load.stalled:.2f})"


async def counts(service: ServiceProcess) -> Counts:
    return Counts(await service.metrics())


class Window(NamedTuple):
    """Some seconds: what the service counted in them, and the share of them in which the machine was not there."""

    before: Counts
    after: Counts
    stalled: float = 0.0

    def total(self, name: str, **labels: str) -> float:
        """How much a family's cells with these labels grew."""
        return self.after.total(name, **labels) - self.before.total(name, **labels)


async def watched(service: ServiceProcess, load: Load, seconds: float) -> Window:
    """The next seconds."""
    before, stalled_seconds = await counts(service), load.stalled_seconds
    await asyncio.sleep(seconds)
    return Window(before, await counts(service), (load.stalled_seconds - stalled_seconds) / seconds)


def _opened(seed: int) -> Iterator[Transaction]:
    """The traffic, with what it takes to begin done."""
    transactions = (transaction for transaction, _ in stream(seed=seed))
    return itertools.chain([next(transactions)], transactions)


@asynccontextmanager
async def under_load(
    bench: Bench, rate: float, change: Callable[[int, Transaction], None] = lambda number, transaction: None
) -> AsyncIterator[Load]:
    """Steady load for the length of the block; `change` may alter the transaction of a number."""
    load = Load(bench, rate, change)
    sending = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.stop()
        await sending


async def until_scored(service: ServiceProcess, rate: float) -> float:
    """Wait until most events are scored; how long it took in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            before = await counts(service)
            await asyncio.sleep(0.4)
            window = Window(before, await counts(service))
            answered = window.total("outcomes_total")
            if answered > rate / 10 and window.total("outcomes_total", outcome="scored") > 0.6 * answered:
                return time.monotonic() - began
