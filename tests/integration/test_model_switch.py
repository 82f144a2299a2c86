"""Another version of the model while the service runs: followed without a restart, refused when it is broken."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.integration.conftest import Bench
from tests.integration.steady import Counts, counts, under_load, until_scored
from tests.integration.versions import BROKEN, NAN, OTHER, SOUND, models, repository, state

from inferstream import local
from inferstream.kafka import Admin
from inferstream.local import triton
from inferstream.local.process import free_ports, spawn, stop_group
from inferstream.policy.rollout import Split
from inferstream.triton import ModelControl, TritonServer

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(180)]

CONTROL = "INFERSTREAM__TRITON__MODEL_CONTROL"
KEY = "INFERSTREAM__TRITON__MODEL_CONTROL_KEY"
IS_SHORT = os.environ.get("INFERSTREAM_SHORT") == "1"


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    folder = tmp_path_factory.mktemp("versions")
    with local.running(folder / "stack", model_repository=repository(folder / "models"), models=["fraud"]) as stack:
        yield stack


@pytest.fixture
async def bench(own_stack: local.Stack, tmp_path: Path) -> AsyncIterator[Bench]:
    """Topics exist, the sound version alone is served, and the server loads on command."""
    bench = Bench(own_stack, tmp_path)
    bench.environ[CONTROL] = "explicit"
    await bench.create_topics()
    yield bench
    await serve(bench, SOUND)


async def serve(bench: Bench, *versions: str) -> None:
    """As somebody else may have loaded them."""
    settings = bench.settings.triton
    server = TritonServer(settings.url, settings)
    await ModelControl(server, "fraud", settings).load(versions, 60)
    await server.stop()


async def answered_by(bench: Bench) -> Counter[tuple[object, str]]:
    """Outcome, and the version that gave it."""
    outcomes = await bench.outcomes()
    return Counter((o["outcome"], o["answered_by"]["version"]) for o in outcomes if "answered_by" in o)  # type: ignore[index]


async def test_running_services_follow_and_the_old_version_goes(bench: Bench) -> None:
    """Two processes of a pipeline that names no version; nothing is lost, and nothing is left to the fallback."""
    async with bench.service() as first, bench.service() as second, under_load(bench, 100) as load:
        await asyncio.sleep(1)
        done = await models(bench, "switch", OTHER, "--json")
        assert done.code == 0, done.errors
        await asyncio.sleep(1.5)
        assert await state(bench) == ([OTHER], OTHER)
        shown = [await counts(service) for service in (first, second)]
        assert [each.total("model_version") for each in shown] == [2, 2]
        load.stop()
        await asyncio.sleep(0.5)
        report = await bench.audit(load.sent)
    assert report.problems == {}
    answers = await answered_by(bench)
    assert set(answers) == {("scored", SOUND), ("scored", OTHER)}
    assert min(answers.values()) > 100
    assert done.document["kept"] == {}
    assert (done.document["version"], done.document["previous"]) == (OTHER, SOUND)


async def test_the_pin_goes_before_the_setting_outlives_a_restart_and_leads_back(bench: Bench) -> None:
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__MODEL_VERSION"] = SOUND
    assert (await models(bench, "switch", OTHER, "--keep")).code == 0
    async with bench.service():
        await bench.send(20)
        await bench.audit(20)
    assert set(await answered_by(bench)) == {("scored", OTHER)}
    done = await models(bench, "status")
    assert f"asks model 'fraud', version {OTHER} (pinned; before it: {SOUND})" in done.out
    assert "serves 1, 2" in done.out
    assert (await models(bench, "switch", "--back")).code == 0
    assert await state(bench) == ([SOUND], SOUND)
    async with bench.service():
        await bench.send(20)
        await bench.audit(40)
    assert (await answered_by(bench))["scored", SOUND] == 20


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (NAN, "failed a test call (model_garbage)"),
        (BROKEN, "its weights are missing"),
        ("9", "has no fraud/9"),
        ("newest", "version 'newest' is no number"),
    ],
)
async def test_one_that_is_broken_changes_nothing(bench: Bench, version: str, words: str) -> None:
    async with bench.service(), under_load(bench, 100) as load:
        done = await models(bench, "switch", version)
        assert done.code in (2, 3)
        assert words in done.errors
        assert "Traceback" not in done.errors
        assert await state(bench) == ([SOUND], "")
        load.stop()
        await asyncio.sleep(0.5)
        assert (await bench.audit(load.sent)).problems == {}
    assert set(await answered_by(bench)) == {("scored", SOUND)}


async def test_without_model_control_only_what_is_served_is_pinned(bench: Bench) -> None:
    bench.environ[CONTROL] = "none"
    refused = await models(bench, "switch", OTHER)
    assert refused.code == 3
    assert f"version {OTHER} of model 'fraud' is not served at" in refused.errors
    await serve(bench, SOUND, OTHER)
    assert (await models(bench, "switch", OTHER)).code == 0
    assert await state(bench) == ([SOUND, OTHER], OTHER)


async def test_a_version_that_is_gone_is_left_to_the_old_one_and_loaded_by_the_same_switch(bench: Bench) -> None:
    """As after a restart of Triton, which forgets what it was told to load."""
    async with bench.service() as service:
        assert (await models(bench, "switch", OTHER, "--keep")).code == 0
        assert (await models(bench, "switch", SOUND, "--keep")).code == 0
        await serve(bench, SOUND)
        missing = await models(bench, "status")
        assert missing.code == 0
        await serve(bench, OTHER)
        missing = await models(bench, "status")
        assert missing.code == 1
        assert f"version {SOUND} is not served: `inferstream models switch {SOUND}` loads it" in missing.out
        assert (await models(bench, "switch", SOUND)).code == 0
        await asyncio.sleep(1.5)
        await bench.send(20)
        await bench.audit(20)
        assert "Traceback" not in service.log
    assert set(await answered_by(bench)) == {("scored", SOUND)}


async def test_a_server_that_guards_its_model_control_wants_the_key(tmp_path: Path, own_stack: local.Stack) -> None:
    """The real server with the real option."""
    bench, ports = Bench(own_stack, tmp_path), free_ports(3)
    await bench.create_topics()
    launch = triton.launch(repository(tmp_path / "models"), ports, "inferstream_guarded", ["fraud"], lambda text: None)
    guard = "--grpc-restricted-protocol=model-repository:admin-key=let-me-in"
    process = spawn([*launch.command, guard], launch.environ, tmp_path / "triton.log")
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(triton.is_ready, ports[0]):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.1)
        bench.environ |= {"INFERSTREAM__TRITON__URL": f"127.0.0.1:{ports[1]}", CONTROL: "explicit"}
        for given in ({}, {KEY: "admin-key=wrong"}, {KEY: "other-key=let-me-in"}):
            refused = await models(bench, "switch", OTHER, **given)
            assert refused.code == 3
            assert "the server wants a key for its model control: set triton.model_control_key" in refused.errors
            assert "let-me-in" not in refused.errors
        assert await state(bench) == ([SOUND], "")
        done = await models(bench, "switch", OTHER, "--json", **{KEY: "admin-key=let-me-in"})
        assert done.code == 0, done.errors
        assert await state(bench) == ([OTHER], OTHER)
    finally:
        stop_group(process, 5)
        for region in Path(triton.SHARED_MEMORY).glob("inferstream_guarded*"):
            region.unlink(missing_ok=True)


async def test_a_canary_that_answers_nonsense_costs_nothing_and_is_stopped(bench: Bench) -> None:
    prefix = "INFERSTREAM__PIPELINES__FRAUD__CANARY__"
    bench.environ |= {f"{prefix}MODEL": f"fraud:{NAN}", f"{prefix}SHARE": "0.5", f"{prefix}WINDOW": "20"}
    unclear = bench.service()
    await unclear.start()
    assert await asyncio.wait_for(unclear.process.wait(), 60) == 2
    assert "so say which one answers: set pipelines.fraud.model_version" in unclear.log
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__MODEL_VERSION"] = SOUND
    await serve(bench, SOUND, NAN)
    async with bench.service() as service:
        await bench.send(400, rate=200)
        assert (await bench.audit(400)).problems == {}
        assert (await counts(service)).total("canary_stopped") == 1
        assert "canary_stopped" in service.log
        failed = (await counts(service)).total("canary_events_total", fate="failed")
        await bench.send(100, rate=200)
        assert (await bench.audit(500)).problems == {}
        assert (await counts(service)).total("canary_events_total", fate="failed") == failed
        resumed = await models(bench, "canary", "--resume")
        assert resumed.code == 0, resumed.errors
        await asyncio.sleep(1.5)
        await bench.send(100, rate=200)
        assert (await bench.audit(600)).problems == {}
        assert (await counts(service)).total("canary_events_total", fate="failed") > failed
    assert set(await answered_by(bench)) == {("scored", SOUND)}


async def test_a_sound_canary_answers_its_share_of_the_cards(bench: Bench) -> None:
    prefix = "INFERSTREAM__PIPELINES__FRAUD__CANARY__"
    bench.environ |= {f"{prefix}MODEL": f"fraud:{OTHER}", f"{prefix}SHARE": "0.5"}
    await serve(bench, SOUND, OTHER)
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__MODEL_VERSION"] = SOUND
    async with bench.service():
        await bench.send(600, rate=300)
        assert (await bench.audit(600)).problems == {}
    split, answers = Split("canary", 0.5), Counter[tuple[bool, object]]()
    for record in await bench.records(bench.pipeline.output_topic):
        outcome = msgspec.msgpack.decode(record.value or b"")
        answers[split.takes(record.key or b""), outcome["answered_by"]["version"]] += 1
    assert answers[False, OTHER] == 0
    assert answers[True, OTHER] > 0.9 * (
        answers[True, OTHER] + answers[True, SOUND]
    )  # the rest it did not make in time
    assert answers[True, OTHER] > 200


async def test_a_shadows_scores_lie_beside_the_outcomes(bench: Bench) -> None:
    prefix, topic = "INFERSTREAM__PIPELINES__FRAUD__", "shadow-of-" + bench.pipeline.input_topic
    shadow = {
        f"{prefix}SHADOW__MODEL": f"fraud:{OTHER}",
        f"{prefix}SHADOW__SHARE": "1",
        f"{prefix}SHADOW__TOPIC": topic,
    }
    bench.environ |= {**shadow, f"{prefix}MODEL_VERSION": SOUND}
    await serve(bench, SOUND, OTHER)
    missing = bench.service()
    await missing.start()
    assert await asyncio.wait_for(missing.process.wait(), 30) == 3
    assert f"shadow topic '{topic}' of pipeline 'fraud' does not exist: create it" in missing.log
    async with Admin(bench.settings.kafka) as admin:
        await admin.create_topics({topic: 2})
    async with bench.service() as service:
        await bench.send(200, rate=50)
        assert (await bench.audit(200)).problems == {}
        await asyncio.sleep(1)
        compared = (await counts(service)).total("shadow_events_total", result="compared")
    assert compared > 100
    scores = [msgspec.msgpack.decode(record.value or b"") for record in await bench.records(topic)]
    outcomes: dict[object, dict[str, object]] = {outcome["id"]: outcome for outcome in await bench.outcomes()}
    assert len(scores) == compared
    for score in scores:
        assert score["result"] == outcomes[score["id"]]["result"]
        assert (score["answered_by"]["version"], score["shadow"]["version"]) == (SOUND, OTHER)
        delta = abs(score["result"]["probability"] - score["shadow_result"]["probability"])
        assert score["differences"]["probability"] == pytest.approx(delta, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_switching_to_and_fro_under_load_loses_nothing_and_delays_next_to_nothing(bench: Bench) -> None:
    """About half of what two cores carry with the sender on them. The figures are printed; what is in time is held
    against the same load without a switch just before.
    """
    rate, switches = 250, 4 if IS_SHORT else 20
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__SLO_MS"] = "50"
    async with bench.service() as service, under_load(bench, rate) as load:
        await until_scored(service, rate)
        begin = await counts(service)
        await asyncio.sleep(10)
        calm = await counts(service)
        for number in range(switches):
            done = await models(bench, "switch", (OTHER, SOUND)[number % 2])
            assert done.code == 0, done.errors
        load.stop()
        await asyncio.sleep(1)
        report = await bench.audit(load.sent, wait=120)
        counted = await counts(service)
    before, meanwhile = share_in_time(begin, calm), share_in_time(calm, counted)
    answers = await answered_by(bench)
    print(  # noqa: T201 - the figures are what it is for
        f"{switches} switches, {load.sent} events at {rate}/s, problems {report.problems}: in time {meanwhile:.4f}, "
        f"before it {before:.4f} (machine stalled {load.stalled:.2f}); {dict(answers)}"
    )
    assert report.problems == {}
    assert min(answers["scored", SOUND], answers["scored", OTHER]) > 0.2 * load.sent
    # The short form runs beside whatever else a machine has to do, and a stub that starts takes a core for a second.
    least = 0.98 if IS_SHORT else 0.999
    assert meanwhile >= min(least, before) - max(0.001, load.stalled)


def share_in_time(before: Counts, after: Counts) -> float:
    """Of the outcomes between two looks."""
    in_time, all_ = (after.total(name) - before.total(name) for name in ("outcomes_in_time_total", "outcomes_total"))
    return in_time / all_
