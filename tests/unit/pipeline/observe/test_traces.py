"""Which events leave a trace, what is passed on with their outcomes, and what the model server is told of it."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from tests.cards import NUMBER, repeats
from tests.unit.pipeline.world import Clock, World, encode, running

from inferstream.errors import ModelError
from inferstream.events import trace_context
from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause, Status
from inferstream.events.timeline import Timeline
from inferstream.pipeline.observe.traces import Traces, Tracing
from inferstream.pipeline.outcomes import Route
from inferstream.policy.sampling import TokenBucket
from inferstream.signals import Signals
from inferstream.testing import FakeModel, MeanTask

PARENT = trace_context.new_trace()
UNSAMPLED = PARENT._replace(is_sampled=False)


class Told:
    """Where traces go."""

    def __init__(self) -> None:
        self.ways: list[Timeline] = []

    def offer(self, way: Timeline) -> None:
        self.ways.append(way)


class Noting(FakeModel):
    """Remembers the trace context of each call."""

    def __init__(self) -> None:
        super().__init__(MeanTask())
        self.traceparents: list[bytes | None] = []

    async def infer(self, tensors: Any, timeout: float, traceparent: bytes | None = None) -> Any:
        self.traceparents.append(traceparent)
        return await super().infer(tensors, timeout)


class Traced(World):
    """A pipeline whose events may leave traces."""

    def __init__(self, ratio: float = 0.0, per_second: float = 50, **settings: Any) -> None:
        super().__init__(**settings)
        self.told = Told()
        self.model = self.noting = Noting()
        self.tracing = Tracing(ratio, TokenBucket(per_second), self.told)

    async def answers(self, count: int) -> None:
        """Let the pipeline work until there are so many outcomes."""
        async with running(self.pipeline()):
            await self.until(lambda: len(self.outcomes()) >= count)
            await self.until(lambda: self.committed() + self.committed(1) >= count)

    def passed_on(self) -> list[list[bytes | None]]:
        """The `traceparent` headers of each outcome."""
        return [[v for n, v in record.headers if n == "traceparent"] for record in self.broker.records("out")]

    def counted(self, family: Any) -> dict[str, int]:
        return {dict(labels)["reason"]: int(value) for _, labels, value in family.samples()}


def reading(number: int = 0) -> bytes:
    return encode({"id": f"r{number}", "values": [1.0, 2.0, 3.0]})


async def test_an_event_sampled_upstream_goes_on_as_our_span_and_so_does_its_call() -> None:
    world = Traced()
    world.write(reading(), 0, ("traceparent", PARENT.header()), ("own", b"1"))
    await world.answers(1)
    (way,) = world.told.ways
    assert (way.kept.parent, way.kept.reason) == (PARENT, "head")
    assert way.kept.context.trace_id == PARENT.trace_id
    assert world.passed_on() == [[way.kept.context.header()]]
    assert way.call is not None
    assert world.noting.traceparents == [way.call.context.header()]
    assert way.call.members == [way.kept.context]
    assert way.taken_ns <= way.asked_ns <= way.answered_ns <= way.emitted_ns <= way.acknowledged_ns
    assert abs(way.taken_ns / 1e9 - time.time()) < 10
    assert (way.status, way.is_in_time, way.partition, way.offset) == (Status.SCORED, True, 0, 0)


async def test_an_unsampled_event_goes_on_as_it_came_and_the_server_hears_nothing() -> None:
    world = Traced()
    world.write(reading(), 0, ("traceparent", UNSAMPLED.header()))
    world.write(reading(1), 1)
    await world.answers(2)
    assert world.told.ways == []
    assert sorted(world.passed_on()) == [[], [UNSAMPLED.header()]]
    assert set(world.noting.traceparents) == {None}


async def test_a_context_that_is_none_begins_no_trace() -> None:
    world = Traced()
    world.write(reading(), 0, ("traceparent", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01"))
    await world.answers(1)
    assert world.told.ways == []


async def test_what_goes_wrong_is_kept_with_its_reason_though_nobody_sampled_it() -> None:
    world = Traced(on_miss="fallback")
    world.write(b"\xc1", 0, ("traceparent", UNSAMPLED.header()))  # poison
    world.write(reading(), 0, age_ms=60_000)  # too late
    await world.answers(2)
    kept = {way.status: way for way in world.told.ways}
    assert {status: way.kept.reason for status, way in kept.items()} == {
        Status.DEAD_LETTERED: "failed",
        Status.EXPIRED: "slo_miss",
    }
    assert kept[Status.DEAD_LETTERED].kept.parent == UNSAMPLED
    assert kept[Status.DEAD_LETTERED].stage == "decode"
    assert kept[Status.EXPIRED].kept.parent is None
    assert all(len(parents) == 1 for parents in world.passed_on())


async def test_a_failed_call_leaves_the_trace_of_the_fallback() -> None:
    world = Traced()

    def fail(call: int, tensors: Any) -> None:
        raise ModelError(Cause.MODEL_TIMEOUT, "too slow")

    world.model.fails = fail
    world.write(reading(), 0)
    await world.answers(1)
    (way,) = world.told.ways
    assert (way.cause, way.kept.reason, way.status) == (Cause.MODEL_TIMEOUT, "fallback", Status.FALLBACK)
    assert way.answerer is not None
    assert way.answerer.kind == "rules"


async def test_over_the_budget_traces_are_counted_and_not_kept() -> None:
    world = Traced(per_second=5)
    for number in range(200):
        world.write(reading(number), number % 2, age_ms=60_000)
    await world.answers(200)
    kept, suppressed = world.counted(world.signals.traces), world.counted(world.signals.suppressed_traces)
    assert kept["slo_miss"] == len(world.told.ways)
    assert kept["slo_miss"] + suppressed["slo_miss"] == 200
    assert 5 <= kept["slo_miss"] <= 50


@pytest.mark.parametrize("headers", [(), (("traceparent", UNSAMPLED.header()),)])
async def test_a_share_of_what_goes_well_is_kept_too(headers: tuple[tuple[str, bytes], ...]) -> None:
    world = Traced(ratio=1.0)
    world.write(reading(), 0, *headers)
    await world.answers(1)
    (way,) = world.told.ways
    assert way.kept.reason == "ratio"
    assert (way.kept.parent is None) == (not headers)


async def test_a_dead_letter_is_told_with_its_place_its_cause_and_its_trace_and_without_what_it_says() -> None:
    world = Traced()
    world.write(encode({"id": NUMBER, "values": "secret"}), 1, ("traceparent", PARENT.header()))
    with structlog.testing.capture_logs() as lines:
        await world.answers(1)
    (line,) = [line for line in lines if line["event"] == "dead_letters"]
    (way,) = world.told.ways
    assert (line["partition"], line["offset"], line["cause"], line["count"]) == (1, 0, "invalid", 1)
    assert line["trace_id"] == f"{PARENT.trace_id:032x}"
    assert line["span_id"] == f"{way.kept.context.span_id:016x}"
    assert not repeats(line, NUMBER)
    assert "secret" not in str(line)


async def test_an_event_that_turns_out_late_only_when_it_is_acknowledged_is_kept_once() -> None:
    world = Traced(slo_ms=400)
    world.broker.set_acknowledges(False)
    world.write(reading(), 0)
    async with running(world.pipeline()):
        await world.until(lambda: len(world.outcomes()) == 1)
        await asyncio.sleep(0.5)
        world.broker.set_acknowledges(True)
        await world.until(lambda: world.committed() == 1)
    (way,) = world.told.ways
    assert (way.kept.reason, way.status, way.is_in_time) == ("slo_miss", Status.SCORED, False)
    assert way.slack_ms < 0
    assert world.counted(world.signals.traces) == {"slo_miss": 1}


def test_a_call_is_linked_to_all_its_kept_events_before_any_of_them_ends() -> None:
    route = Route("p", "t", "g", "in", "out", "dead", 1)
    traces = Traces(route, Tracing(0.0, TokenBucket(50), Told()), Clock(), Signals())
    headers = [[("traceparent", PARENT.header())], [], [("traceparent", PARENT.header())]]
    events = [Event(SimpleNamespace(headers=given), (0, 1, "default"), "default", 0.0, 0, 0.0, 0) for given in headers]
    traces.taken(events)
    call = traces.call(events, "triton:8001")
    assert call is not None
    assert (call.rows, call.server) == (3, "triton:8001")
    assert call.members == [event.trace.context for event in events if event.trace is not None]
    assert len(call.members) == 2
    assert traces.call(events[1:2], "triton:8001") is None
