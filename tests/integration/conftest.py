"""A pipeline of one's own on the shared stack: topics, settings, events, service processes and the audit."""

import asyncio
import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from inferstream import local
from inferstream.events.envelope import Record
from inferstream.kafka import Admin, KafkaSink, Reader
from inferstream.operate.audit import Report, reconcile
from inferstream.operate.local import environment
from inferstream.operate.pipelines import choose
from inferstream.operate.produce import POISON
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import PipelineSettings, Settings, load
from inferstream.tasks.fraud import Transaction
from inferstream.testing import ServiceProcess
from inferstream.traffic import stream

PARTITIONS = 4
_numbers = itertools.count(1)


class Bench:
    """One pipeline on the stack, with topics nobody else uses."""

    def __init__(self, stack: local.Stack, folder: Path) -> None:
        self.stack = stack
        self._folder = folder
        self._tag = f"t{next(_numbers)}"
        prefix = "INFERSTREAM__PIPELINES__FRAUD__"
        self.environ: dict[str, str] = {
            **environment(stack.endpoints),
            f"{prefix}INPUT_TOPIC": f"{self._tag}-in",
            f"{prefix}OUTPUT_TOPIC": f"{self._tag}-out",
            f"{prefix}DEAD_LETTER_TOPIC": f"{self._tag}-dead",
            f"{prefix}GROUP": f"{self._tag}-group",
            f"{prefix}SLO_MS": "3000",  # delivery is tested here, on a machine that may be busy; not latency
            "INFERSTREAM__KAFKA__SESSION_TIMEOUT_MS": "6000",
        }

    @property
    def settings(self) -> Settings:
        return load(environ=self.environ)

    @property
    def pipeline(self) -> PipelineSettings:
        return self.settings.pipelines["fraud"]

    async def create_topics(self, **partitions: int) -> None:
        """Input, output and dead-letter topic; `output=1` gives one of them another number of partitions, 0 none."""
        topics = {
            self.pipeline.input_topic: partitions.get("input", PARTITIONS),
            self.pipeline.output_topic: partitions.get("output", PARTITIONS),
            self.pipeline.dead_letter_topic: partitions.get("dead", 2),
        }
        async with Admin(self.settings.kafka) as admin:
            await admin.create_topics({topic: count for topic, count in topics.items() if count})

    def service(self, environ: Mapping[str, str] | None = None) -> ServiceProcess:
        """A service process; several share the group."""
        number = next(_numbers)
        log = self._folder / f"service-{number}.log"
        return ServiceProcess({**self.environ, **(environ or {})}, local.free_port(), log)

    async def send(
        self, events: int, rate: float = 0, poison_every: int = 0, traceparent: bytes = b"00-1-1-00"
    ) -> None:
        """Transactions, as fast as they go or at a rate; every n-th broken. All are acknowledged in the end."""
        transactions = await asyncio.to_thread(_transactions, events)
        poison = itertools.cycle(POISON)
        sink = KafkaSink(self.settings.kafka)
        await sink.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, transaction in enumerate(transactions):
            if rate and (wait := began + number / rate - loop.time()) > 0:
                await asyncio.sleep(max(wait, 0.003))
            elif number % 50 == 0:
                await asyncio.sleep(0)
            transaction.timestamp_ms = now_ms = int(time.time() * 1000)
            is_broken = poison_every and number % poison_every == poison_every - 1
            value = next(poison) if is_broken else msgspec.msgpack.encode(transaction)
            key = transaction.card_id.encode()
            record = OutRecord(key, value, [("traceparent", traceparent)], now_ms)
            sink.send(self.pipeline.input_topic, crc32(key) % PARTITIONS, [record])
        await sink.flush()
        await sink.stop()

    async def audit(self, events: int, wait: float = 30) -> Report:
        """The audit's report as soon as it is clean over this many events, or when time is up."""
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            report = await reconcile(self.settings, choose(self.settings, "fraud"))
            if (not report.problems and report.inputs == events) or asyncio.get_running_loop().time() > deadline:
                return report
            await asyncio.sleep(0.3)

    async def records(self, topic: str) -> list[Record]:
        """Everything in a topic."""
        async with Reader(topic, self.settings.kafka) as reader:
            return [r async for records in reader.until(await reader.end_offsets()) for r in records]

    async def outcomes(self) -> list[dict[str, object]]:
        """All outcomes so far."""
        return [msgspec.msgpack.decode(r.value or b"") for r in await self.records(self.pipeline.output_topic)]


def _transactions(count: int) -> list[Transaction]:
    return [transaction for transaction, _ in itertools.islice(stream(seed=3), count)]


@pytest.fixture
def bench(stack: local.Stack, tmp_path: Path) -> Bench:
    return Bench(stack, tmp_path)
