"""The load tool measures what is there: nothing hidden, nothing lost, and no figures when it cannot."""

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from hdrh.histogram import HdrHistogram
from loadtest import account, collector, contestants, topics
from loadtest.bench import YOURS, Bench
from loadtest.contestants import Job
from loadtest.errors import ContestantUnavailable, LoadTestError, ScenarioError
from loadtest.events import LOAD_ID, load_id
from loadtest.place import Topics
from loadtest.processes import ROOT, Child, environment
from loadtest.scenario import Scenario, parse

from inferstream import local

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

UNHURRIED_MS = 3_000  # the books are tested here, on a machine that may be busy; not latency


def scenario(**changes: Any) -> Scenario:
    base = {
        "name": "short",
        "slo_ms": UNHURRIED_MS,
        "arrivals": {"kind": "poisson", "rate": 300},
        "seconds": 3,
        "warm_up_s": 1,
    }
    return parse(base | changes, "test")


def _bench(kafka: str, folder: Path) -> Iterator[Bench]:
    bench = Bench(kafka, folder=folder)
    asyncio.run(bench.__aenter__())
    yield bench
    asyncio.run(bench.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from _bench("embedded", tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def apache_bench(apache_available: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from _bench("apache", tmp_path_factory.mktemp("bench-apache"))


def _is_whole(run: dict[str, Any], least: int) -> None:
    assert run["sent"] == sum(run["counts"].values()) >= least
    assert (run["counts"]["lost"], run["duplicates"], run["phantoms"]) == (0, 0, 0)
    assert sum(row["sent"] for row in run["per_second"]) == run["sent"]
    assert run["append_clock"] == "broker"


async def test_a_short_run_accounts_for_every_event(bench: Bench) -> None:
    run = await bench.run("service", scenario(seconds=5))
    _is_whole(run, least=1_300)
    assert run["counts"]["in_time"] > 0
    assert 0 < run["append_ms"]["p50"] <= run["append_ms"]["p99"] <= run["append_ms"]["max"]
    assert abs(run["receipt_ms"]["p50"] - run["append_ms"]["p50"]) < 100
    assert {"contestant", "triton", "kafka", "generator", "collector"} <= run["cpu_us_per_event"].keys()
    assert run["cpu_us_per_event"]["contestant"] > 0


async def test_a_run_with_traces_sends_them_to_a_collector_of_the_tools(bench: Bench) -> None:
    run = await bench.run("service", scenario(seconds=2, traces=1.0))
    _is_whole(run, least=500)
    traces = (bench.place.folder.parent / "traces.jsonl").read_text()
    assert traces.count('"kind": "consumer"') > 100


@pytest.mark.apache
async def test_a_short_run_on_apache_kafka_accounts_for_every_event(apache_bench: Bench) -> None:
    _is_whole(await apache_bench.run("service", scenario(model="paced")), least=700)
    _is_whole(await apache_bench.run("passthrough", scenario()), least=700)


@pytest.mark.apache
async def test_a_group_is_rebalanced_and_a_member_killed(apache_bench: Bench) -> None:
    """Not on the embedded broker: there a second member never gets in, and a dead one never out."""
    faults = [{"at_s": 1, "kind": "rebalance", "for_ms": 500}, {"at_s": 5, "kind": "kill_service", "for_ms": 100}]
    environ = {"INFERSTREAM__KAFKA__SESSION_TIMEOUT_MS": "6000"}
    run = await apache_bench.run("service", scenario(seconds=8, faults=faults, environ=environ))
    assert run["sent"] == sum(run["counts"].values()) >= 2_000
    assert run["counts"]["lost"] == 0
    assert [event["what"] for event in run["events"]] == [
        "a second member of the group for 500 ms",
        "contestant killed, started again after 100 ms",
        "contestant ready again",
    ]


@pytest.mark.slow
async def test_planted_stalls_show_as_themselves(bench: Bench) -> None:
    """Events that were to be sent during a stall waited for its end, all of them: none is omitted. These are lower
    bounds, which hold on a busy machine too; the same run without stalls shows that the stalls are what is seen."""
    faults = [{"at_s": 0.5 + 0.5 * number, "kind": "stall_service", "for_ms": 100} for number in range(6)]
    steady = scenario(arrivals={"kind": "constant", "rate": 400}, seconds=4)
    quiet = await bench.run("service", steady)
    run = await bench.run("service", steady.variant(faults=faults))
    assert [event["what"] for event in run["events"]] == ["contestant stopped for 100 ms"] * 6
    assert run["append_ms"]["p99_9"] >= 90
    assert _over_ms(run, 50) >= 6 * 0.05 * 400 * 0.9
    assert run["append_ms"]["p99"] > quiet["append_ms"]["p50"] + 50


def _over_ms(run: dict[str, Any], limit_ms: int) -> int:
    """How many outcomes came later than this."""
    waited = HdrHistogram.decode(run["receipt_histogram"])
    return sum(item.count_added_in_this_iter_step for item in waited if item.value_iterated_to > 1_000 * limit_ms)


@pytest.mark.slow
async def test_every_event_is_judged_by_its_slo_class(bench: Bench) -> None:
    """Nobody can make 1 ms, and there is always time for the others; the books of both balance."""
    classes = {"hasty": {"slo_ms": 1, "share": 0.3}, "idle": {"slo_ms": 60_000, "share": 0.2}}
    run = await bench.run("service", scenario(classes=classes))
    _is_whole(run, least=700)
    found = run["classes"]
    assert sum(one["sent"] for one in found.values()) == run["sent"]
    assert 0.2 < found["hasty"]["sent"] / run["sent"] < 0.4
    assert found["hasty"]["in_time"] < 0.5 * found["hasty"]["sent"]
    assert found["idle"]["in_time"] == found["idle"]["sent"]
    assert run["counts"]["expired"] + run["counts"]["fallback"] > 0


@pytest.mark.slow
async def test_several_instances_need_a_broker_with_room_for_them(bench: Bench) -> None:
    with pytest.raises(ScenarioError, match="needs --kafka apache"):
        await bench.run("service", scenario(instances=2))


@pytest.mark.apache
async def test_instances_of_a_group_share_the_work(apache_bench: Bench) -> None:
    run = await apache_bench.run("service", scenario(instances=2, seconds=4))
    assert run["sent"] == sum(run["counts"].values()) >= 1_000
    assert run["counts"]["lost"] == 0
    assert run["instances"] == 2


@pytest.mark.slow
async def test_after_triton_was_killed_the_next_score_is_timed(bench: Bench) -> None:
    fault = {"at_s": 0.5, "kind": "restart_triton", "for_ms": 500}
    run = await bench.run("service", scenario(model="paced", seconds=25, faults=[fault]))
    killed, ready = run["events"]
    assert killed["what"].startswith("triton killed")
    assert ready["what"] == "triton ready again"
    assert ready["at_s"] > killed["at_s"] + 0.5
    assert 0 <= ready["score_after_s"] < 25


async def test_loss_duplicate_and_phantom_are_found_through_the_collector(bench: Bench, tmp_path: Path) -> None:
    kafka, tag = bench.place.kafka, f"planted-{secrets.token_hex(3)}"
    topics.create(kafka, tag, 4)
    intended = time.time_ns() + np.arange(100, dtype=np.int64) * 1_000_000
    plan = {
        "kafka": kafka, "output": f"{tag}-out", "dead_letters": f"{tag}-dead", "expected": 100, "from_end": False,
        "result": str(tmp_path / "received.npz"),
    }  # fmt: skip
    child = Child("collector", [sys.executable, "-m", "loadtest.collector"], environment(), tmp_path / "log")
    await child.start(listens=True)
    try:
        child.tell(plan)
        await child.fact("ready", 30)
        _write_by_hand(kafka, tag, intended)
        while (await child.fact("seen", 30))["seen"] < 99:
            pass
        child.tell("stop")
        assert (await child.fact("records", 30))["records"] == 101
    finally:
        await child.clear()
    received = collector.load(tmp_path / "received.npz")
    books = account.settle(intended, received, UNHURRIED_MS, np.zeros(100, bool))
    assert np.flatnonzero(books.status == -1).tolist() == [42]
    assert (books.duplicates, books.phantoms) == (1, 1)
    assert account.figures(books, int(intended[0]), 1)["counts"]["expired"] == 1


def _write_by_hand(kafka: str, tag: str, intended: account.Ints) -> None:
    """Outcomes of 100 events but the 42nd, of the 7th twice, of one that was never sent."""
    producer = Producer({"bootstrap.servers": kafka, "log_level": 2})
    for number in [*(n for n in range(100) if n != 42), 7, 500]:
        due = int(intended[number]) if number < 100 else 1
        headers: list[tuple[str, str | bytes | None]] = [(LOAD_ID, load_id(number, due))]
        headers += [("outcome", b"expired")] if number == 3 else []
        producer.produce(f"{tag}-out", b"x", b"k", number % 4, headers=headers)
    assert producer.flush(10) == 0


@pytest.mark.slow
async def test_a_service_of_ones_own_on_topics_of_ones_own_is_measured(bench: Bench, tmp_path: Path) -> None:
    """Here pass-through stands for it; its output topic keeps the producer's time, so receipt stands in."""
    kafka, tag = bench.place.kafka, f"own-{secrets.token_hex(3)}"
    topics.create(kafka, tag, 4)
    mine = Topics(f"{tag}-dead", f"{tag}-in", None)
    found = contestants.find("passthrough")
    job = Job(kafka, "", "fraud", mine.source, mine.target, "", f"{tag}-group", 50, "msgpack", {}, {})
    child = await found.start(job, tmp_path / "own.log")
    try:
        await found.until_ready(child)
        async with Bench(kafka, topics=mine, folder=tmp_path / "bench") as own:
            for _ in range(2):  # what the first run left in the topics is none of the second's business
                run = await own.run(YOURS, scenario(seconds=2))
                assert run["sent"] == run["counts"]["in_time"] + run["counts"]["late"]
                assert (run["contestant"], run["append_clock"], run["phantoms"]) == ("yours", "receipt", 0)
            with pytest.raises(ScenarioError, match="not ours to harm"):
                await own.run(YOURS, scenario(faults=[{"at_s": 0, "kind": "pause_triton", "for_ms": 1}]))
    finally:
        assert await child.end() == 0


@pytest.mark.slow
async def test_faults_happen_to_real_processes(bench: Bench) -> None:
    faults = [
        {"at_s": 0.5, "kind": "slow_triton", "factor": 3, "for_ms": 500},
        {"at_s": 1.5, "kind": "pause_triton", "for_ms": 300},
        {"at_s": 2.5, "kind": "stall_service", "for_ms": 50},
    ]
    run = await bench.run("service", scenario(model="paced", seconds=4, faults=faults))
    assert run["sent"] == sum(run["counts"].values())
    assert run["counts"]["lost"] == 0
    assert len(run["events"]) == 3
    assert not bench.place.factor_file.exists()


@pytest.mark.slow
async def test_a_backlog_is_met_by_a_contestant_that_starts_late(bench: Bench) -> None:
    asked = scenario(arrivals={"kind": "constant", "rate": 100}, backlog_s=10, warm_up_s=0, seconds=6, slo_ms=500)
    run = await bench.run("service", asked)
    assert run["sent"] == 1_600
    assert run["counts"]["expired"] >= 1_000
    assert [event["what"] for event in run["events"]] == ["contestant started", "contestant ready"]
    assert run["events"][1]["score_after_s"] is not None
    assert run["expired_per_s"] > 100
    assert run["per_second"][0]["second"] == -10


@pytest.mark.slow
async def test_calibration_finds_the_pace_of_the_paced_model(bench: Bench) -> None:
    fitted = await bench.calibrate("paced", seconds=0.6)
    assert 2.0 <= fitted.alpha_ms < 8
    assert 0.45 <= fitted.beta_ms < 0.8


async def test_a_contestant_that_does_not_start_is_one_line_and_no_figures(bench: Bench) -> None:
    with pytest.raises(ContestantUnavailable) as raised:
        await bench.run("service", scenario(environ={"INFERSTREAM__TRITN__URL": "x"}))
    assert "did you mean" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(ContestantUnavailable, match="passthrough"):
        await bench.run("passthrough", scenario(), options={"max_unacknowledged": "many"})


async def test_brokers_and_topics_that_are_not_there_are_named(bench: Bench) -> None:
    with pytest.raises(LoadTestError, match="topic 'nowhere' does not exist"):
        async with Bench(bench.place.kafka, topics=Topics("nowhere", "nowhere-out", None)):
            pass
    closed = f"127.0.0.1:{local.free_port()}"
    with pytest.raises(LoadTestError, match=f"no broker answers at {closed}"):
        async with Bench(closed, topics=Topics("a", "b", None)):
            pass


def test_the_command_writes_its_results(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    file.write_text(json.dumps(scenario(seconds=2, model="paced").model_dump(mode="json", exclude_none=True)))
    command = [
        *(sys.executable, "-m", "loadtest", "run", str(file), "--contestant", "passthrough"),
        *("--kafka", bench.place.kafka, "--triton", bench.place.triton, "--out", str(tmp_path / "out")),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=environment(), cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["machine"]["cores"] >= 1
    assert [run["contestant"] for run in results["runs"]] == ["passthrough"]
