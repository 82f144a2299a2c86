"""The second model is asked when the first cannot answer, if it has the time; else the student, then the rules."""

import asyncio
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.pipeline.world import GROUP, Clock, World, encode, running

from inferstream.errors import ModelError
from inferstream.events.envelope import Event
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.infer import Answer, Chain, Infer, Missed
from inferstream.pipeline.interfaces import Prediction
from inferstream.pipeline.observe.traces import NoTraces
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.policy.reserve import Reserve
from inferstream.settings import BatchingSettings
from inferstream.signals import Signals
from inferstream.tasks import Tensors
from inferstream.testing import FakeModel, FakeSource, MeanTask, Reading


class Named(FakeModel):
    """A fake that says who it is, and notes how many calls it had at once."""

    def __init__(self, kind: str, delay: float = 0.0) -> None:
        super().__init__(MeanTask(), delay)
        self.kind = kind
        self.under_way = self.most_under_way = 0

    async def infer(self, tensors: Tensors, timeout: float, traceparent: bytes | None = None) -> Prediction:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            prediction = await super().infer(tensors, timeout)
        finally:
            self.under_way -= 1
        return prediction._replace(answerer=Answerer(self.kind, "another", "7"))


class TwoModels(World):
    """A pipeline with a second model and a student."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.second = Named("model")
        self.student: FakeModel | None = Named("student")

    def pipeline(self, student: FakeModel | None = None, commit_interval: float = 0.01) -> Pipeline:
        route = Route("p", "mean", GROUP, "in", "out", "dead", 1)
        source = FakeSource(self.broker, "in", GROUP)
        ports = Ports(source, self.sink, [self.model], self.student, Clock(), self.signals, [self.second])
        return Pipeline(route, self.task, self.settings, Timing(commit_interval, 1.0), ports)

    async def answers(self, count: int) -> Counter[tuple[str, str | None, str]]:
        """Outcome, cause and kind of who answered, of so many readings."""
        self.write_readings(count)
        async with running(self.pipeline()):
            await self.until(lambda: self.committed() == count)
        assert all(outcome["deadline_met"] for outcome in self.outcomes())
        return Counter((o["outcome"], o.get("cause"), o["answered_by"]["kind"]) for o in self.outcomes())


def fail_with(cause: Cause) -> Any:
    def fail(call: int, tensors: Tensors) -> None:
        raise ModelError(cause, "as told")

    return fail


async def test_it_is_not_asked_while_the_first_answers() -> None:
    world = TwoModels()
    assert await world.answers(20) == {("scored", None, "model"): 20}
    assert world.second.calls == []


async def test_it_answers_while_the_first_is_away_and_the_outcome_says_so() -> None:
    world = TwoModels(slo_ms=1_000)
    world.model.is_up = False
    assert await world.answers(20) == {("fallback", "model_unavailable", "model"): 20}
    assert world.outcomes()[4]["answered_by"] == {"kind": "model", "name": "another", "version": "7"}
    assert world.outcomes()[4]["result"]["mean"] == pytest.approx(7 / 3)
    assert sum(world.second.calls) == 20


@pytest.mark.parametrize("cause", [Cause.MODEL_ERROR, Cause.MODEL_GARBAGE])
async def test_it_answers_what_a_failed_call_leaves(cause: Cause) -> None:
    world = TwoModels()
    world.model.fails = fail_with(cause)
    assert await world.answers(5) == {("fallback", cause.value, "model"): 5}


async def test_without_it_the_student_answers_and_then_the_rules() -> None:
    world = TwoModels(slo_ms=1_000)
    world.model.is_up = world.second.is_up = False
    assert await world.answers(3) == {("fallback", "model_unavailable", "student"): 3}
    world = TwoModels(slo_ms=1_000)
    world.model.is_up = world.second.is_up = False
    world.student = None
    assert await world.answers(3) == {("fallback", "model_unavailable", "rules"): 3}


@pytest.mark.parametrize("cause", [Cause.MODEL_ERROR, Cause.MODEL_UNAVAILABLE, Cause.MODEL_REJECTED])
async def test_if_it_fails_too_the_student_answers_for_the_first_ones_reason(cause: Cause) -> None:
    world = TwoModels()
    world.model.fails, world.second.fails = fail_with(Cause.MODEL_GARBAGE), fail_with(cause)
    assert await world.answers(3) == {("fallback", "model_garbage", "student"): 3}
    assert len(world.second.calls) == 1


async def test_a_call_that_took_all_the_time_leaves_none_for_it() -> None:
    world = TwoModels(slo_ms=800, emit_reserve_ms=300)
    world.model.delay = 60.0
    assert await world.answers(1) == {("fallback", "model_timeout", "student"): 1}
    assert world.second.calls == []


async def test_one_that_never_answers_is_given_up_in_time() -> None:
    """It holds up a call's events until the student has to answer, and no others."""
    world = TwoModels(slo_ms=800, emit_reserve_ms=300)
    world.model.is_up = False
    world.second.delay = 60.0
    async with running(world.pipeline()):
        for n in range(100):
            world.write(encode({"id": str(n), "values": [1.0, 2.0, 3.0]}))
            await asyncio.sleep(0.01)
        await world.until(lambda: world.committed() == 100)
    assert {o["answered_by"]["kind"] for o in world.outcomes()} == {"student"}
    assert all(o["deadline_met"] for o in world.outcomes())
    assert world.second.most_under_way == 1


async def test_when_the_first_is_overloaded_the_second_never_has_more_calls_than_instances() -> None:
    world = TwoModels(slo_ms=300, emit_reserve_ms=50, batching=BatchingSettings(max_batch_size=4))
    world.model.delay, world.second.delay = 0.03, 0.02
    async with running(world.pipeline()):
        for _ in range(40):  # more than both can make
            world.write_readings(50)
            await asyncio.sleep(0.03)
        await world.until(lambda: world.committed() == 2_000)
    kinds = Counter((o["outcome"], o["answered_by"]["kind"]) for o in world.outcomes())
    assert kinds["scored", "model"] > 20
    assert kinds["fallback", "model"] > 10
    assert kinds["fallback", "student"] > 100
    assert world.second.most_under_way == 1


async def test_a_class_that_wants_no_fallback_is_not_sent_to_it() -> None:
    world = TwoModels(slo_ms=1_000, on_miss="expire")
    world.model.is_up = False
    world.write_readings(3)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3)
    assert {outcome["outcome"] for outcome in world.outcomes()} == {"expired"}
    assert world.second.calls == []


def event(number: int) -> Event:
    return Event(
        SimpleNamespace(partition=0, offset=number),
        (0, 1, "default"), "default", time.monotonic() + 5, 0, time.monotonic(), 0, Reading("x", [float(number)] * 3),
    )  # fmt: skip


async def test_events_missed_for_different_reasons_share_a_call_and_keep_their_reasons() -> None:
    answers: list[Answer] = []

    async def decided(answer: Answer) -> None:
        answers.append(answer)

    chain, reserve = Chain(None, {}), Reserve(1.0)
    infer = Infer("p", MeanTask(), chain, decided, reserve, Clock(), Signals(), NoTraces())
    events, second = [event(number) for number in range(6)], Named("model")
    parts = [Missed(events[:2] + events[4:], Cause.PREDICTED_LATE), Missed(events[2:4], Cause.MODEL_ERROR)]
    tried = await infer.by_second(parts, second, time.monotonic() + 5)
    assert (tried.was_answered, list(tried.missed), second.calls) == (True, [], [6])
    told = {
        e.payload.values[0]: (float(mean), answer.provenance.cause)
        for answer in answers
        for e, mean in zip(answer.events, (answer.outputs or {})["mean"][:, 0], strict=True)
    }
    late, error = Cause.PREDICTED_LATE, Cause.MODEL_ERROR
    assert told == {0: (0, late), 1: (1, late), 2: (2, error), 3: (3, error), 4: (4, late), 5: (5, late)}
