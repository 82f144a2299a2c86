"""Text that is streamed, Kafka to Kafka on real Triton: tokens before the outcome, whatever happens between."""

import ast
import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.examples import ExampleBench, details

from inferstream import local
from inferstream.events import headers
from inferstream.events.envelope import Record
from inferstream.kafka import GroupOffsets, Reader
from inferstream.tasks.generation import Prompt
from inferstream.testing import ServiceProcess
from inferstream.traffic.prompts import stream

pytestmark = pytest.mark.integration

LONG = {"max_tokens": 1_024, "temperature": 0.0}  # such a text goes round in circles and does not end by itself


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """With a Triton that may be killed."""
    with local.running(tmp_path_factory.mktemp("generation"), models=["generation"]) as stack:
        yield stack


@pytest.fixture
async def bench(own_stack: local.Stack, tmp_path: Path) -> ExampleBench:
    made = ExampleBench(own_stack, tmp_path, "generation")
    await made.create_topics()
    return made


@pytest.fixture
async def service(bench: ExampleBench) -> AsyncIterator[ServiceProcess]:
    async with bench.service() as running:
        yield running


def prompt(name: str, **more: Any) -> tuple[bytes, Any]:
    return name.encode(), {"prompt_id": name, "text": "The class statement ", "timestamp_ms": 1, **more}


async def written(bench: ExampleBench) -> list[tuple[Record, dict[str, Any]]]:
    """Everything on the output topic, partition by partition."""
    found = []
    async with Reader(bench.settings.pipelines["generation"].output_topic, bench.settings.kafka) as reader:
        async for records in reader.until(await reader.end_offsets()):
            found += [(record, msgspec.msgpack.decode(record.value or b"")) for record in records]
    return sorted(found, key=lambda pair: (pair[0].partition, pair[0].offset))


def parts_of(all_: list[tuple[Record, dict[str, Any]]], name: str) -> list[tuple[Record, dict[str, Any]]]:
    return [(r, o) for r, o in all_ if headers.text(r.headers, headers.OUTCOME_PART) and o["event_id"] == name]


async def counted_by_the_example_consumer(bench: ExampleBench, topic: str) -> dict[str, int]:
    """The consumer that users copy must not take a part for the outcome that follows it."""
    script = Path(__file__).parents[2] / "schemas" / "examples" / "consumer.py"
    command = [sys.executable, str(script), bench.settings.kafka.bootstrap_servers, "--topic", topic, "--group", topic]
    process = await asyncio.create_subprocess_exec(*command, "--seconds", "4", stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    counts: dict[str, int] = ast.literal_eval(said.decode().splitlines()[-1])
    return counts


async def until_outcomes(bench: ExampleBench, count: int) -> None:
    """Wait for so many, repetitions too."""
    topic = bench.settings.pipelines["generation"].output_topic
    async with asyncio.timeout(25), Reader(topic, bench.settings.kafka) as reader:
        async for records in reader.follow():
            count -= sum(not headers.text(record.headers, headers.OUTCOME_PART) for record in records)
            if count <= 0:
                return


async def until_parts(bench: ExampleBench, *names: str) -> None:
    """Wait until each has begun."""
    missing = set(names)
    topic = bench.settings.pipelines["generation"].output_topic
    async with asyncio.timeout(20), Reader(topic, bench.settings.kafka) as reader:
        async for records in reader.follow():
            missing -= {msgspec.msgpack.decode(record.value or b"")["event_id"] for record in records}
            if not missing:
                return


async def test_tokens_come_before_the_outcome_and_bad_prompts_are_dead_letters(
    bench: ExampleBench, service: ServiceProcess
) -> None:
    prompts: list[Prompt] = [event for event, _ in itertools.islice(stream(3), 12)]
    bad = [
        prompt("empty", text=""),
        prompt("long", text="a secret" * 100),
        prompt("none", max_tokens=0),
        prompt("many", max_tokens=100_000),
        (b"k", b"\x81\xa4text\xa2\xff\xfe"),
    ]
    await bench.send("generation", [(p.prompt_id.encode(), p) for p in prompts])
    await bench.send("generation", bad, schema="prompt.v1")
    finals = await bench.answers("generation", 17)
    assert await service.terminate() == 0
    all_ = await written(bench)
    for p in prompts:
        final, parts = finals[p.prompt_id], parts_of(all_, p.prompt_id)
        result, most = final["result"], p.max_tokens or 160
        assert final["outcome"] == "scored"
        assert final["answered_by"] == {"kind": "model", "name": "generation", "version": "1"}
        assert result["finish_reason"] == ("length" if result["tokens"] == most else "stop")
        assert result["text"].endswith("\n\n") == (result["finish_reason"] == "stop")
        assert parts
        assert [o["part"] for _, o in parts] == list(range(len(parts)))
        assert result["text"].startswith("".join(o["result"]["text"] for _, o in parts))
        (outcome,) = [record for record, o in all_ if o["id"] == final["id"] and "part" not in o]
        assert {record.partition for record, _ in parts} == {outcome.partition}
        assert max(record.offset for record, _ in parts) < outcome.offset
        assert 0 < result["first_token_ms"] < 20_000
    said = details(finals)
    assert sorted(said.values()) == sorted(
        [
            "Expected `str` of length >= 1 - at `$.text`",
            "Expected `str` of length <= 512 - at `$.text`",
            "Expected `int` >= 1 - at `$.max_tokens`",
            "Expected `int` <= 1024 - at `$.max_tokens`",
            "not readable as this codec (UnicodeDecodeError)",
        ]
    )
    topic = bench.settings.pipelines["generation"].output_topic
    assert await counted_by_the_example_consumer(bench, topic) == {"scored": 12, "dead_lettered": 5}
    report = await bench.audit("generation")
    assert (report.problems, report.inputs, report.repeats) == ({}, 17, 0)
    assert report.partials == len(all_) - 17


async def test_what_its_deadline_cuts_is_the_outcome_in_time(bench: ExampleBench, service: ServiceProcess) -> None:
    """Sixteen long texts share the model: none is whole within a second."""
    events = [prompt(f"p{number}", **LONG) for number in range(16)]
    await bench.send("generation", events, slo_ms="1000")
    finals = await bench.answers("generation", 16)
    cut = [final for final in finals.values() if final["result"]["finish_reason"] == "deadline"]
    assert len(finals) == 16
    assert {final["outcome"] for final in finals.values()} == {"scored"}
    assert len(cut) == 16
    for final in cut:
        assert 0 < final["result"]["tokens"] < 1_024
        took_ms = sum(final["times"].values()) / 1e3
        assert abs(took_ms - 1_000) < 500  # written until its deadline, not longer


async def test_a_triton_that_is_killed_mid_stream_is_asked_again_and_the_text_goes_on(
    bench: ExampleBench, service: ServiceProcess, own_stack: local.Stack
) -> None:
    names = [f"p{number}" for number in range(16)]
    await bench.send("generation", [prompt(name, **LONG) for name in names])
    await until_parts(bench, *names)
    await asyncio.to_thread(own_stack.kill, "triton")
    await asyncio.to_thread(own_stack.start, "triton")
    finals = await bench.answers("generation", 16)
    all_ = await written(bench)
    for name in names:
        final, parts = finals[name], parts_of(all_, name)
        assert final["outcome"] == "scored"
        assert (final["result"]["tokens"], final["result"]["finish_reason"]) == (1_024, "length")
        assert [o["part"] for _, o in parts] == list(range(len(parts)))
        assert final["result"]["text"].startswith("".join(o["result"]["text"] for _, o in parts))
    assert await service.terminate() == 0
    report = await bench.audit("generation")
    assert (report.problems, report.inputs, report.repeats) == ({}, 16, 0)


async def test_a_triton_that_freezes_mid_stream_costs_nobody_an_outcome(
    bench: ExampleBench, service: ServiceProcess, own_stack: local.Stack
) -> None:
    names = [f"p{number}" for number in range(16)]
    await bench.send("generation", [prompt(name, **LONG) for name in names], slo_ms="4000")
    await until_parts(bench, *names)
    own_stack.pause("triton")
    try:
        finals = await bench.answers("generation", 16)
    finally:
        own_stack.resume("triton")
    assert {final["outcome"] for final in finals.values()} == {"scored"}
    assert "deadline" in {final["result"]["finish_reason"] for final in finals.values()}
    await bench.send("generation", [prompt("after", max_tokens=5)])
    assert (await bench.answers("generation", 17))["after"]["outcome"] == "scored"


async def test_a_redelivery_repeats_the_same_text(bench: ExampleBench) -> None:
    names = [f"p{number}" for number in range(4)]
    async with bench.service():
        await bench.send("generation", [prompt(name) for name in names])
        before = await bench.answers("generation", 4)
    pipeline = bench.settings.pipelines["generation"]
    offsets = GroupOffsets(pipeline.group or "", pipeline.input_topic, bench.settings.kafka)
    await offsets.write({partition: each._replace(offset=0) for partition, each in (await offsets.read()).items()})
    await offsets.stop()
    async with bench.service():
        await until_outcomes(bench, 8)
    for name in names:
        again = [o for _, o in await written(bench) if "part" not in o and o["event_id"] == name]
        assert [o["result"]["text"] for o in again] == [before[name]["result"]["text"]] * 2
        assert len({o["id"] for o in again}) == 1
    report = await bench.audit("generation")
    assert (report.problems, report.repeats) == ({}, 4)


@pytest.mark.slow
@pytest.mark.apache
@pytest.mark.usefixtures("apache_available")
async def test_a_service_that_is_killed_mid_stream_is_followed_by_one_that_writes_the_same_text(tmp_path: Path) -> None:
    """What readers saw of a text before the kill is how it goes on after it: the parts begin anew, and say the same."""
    with local.running(tmp_path / "stack", kafka="apache", models=["generation"]) as stack:
        bench = ExampleBench(stack, tmp_path, "generation")
        await bench.create_topics()
        await kill_mid_stream(bench)


async def kill_mid_stream(bench: ExampleBench) -> None:
    bench.environ["INFERSTREAM__KAFKA__SESSION_TIMEOUT_MS"] = "6000"
    names = [f"p{number}" for number in range(8)]
    async with bench.service() as service:
        await bench.send("generation", [prompt(name, max_tokens=600) for name in names], slo_ms="60000")
        await until_parts(bench, *names)
        await service.kill()
    before = await written(bench)
    unfinished = {name for name in names if all("part" in o for _, o in before if o["event_id"] == name)}
    assert unfinished, "it was killed too late"
    async with bench.service() as service:
        finals = await bench.answers("generation", 8, wait=60)
        assert await service.terminate() == 0
    all_ = await written(bench)
    for name in names:
        final, parts = finals[name], [o for _, o in parts_of(all_, name)]
        assert final["outcome"] == "scored"
        starts = [place for place, o in enumerate(parts) if o["part"] == 0]
        assert len(starts) == 2 if name in unfinished else len(starts) in (1, 2)
        for begin, end in itertools.pairwise([*starts, len(parts)]):
            assert [o["part"] for o in parts[begin:end]] == list(range(end - begin))
            assert final["result"]["text"].startswith("".join(o["result"]["text"] for o in parts[begin:end]))
    report = await bench.audit("generation")
    assert (report.problems, report.inputs) == ({}, 8)
