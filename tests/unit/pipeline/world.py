"""A pipeline on a fake broker with fake models, in real time: for tests of order and acknowledgement."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from inferstream.pipeline.interfaces import OutRecord
from inferstream.pipeline.observe.traces import Tracing
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.settings import PipelineSettings
from inferstream.signals import Signals
from inferstream.tasks import Task
from inferstream.testing import FakeBroker, FakeModel, FakeSink, FakeSource, FakeTransactions, MeanTask

GROUP = "g"
encode = msgspec.msgpack.encode


class Clock:
    """Real time: these tests are about order and acknowledgement, not about instants."""

    def monotonic(self) -> float:
        return time.monotonic()

    def unix_ms(self) -> float:
        return time.time() * 1000


class World:
    """A pipeline on a fake broker and a fake model."""

    def __init__(self, task: Task | None = None, partitions: int = 2, **settings: Any) -> None:
        self.task = task or MeanTask()
        self.broker = FakeBroker({"in": partitions, "out": partitions, "dead": 1})
        self.model = FakeModel(self.task)
        self.settings = PipelineSettings(**{"slo_ms": 5_000, **settings})
        self.signals = Signals()
        self.sink = FakeSink(self.broker)
        self.tracing: Tracing | None = None

    def pipeline(self, student: FakeModel | None = None, commit_interval: float = 0.01) -> Pipeline:
        """Another member of the group."""
        route = Route("p", "mean", GROUP, "in", "out", "dead", 1)
        source = FakeSource(self.broker, "in", GROUP)
        exactly_once = self.settings.delivery == "exactly_once"
        transactions = FakeTransactions(self.broker, "in", GROUP) if exactly_once else None
        ports = Ports(
            source,
            self.sink,
            [self.model],
            student,
            Clock(),
            self.signals,
            transactions=transactions,
            tracing=self.tracing,
        )
        return Pipeline(route, self.task, self.settings, Timing(commit_interval, 1.0, 0.05), ports)

    def write(
        self,
        value: bytes | None,
        partition: int = 0,
        *headers: tuple[str, bytes],
        age_ms: int = 0,
        key: bytes | None = b"key",
    ) -> None:
        """An event comes in."""
        timestamp = int(time.time() * 1000) - age_ms
        self.broker.append("in", partition, OutRecord(key, value, list(headers), timestamp))

    def write_readings(self, count: int, partition: int = 0) -> None:
        """Good events, told apart by their id."""
        for i in range(count):
            self.write(encode({"id": f"r{partition}-{i}", "values": [float(i), 1.0, 2.0]}), partition)

    def outcomes(self) -> list[dict[str, Any]]:
        """What was written to the output topic, partition by partition."""
        return [msgspec.msgpack.decode(r.value) for r in self.broker.records("out") if r.value is not None]

    def committed(self, partition: int = 0) -> int:
        """The offset the group would go on at."""
        return self.broker.committed[GROUP].get(("in", partition), 0)

    async def until(self, is_true: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(timeout):
            while not is_true():  # noqa: ASYNC110 - the fakes have no event for everything a test may wait for
                await asyncio.sleep(0.002)


@asynccontextmanager
async def running(*pipelines: Pipeline) -> AsyncIterator[None]:
    """Pipelines at work; drained at the end."""
    tasks = [asyncio.create_task(pipeline.run()) for pipeline in pipelines]
    try:
        yield
    finally:
        for pipeline in pipelines:
            await pipeline.drain(2.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ids(outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of outcomes."""
    return [outcome["id"] for outcome in outcomes]
