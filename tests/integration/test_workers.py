"""`run` with several workers, as a process on a real broker: one health port, one stream of outcomes, no loose ends."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse  # type: ignore[import-untyped,unused-ignore]
from tests.integration.conftest import PARTITIONS, Bench

from inferstream.testing import ServiceProcess

pytestmark = pytest.mark.timeout(240)

# The embedded broker waits for a member that is gone for ever.
needs_real_groups = pytest.mark.parametrize(
    "stack", [pytest.param("apache", marks=[pytest.mark.integration, pytest.mark.apache])], indirect=True
)


def workers_of(service: ServiceProcess) -> dict[int, int]:
    """Worker to the number of its newest process, as the parent's log tells."""
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    return {said["worker"]: said["pid"] for said in lines if said["event"] == "worker_started"}


def is_running(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    return False


async def samples(service: ServiceProcess) -> dict[tuple[str, str], float]:
    """Every value of the metrics by name and labels."""
    families = parse(await service.metrics())  # type: ignore[no-untyped-call]
    return {(s.name, str(sorted(s.labels.items()))): float(s.value) for family in families for s in family.samples}


async def figure(service: ServiceProcess, sample: str) -> float:
    """Sum of a sample of the metrics over its labels."""
    return sum(value for (name, _), value in (await samples(service)).items() if name == sample)


def went_back(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float]) -> list[str]:
    """Counters and buckets that are smaller than they were, or gone."""
    growing = ("_total", "_bucket", "_count", "_sum")
    return [f"{key}" for key, value in before.items() if key[0].endswith(growing) and after.get(key, -1) < value]


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def until_shared(service: ServiceProcess) -> None:
    """Wait until the group has settled: every partition has one owner, and stays with it."""
    settled = 0
    async with asyncio.timeout(90):
        while settled < 5:
            await asyncio.sleep(0.3)
            owned = await figure(service, "inferstream_assigned_partitions")
            settled = settled + 1 if owned == PARTITIONS else 0


async def until_ready_workers(service: ServiceProcess, count: int) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while await figure(service, "inferstream_ready_workers") != count:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.2)


def two_workers(bench: Bench) -> ServiceProcess:
    # The embedded broker holds a join for as long as a rebalance may take.
    return bench.service({"INFERSTREAM__WORKERS": "2", "INFERSTREAM__KAFKA__REBALANCE_TIMEOUT_MS": "10000"})


async def answered(bench: Bench) -> Counter[int]:
    """Outcomes so far by partition."""
    return Counter(r.partition for r in await bench.records(bench.pipeline.output_topic))


async def until_answered(bench: Bench, before: Counter[int], partitions: int) -> Counter[int]:
    """New outcomes by partition, a moment after so many partitions have some."""
    deadline = asyncio.get_running_loop().time() + 5
    while len(new := await answered(bench) - before) < partitions:
        assert asyncio.get_running_loop().time() < deadline, new
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    return await answered(bench) - before


async def test_two_workers_share_the_partitions_and_their_metrics_add_up(bench: Bench) -> None:
    await bench.create_topics()
    async with two_workers(bench) as service:
        await until_shared(service)
        await bench.send(1_000, rate=1_000, poison_every=100)
        assert (await bench.audit(1_000)).problems == {}
        # Also the last look at a worker before it is stopped: from then on its figures stand for it.
        assert await figure(service, "inferstream_outcomes_total") == 1_000
        before = await answered(bench)
        assert set(before) == set(range(PARTITIONS))
        # Whose partitions are whose shows when one of them stands still.
        pid = workers_of(service)[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            await bench.send(400)
            others = await until_answered(bench, before, PARTITIONS // 2)
            assert await service.status("livez") == await service.status("readyz") == 200
            assert await figure(service, "inferstream_outcomes_total") >= 1_000 + sum(others.values())
        finally:
            os.kill(pid, signal.SIGCONT)
        assert len(others) == PARTITIONS // 2
        assert (await bench.audit(1_400)).problems == {}
        assert await figure(service, "inferstream_outcomes_total") == 1_400
        assert await figure(service, "inferstream_records_total") == 1_400
        assert await figure(service, "inferstream_latency_seconds_count") == 1_400
        assert await figure(service, "inferstream_build_info") == 1
        await until_ready_workers(service, 2)
        assert await service.terminate() == 0
    assert not any(map(is_running, workers_of(service).values()))


async def test_each_line_of_a_worker_says_which_one_it_is(bench: Bench) -> None:
    await bench.create_topics()
    async with two_workers(bench) as service:
        assert await service.terminate() == 0
    ready = [json.loads(line) for line in service.log.splitlines() if '"event": "ready"' in line]
    assert sorted(line["worker"] for line in ready) == [0, 1]
    assert service.log.count('"event": "listening"') == 1


@needs_real_groups
async def test_a_worker_killed_under_load_is_restarted_and_nothing_is_lost_or_uncounted(bench: Bench) -> None:
    await bench.create_topics()
    async with two_workers(bench) as service:
        await until_shared(service)
        sending = asyncio.create_task(bench.send(8_000, rate=800))
        seen = await samples(service)
        for number in (0, 1):
            await asyncio.sleep(2)
            killed = workers_of(service)[number]
            os.kill(killed, signal.SIGKILL)
            for _ in range(20):
                before, seen = seen, await samples(service)
                assert went_back(before, seen) == []
                assert await service.status("livez") == 200
                await asyncio.sleep(0.1)
            await until(lambda killed=killed, number=number: workers_of(service)[number] != killed)  # type: ignore[misc]
            await until_ready_workers(service, 2)
        await sending
        assert (await bench.audit(8_000, wait=60)).problems == {}
        assert went_back(seen, await samples(service)) == []
        # Less only by what was counted after the last look at a worker that was killed.
        assert await figure(service, "inferstream_outcomes_total") >= 7_000
        assert await figure(service, "inferstream_worker_restarts_total") == 2
        assert await service.terminate() == 0


@needs_real_groups
async def test_a_worker_that_hangs_is_killed_and_restarted_while_the_other_goes_on(bench: Bench) -> None:
    await bench.create_topics()
    async with two_workers(bench) as service:
        await until_shared(service)
        hung = workers_of(service)[1]
        os.kill(hung, signal.SIGSTOP)
        await bench.send(500, rate=250)
        await until(lambda: workers_of(service)[1] != hung)
        assert not is_running(hung)
        assert await service.status("livez") == await service.status("readyz") == 200
        await until_ready_workers(service, 2)
        assert (await bench.audit(500, wait=60)).problems == {}
        assert 'inferstream_worker_restarts_total{why="stuck"} 1' in await service.metrics()
        assert await service.terminate() == 0


@needs_real_groups
async def test_workers_whose_parent_is_killed_drain_and_end_by_themselves(bench: Bench) -> None:
    await bench.create_topics()
    async with two_workers(bench) as service:
        await until_shared(service)
        sending = asyncio.create_task(bench.send(4_000, rate=1_000))
        pids = workers_of(service).values()
        assert all(map(is_running, pids))
        await asyncio.sleep(0.5)
        await service.kill()
        try:
            await until(lambda: not any(map(is_running, pids)))
        finally:
            for pid in filter(is_running, pids):
                os.kill(pid, signal.SIGKILL)
    assert service.log.count('"event": "drained"') == 2
    async with bench.service():
        await sending
        report = await bench.audit(4_000)
    assert report.problems == {}
    assert report.repeats == 0


@needs_real_groups
async def test_a_signal_to_all_of_them_is_one_wish_to_drain(bench: Bench) -> None:
    """As systemd and terminals send it."""
    await bench.create_topics()
    async with two_workers(bench) as service:
        await until_shared(service)
        sending = asyncio.create_task(bench.send(2_000, rate=1_000))
        await asyncio.sleep(0.5)
        for pid in workers_of(service).values():
            os.kill(pid, signal.SIGTERM)
        assert await service.terminate() == 0
        assert service.log.count('"event": "drained"') == 2
    async with bench.service():
        await sending
        report = await bench.audit(2_000)
    assert report.problems == {}
    assert report.repeats == 0


@needs_real_groups
async def test_a_worker_that_was_told_to_end_drains_and_is_replaced(bench: Bench) -> None:
    await bench.create_topics()
    async with two_workers(bench) as service:
        await until_shared(service)
        sending = asyncio.create_task(bench.send(4_000, rate=1_000))
        await asyncio.sleep(1)
        ended = workers_of(service)[1]
        os.kill(ended, signal.SIGTERM)
        await until(lambda: workers_of(service)[1] != ended)
        await until_ready_workers(service, 2)
        await sending
        report = await bench.audit(4_000)
        assert report.problems == {}
        assert report.repeats == 0
        assert await figure(service, "inferstream_outcomes_total") == 4_000
        assert await service.terminate() == 0


async def test_a_second_sigterm_ends_all_at_once(bench: Bench) -> None:
    await bench.create_topics()
    async with two_workers(bench) as service:
        pids = workers_of(service)
        os.kill(pids[0], signal.SIGSTOP)  # it will not drain
        service.process.send_signal(signal.SIGTERM)
        await until(lambda: not is_running(pids[1]))
        assert service.process.returncode is None
        assert await service.status("readyz") == 503
        assert await service.terminate() == 1
        await until(lambda: not is_running(pids[0]))


async def test_what_a_user_can_mend_ends_all_workers_with_one_line(bench: Bench) -> None:
    await bench.create_topics(dead=0)
    service = two_workers(bench)
    await service.start()
    assert await asyncio.wait_for(service.process.wait(), 60) == 3
    errors = [line for line in service.log.splitlines() if line.startswith("inferstream: error: ")]
    assert len(errors) == 1
    assert f"dead letter topic '{bench.pipeline.dead_letter_topic}' of pipeline 'fraud' does not exist" in errors[0]
    assert "Traceback" not in service.log
    assert not any(map(is_running, workers_of(service).values()))
