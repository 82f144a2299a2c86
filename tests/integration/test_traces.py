"""Traces from end to end: a producer's context, our spans in a collector, and Triton's own spans below them."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.conftest import Bench

from inferstream import local
from inferstream.events import trace_context
from inferstream.local.stack import TRACES_FILE
from inferstream.operate.traces import run_traces

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(120)]

Span = dict[str, Any]


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Bench]:
    """A pipeline on a stack of its own, with a collector."""
    with local.running(tmp_path, parts=local.ALL_PARTS, models=["fraud"]) as stack:
        yield Bench(stack, tmp_path)


def spans_of(bench: Bench) -> list[Span]:
    file = bench.stack.folder / TRACES_FILE
    return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]


async def until(bench: Bench, name: str, count: int) -> list[Span]:
    """All spans, once there are so many of this name."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = spans_of(bench)
        if sum(span["name"] == name for span in found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"fewer than {count} spans '{name}': {sorted(span['name'] for span in spans_of(bench))}")


async def outcomes_of(bench: Bench) -> list[tuple[dict[str, Any], trace_context.Context | None]]:
    """All outcomes, each with the context it was sent on with."""
    return [
        (msgspec.msgpack.decode(record.value or b""), trace_context.parse(dict(record.headers).get("traceparent")))
        for record in await bench.records(bench.pipeline.output_topic)
    ]


def assert_whole(spans: list[Span], above: set[str]) -> None:
    """Every parent is there, or one of those of whoever sent the events; and what is ours lies inside its parent."""
    by_id = {span["span_id"]: span for span in spans}
    for span in spans:
        parent = by_id.get(span["parent_span_id"])
        is_begin = not span["parent_span_id"] or span["parent_span_id"] in above
        assert parent is not None or is_begin, f"the parent of '{span['name']}' is nowhere"
        if parent is not None and span["service"] == parent["service"]:
            assert parent["begin_ns"] <= span["begin_ns"] <= span["end_ns"] <= parent["end_ns"]


async def test_sampled_and_failed_events_have_whole_traces_and_triton_joins_them(
    traced: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    await traced.create_topics()
    sampled = [trace_context.new_trace() for _ in range(5)]
    async with traced.service() as service:
        await traced.send(200, rate=400)
        for parent in sampled:
            await traced.send(1, traceparent=parent.header())
        await traced.send(3, poison_every=1)
        assert (await traced.audit(208)).problems == {}
        await until(traced, f"process {traced.pipeline.input_topic}", 8)
        assert "otlp_fails" not in service.log
        assert await service.terminate() == 0
    spans = await until(traced, "fraud", 1)  # Triton sends every few seconds, and now and then leaves a call out
    events = [span for span in spans if span["kind"] == "consumer"]
    assert len(events) == 8, "the unsampled ones that went well leave none"

    parents = {f"{parent.trace_id:032x}": f"{parent.span_id:016x}" for parent in sampled}
    assert {s["trace_id"]: s["parent_span_id"] for s in events if s["trace_id"] in parents} == parents
    failed = [span for span in events if span["is_error"]]
    assert {span["attributes"]["inferstream.outcome"] for span in failed} == {"dead_lettered"}
    assert_whole(spans, above=set(parents.values()))
    passed = [context for _, context in await outcomes_of(traced) if context is not None]
    assert {f"{context.span_id:016x}" for context in passed} == {span["span_id"] for span in events}

    calls = {span["trace_id"]: span for span in spans if span["kind"] == "client"}
    theirs = [span for span in spans if span["service"] not in ("", "inferstream")]
    assert theirs
    assert 1 <= len(calls) <= len(sampled)
    assert {span["trace_id"] for span in theirs} <= set(calls), "Triton traces calls of ours, and no others"
    assert any(span["parent_span_id"] == calls[span["trace_id"]]["span_id"] for span in theirs)

    assert run_traces(traced.stack.folder, 20, only_wrong=True) == 0
    shown = capsys.readouterr().out
    assert shown.count("dead_lettered") == 3


async def test_every_event_that_is_late_or_not_the_models_has_a_whole_trace(traced: Bench) -> None:
    """With an SLO of a few milliseconds some make it, others are late or not the model's; with Triton paused all."""
    await traced.create_topics()
    parent = trace_context.new_trace()._replace(is_sampled=False)
    asked = {"PIPELINES__FRAUD__SLO_MS": "7", "TELEMETRY__TRACES__PER_SECOND": "10000"}
    async with traced.service({f"INFERSTREAM__{name}": value for name, value in asked.items()}) as service:
        await traced.send(150, rate=40, traceparent=parent.header())
        traced.stack.pause("triton")
        await traced.send(50, rate=40, traceparent=parent.header())
        traced.stack.resume("triton")
        assert (await traced.audit(200)).problems == {}
        outcomes = await outcomes_of(traced)
        missed = [told for told, _ in outcomes if told["outcome"] != "scored" or not told["deadline_met"]]
        assert {told["outcome"] for told in missed} & {"fallback", "expired"}
        await until(traced, f"process {traced.pipeline.input_topic}", len(missed))
        assert await service.terminate() == 0
    spans = spans_of(traced)
    assert_whole(spans, above={f"{parent.span_id:016x}"})
    events = {span["span_id"]: span for span in spans if span["kind"] == "consumer"}
    for told, context in outcomes:
        assert context is not None
        assert context.trace_id == parent.trace_id
        if told in missed:
            span = events[f"{context.span_id:016x}"]
            assert (span["is_error"], span["parent_span_id"]) == (True, f"{parent.span_id:016x}")
            assert span["attributes"]["inferstream.outcome"] == told["outcome"]
            assert span["attributes"]["messaging.kafka.offset"] == told["source"]["offset"]
