"""Traces from end to end: a producer's context, our spans in a collector, and Triton's own spans below them."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    by_id = {span["span_id"]: span for span in spans}
    events = [span for span in spans if span["kind"] == "consumer"]
    assert len(events) == 8, "the unsampled ones that went well leave none"

    parents = {f"{parent.trace_id:032x}": f"{parent.span_id:016x}" for parent in sampled}
    assert {s["trace_id"]: s["parent_span_id"] for s in events if s["trace_id"] in parents} == parents
    failed = [span for span in events if span["is_error"]]
    assert {span["attributes"]["inferstream.outcome"] for span in failed} == {"dead_lettered"}
    theirs_above = set(parents.values())
    for span in spans:
        above = by_id.get(span["parent_span_id"])
        is_begin = not span["parent_span_id"] or span["parent_span_id"] in theirs_above
        assert above is not None or is_begin, f"the parent of '{span['name']}' is nowhere"
        if above is not None and span["service"] == above["service"]:
            assert above["begin_ns"] <= span["begin_ns"] <= span["end_ns"] <= above["end_ns"]

    sent_on = [dict(record.headers).get("traceparent") for record in await traced.records(traced.pipeline.output_topic)]
    passed = [context for raw in sent_on if (context := trace_context.parse(raw)) is not None]
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
