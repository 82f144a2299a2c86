"""The service as a process on a real broker and a real Triton: nothing lost, nothing twice, whatever is killed."""

import asyncio
import json
from collections import Counter

import msgspec
import pytest
from tests.integration.conftest import Bench
from tests.integration.steady import under_load, until_scored

from inferstream.events import dead_letter, headers
from inferstream.operate.produce import POISON

pytestmark = pytest.mark.timeout(180)

# The embedded broker forgets its groups when it is killed, and waits for a member that is gone for ever.
needs_real_groups = pytest.mark.parametrize(
    "stack", [pytest.param("apache", marks=[pytest.mark.integration, pytest.mark.apache])], indirect=True
)


async def test_every_event_gets_one_outcome_poison_included(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service() as service:
        await bench.send(3_000, rate=1_500, poison_every=100)
        report = await bench.audit(3_000)
        assert report.problems == {}
        assert report.outcomes["dead_lettered"] == 30
        assert report.outcomes["scored"] >= 2_900
        assert await service.terminate() == 0
    assert report.repeats == 0


async def test_outcomes_keep_partition_key_and_trace_context_and_say_who_answered(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service():
        await bench.send(400, rate=400)
        assert (await bench.audit(400)).problems == {}
    sent = {(r.partition, r.offset): r for r in await bench.records(bench.pipeline.input_topic)}
    for record in await bench.records(bench.pipeline.output_topic):
        outcome = msgspec.msgpack.decode(record.value or b"")
        source = sent[outcome["source"]["partition"], outcome["source"]["offset"]]
        assert record.partition == source.partition
        assert record.key == source.key
        assert dict(record.headers)["traceparent"] == b"00-1-1-00"
        assert outcome["answered_by"]["kind"] in ("model", "student", "rules")
        assert outcome["result"]["decision"] in ("approve", "review", "decline")
    by_partition = Counter(r.partition for r in sent.values())
    assert len(by_partition) > 1


async def test_outcomes_of_a_partition_leave_in_input_order(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service():
        await bench.send(3_000)
        assert (await bench.audit(3_000)).problems == {}
    last: dict[int, int] = {}
    for record in await bench.records(bench.pipeline.output_topic):
        offset = msgspec.msgpack.decode(record.value or b"")["source"]["offset"]
        assert offset == last.get(record.partition, -1) + 1
        last[record.partition] = offset


async def test_poison_is_kept_whole_with_the_reason(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service():
        await bench.send(60, poison_every=10)
        assert (await bench.audit(60)).problems == {}
    letters = await bench.records(bench.pipeline.dead_letter_topic)
    assert Counter(r.value for r in letters) == Counter(POISON)
    causes = {headers.text(r.headers, dead_letter.CAUSE) for r in letters}
    assert causes == {"malformed", "empty", "invalid", "oversize"}
    for letter in letters:
        assert dict(letter.headers)["traceparent"] == b"00-1-1-00"


async def test_triton_killed_under_load_and_started_again_loses_nothing(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service() as service:
        async with under_load(bench, 500) as load:
            await until_scored(service, 500)
            await asyncio.to_thread(bench.stack.kill, "triton")
            await asyncio.sleep(1)
            assert await service.status("readyz") == 200
            await asyncio.to_thread(bench.stack.start, "triton")
            # Once Triton is back the model answers again.
            await until_scored(service, 500)
        report = await bench.audit(load.sent)
        assert report.problems == {}
        assert report.outcomes["fallback"] > 0
        assert await service.terminate() == 0
    assert report.repeats == 0


async def test_sigterm_under_load_loses_and_repeats_nothing(bench: Bench) -> None:
    await bench.create_topics()
    sending = asyncio.create_task(bench.send(6_000, rate=1_500))
    for _ in range(3):
        async with bench.service() as service:
            await asyncio.sleep(0.7)
            assert await service.terminate() == 0
            assert "Traceback" not in service.log
    async with bench.service():
        await sending
        report = await bench.audit(6_000)
    assert report.problems == {}
    assert report.repeats == 0


@needs_real_groups
async def test_sigkill_under_load_loses_nothing(bench: Bench) -> None:
    await bench.create_topics()
    sending = asyncio.create_task(bench.send(6_000, rate=1_500))
    for _ in range(2):
        service = bench.service()
        await service.start()
        await service.until_ready()
        await asyncio.sleep(0.7)
        await service.kill()
    async with bench.service():
        await sending
        assert (await bench.audit(6_000, wait=60)).problems == {}


@needs_real_groups
async def test_a_second_replica_joins_and_leaves_under_load(bench: Bench) -> None:
    await bench.create_topics()
    sending = asyncio.create_task(bench.send(8_000, rate=1_000))
    async with bench.service() as first:
        async with bench.service() as second:
            await asyncio.sleep(2)
            for service in (first, second):
                assert 'inferstream_assigned_partitions{pipeline="fraud"} 2' in await service.metrics()
        await sending
        report = await bench.audit(8_000)
    assert report.problems == {}
    assert report.repeats == 0


@needs_real_groups
async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service() as service:
        await bench.send(1_000, rate=1_000)
        await asyncio.to_thread(bench.stack.kill, "kafka")
        await asyncio.sleep(2)
        assert await service.status("livez") == 200
        await asyncio.to_thread(bench.stack.start, "kafka")
        await bench.send(1_000, rate=500)
        report = await bench.audit(2_000, wait=60)
        assert report.problems == {}
        assert await service.terminate() == 0


async def test_a_backlog_past_its_deadlines_is_answered_as_expired(bench: Bench) -> None:
    await bench.create_topics()
    await bench.send(5_000)
    await asyncio.sleep(0.2)
    async with bench.service({"INFERSTREAM__PIPELINES__FRAUD__SLO_MS": "50"}):
        report = await bench.audit(5_000)
    assert report.problems == {}
    assert report.outcomes["expired"] == 5_000


# What a user can mend ends the service at once, with one line and no stack trace.


async def _ends(bench: Bench, environ: dict[str, str] | None = None) -> tuple[int, str]:
    service = bench.service(environ)
    await service.start()
    code = await asyncio.wait_for(service.process.wait(), 30)
    assert "Traceback" not in service.log
    return code, service.log


async def test_a_missing_topic_is_named(bench: Bench) -> None:
    await bench.create_topics(dead=0)
    code, log = await _ends(bench)
    assert code == 3
    assert f"dead letter topic '{bench.pipeline.dead_letter_topic}' of pipeline 'fraud' does not exist" in log


async def test_too_few_output_partitions_are_named(bench: Bench) -> None:
    await bench.create_topics(output=1)
    code, log = await _ends(bench)
    assert code == 3
    assert "has 1 partitions" in log


async def test_a_model_of_another_shape_is_named(bench: Bench) -> None:
    await bench.create_topics()
    code, log = await _ends(bench, {"INFERSTREAM__PIPELINES__FRAUD__TASK": "inferstream.testing:MeanTask",
                                    "INFERSTREAM__PIPELINES__FRAUD__MODEL": "fraud"})  # fmt: skip
    assert code == 3
    assert "model 'fraud' does not fit the task" in log


async def test_an_absent_broker_ends_it_after_the_start_timeout(bench: Bench) -> None:
    nowhere = {
        "INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "INFERSTREAM__KAFKA__START_TIMEOUT_MS": "1000",
    }
    code, log = await _ends(bench, nowhere)
    assert code == 4
    assert "no answer from Kafka at 127.0.0.1:9" in log


async def test_a_taken_port_is_named(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service() as holder:
        taken = bench.service()
        taken._environ["INFERSTREAM__WEB__PORT"] = str(holder._port)
        await taken.start()
        assert await asyncio.wait_for(taken.process.wait(), 30) == 4
        assert "set web.port" in taken.log


async def test_without_triton_it_starts_on_the_fallback_chain(bench: Bench) -> None:
    await bench.create_topics()
    nowhere = {"INFERSTREAM__TRITON__URL": "127.0.0.1:9", "INFERSTREAM__TRITON__START_TIMEOUT_MS": "500"}
    async with bench.service(nowhere) as service:
        await bench.send(300, rate=300)
        report = await bench.audit(300)
        told = [line for line in map(json.loads, service.log.splitlines()) if line["event"] == "model_not_ready"]
    assert [(line["pipeline"], line["model"], line["url"]) for line in told] == [("fraud", "fraud", "127.0.0.1:9")]
    assert told[0]["reason"] == "asked whether it is ready, the server says UNAVAILABLE"
    assert report.problems == {}
    assert report.outcomes["fallback"] == 300
    answers = {outcome["answered_by"]["kind"] for outcome in await bench.outcomes()}  # type: ignore[index]
    assert answers == {"student"}


async def test_required_models_that_are_missing_end_it(bench: Bench) -> None:
    await bench.create_topics()
    code, log = await _ends(
        bench,
        {
            "INFERSTREAM__TRITON__URL": "127.0.0.1:9",
            "INFERSTREAM__TRITON__START_TIMEOUT_MS": "500",
            "INFERSTREAM__TRITON__REQUIRE_MODEL_AT_START": "true",
        },
    )
    assert code == 4
    assert "is not ready at Triton 127.0.0.1:9" in log
