"""Minutes without a working model server: memory stays flat, events are answered in time. `make test-slow`."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import pytest
from tests.integration.conftest import Bench, bench
from tests.integration.hostile import ModelServer, healthy, silent
from tests.integration.steady import counts, under_load, until_scored

from inferstream.tasks.fraud import FraudTask
from inferstream.testing import ServiceProcess

__all__ = ["bench"]

IS_SHORT = os.environ.get("INFERSTREAM_SHORT") == "1"
OUTAGE_SECONDS = 30 if IS_SHORT else 300
FLAPPING_SECONDS = 20 if IS_SHORT else 300
OVERLOAD_SECONDS = 15 if IS_SHORT else 60
RATE = 300 if IS_SHORT else 500
SLO_MS = 300
EMIT_RESERVE_MS = 50  # the machine may be busy: answers are ready long before the deadline
GROWTH_MIB = 8.0  # a kilobyte kept for each event would be more than this in the short form too
MAX_QUEUED = 2_000
BACKLOG = 10 * MAX_QUEUED
MOST_TAKEN = 4 * 1_024  # one take's slices, on top of what is queued

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(OUTAGE_SECONDS + FLAPPING_SECONDS + 300),
    pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True),
]


class Memory:
    """The resident memory of a process, sampled once a second."""

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/statm")
        self._page_mib = os.sysconf("SC_PAGE_SIZE") / 2**20
        self.samples_mib: list[float] = []

    async def watch(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.samples_mib.append(int(self._file.read_text().split()[1]) * self._page_mib)
            await asyncio.sleep(1)

    @property
    def growth_mib(self) -> float:
        """From the second quarter, when everything has been touched once, to the last."""
        quarter = len(self.samples_mib) // 4
        return median(self.samples_mib[-quarter:]) - median(self.samples_mib[quarter : 2 * quarter])

    def __str__(self) -> str:
        quarter = len(self.samples_mib) // 4
        quarters = [f"{median(self.samples_mib[n * quarter : (n + 1) * quarter]):.1f}" for n in range(4)]
        return f"RSS MiB by quarter {', '.join(quarters)}"


def use(bench: Bench, server: ModelServer, **settings: object) -> None:
    bench.environ["INFERSTREAM__TRITON__URL"] = server.url
    for name, value in {"SLO_MS": SLO_MS, "EMIT_RESERVE_MS": EMIT_RESERVE_MS, **settings}.items():
        bench.environ[f"INFERSTREAM__PIPELINES__FRAUD__{name}"] = str(value)


async def _absent(server: ModelServer) -> None:
    await server.down()


async def _frozen(server: ModelServer) -> None:
    server.is_frozen = True


async def _mute(server: ModelServer) -> None:
    server.behaviour = silent


OUTAGES: dict[str, Callable[[ModelServer], Awaitable[None]]] = {"absent": _absent, "frozen": _frozen, "mute": _mute}


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_of_minutes_costs_neither_memory_nor_deadlines(bench: Bench, name: str) -> None:
    await bench.create_topics()
    async with ModelServer(FraudTask()) as server:
        use(bench, server)
        async with bench.service() as service:
            async with under_load(bench, RATE) as load:
                await until_scored(service, RATE)
                before = await counts(service)
                await OUTAGES[name](server)
                memory = Memory(service.process.pid)
                await memory.watch(OUTAGE_SECONDS)
                during = await counts(service)
                server.is_frozen, server.behaviour = False, healthy()
                await server.up()
                recovery = await until_scored(service, RATE)
            report = await bench.audit(load.sent, wait=120)
            after = await counts(service)
            assert await service.terminate() == 0
    print(f"{name}: {memory}, {after.in_time_beside(load)}, recovery {recovery:.1f} s, {report.outcomes}")  # noqa: T201
    assert report.problems == {}
    assert report.repeats == 0
    assert report.outcomes["fallback"] > 0.8 * RATE * OUTAGE_SECONDS
    assert after.in_time >= 0.98 - load.stalled
    assert memory.growth_mib < GROWTH_MIB
    assert during.total("rebalances_total") == before.total("rebalances_total") > 0


async def test_minutes_of_flapping_multiply_no_calls(bench: Bench) -> None:
    await bench.create_topics()
    async with ModelServer(FraudTask()) as server:
        use(bench, server)
        async with bench.service() as service:
            memory = Memory(service.process.pid)
            async with under_load(bench, RATE) as load:
                await until_scored(service, RATE)
                await asyncio.gather(server.flap(FLAPPING_SECONDS), memory.watch(FLAPPING_SECONDS))
                recovery = await until_scored(service, RATE)
            report = await bench.audit(load.sent, wait=120)
            after = await counts(service)
    print(  # noqa: T201
        f"flapping: {memory}, {after.in_time_beside(load)}, {len(server.calls)} calls, x{server.amplification:.3f}, "
        f"recovery {recovery:.1f} s, {report.outcomes}"
    )
    assert report.problems == {}
    assert after.in_time >= 0.98 - load.stalled
    assert server.amplification <= 1.10
    assert memory.growth_mib < GROWTH_MIB


async def test_a_flood_on_a_model_that_never_answers_is_held_outside(bench: Bench) -> None:
    """Far more comes in than can be answered: it waits in Kafka, not in memory."""
    await bench.create_topics()
    async with ModelServer(FraudTask()) as server:
        server.behaviour = silent
        use(bench, server, SLO_MS=5_000, BATCHING__MAX_QUEUED=MAX_QUEUED)
        await bench.send(BACKLOG)
        async with bench.service() as service:
            is_over = asyncio.Event()
            flood = asyncio.create_task(_flood(bench, is_over))
            await _until_answered(service, BACKLOG + MAX_QUEUED)  # a full queue has gone to the student at once
            memory = Memory(service.process.pid)
            watching = asyncio.create_task(memory.watch(OVERLOAD_SECONDS))
            unsettled = await _most_unsettled(service, watching)
            is_over.set()
            sent = BACKLOG + await flood
            report = await bench.audit(sent, wait=180)
            after = await counts(service)
    print(f"flood of {sent}: {memory}, most unsettled {unsettled:.0f}, {report.outcomes}")  # noqa: T201
    assert report.problems == {}
    assert report.inputs == sent
    assert MAX_QUEUED / 2 < unsettled <= MAX_QUEUED + MOST_TAKEN
    assert memory.growth_mib < GROWTH_MIB
    assert after.total("outcomes_total", outcome="scored") == 0


async def _flood(bench: Bench, is_over: asyncio.Event) -> int:
    """As many events as the producer can make; how many."""
    sent = 0
    while not is_over.is_set():
        await bench.send(5_000)
        sent += 5_000
    return sent


async def _until_answered(service: ServiceProcess, events: int) -> None:
    while (await counts(service)).total("outcomes_total") < events:  # noqa: ASYNC110 - another process counts
        await asyncio.sleep(0.1)


async def _most_unsettled(service: ServiceProcess, watching: "asyncio.Task[None]") -> float:
    most = 0.0
    while not watching.done():
        most = max(most, (await counts(service)).total("unsettled_events"))
        await asyncio.sleep(0.1)
    return most
