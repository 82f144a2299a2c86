"""A shadow scores a share of what the model answered, beside the path: nobody waits for it."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.unit.pipeline.world import GROUP, Clock, World, running

from inferstream.errors import ModelError
from inferstream.events.outcome import Answerer, Cause
from inferstream.events.shadow import ShadowScore
from inferstream.pipeline.interfaces import Prediction
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.settings import ShadowSettings
from inferstream.tasks import Tensors
from inferstream.testing import FakeBroker, FakeModel, FakeSink, FakeSource, MeanTask


class Another(FakeModel):
    """A fake of version 2 whose means are two higher; it notes how many calls it had at once."""

    def __init__(self) -> None:
        super().__init__(MeanTask())
        self.under_way = self.most_under_way = 0

    async def infer(self, tensors: Tensors, timeout: float, *more: Any) -> Prediction:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            outputs, _ = await super().infer(tensors, timeout, *more)
        finally:
            self.under_way -= 1
        return Prediction({name: array + 2 for name, array in outputs.items()}, Answerer("model", "fake", "2"))


class WithShadow(World):
    def __init__(self, share: float = 1.0, **settings: Any) -> None:
        super().__init__(shadow=ShadowSettings(model="fake:2", share=share), **settings)
        self.broker = FakeBroker({"in": 2, "out": 2, "dead": 1, "shadow-scores": 2})
        self.sink = FakeSink(self.broker)
        self.shadow = Another()

    def pipeline(self, student: FakeModel | None = None, commit_interval: float = 0.01) -> Pipeline:
        route = Route("p", "mean", GROUP, "in", "out", "dead", 1)
        source = FakeSource(self.broker, "in", GROUP)
        ports = Ports(
            source, self.sink, [self.model], student, Clock(), self.signals,
            shadow_models=[self.shadow], shadow_partitions=2,
        )  # fmt: skip
        return Pipeline(route, self.task, self.settings, Timing(commit_interval, 1.0), ports)

    def scores(self) -> list[ShadowScore]:
        records = self.broker.records("shadow-scores")
        return [msgspec.msgpack.decode(r.value or b"", type=ShadowScore) for r in records]

    def counted(self) -> dict[str, float]:
        return {result: self.signals.shadowed.total(result=result) for result in ("compared", "dropped", "failed")}


async def test_both_answers_are_written_beside_each_other_with_their_difference() -> None:
    world = WithShadow()
    world.write_readings(3)
    async with running(world.pipeline()):
        await world.until(lambda: world.counted()["compared"] == 3)
    score = world.scores()[2]
    assert score.id == world.outcomes()[2]["id"] == "g/in/0/2"
    assert (score.answered_by.version, score.shadow.version) == ("1", "2")
    assert score.result["mean"] == pytest.approx(5 / 3)
    assert score.shadow_result["mean"] == pytest.approx(11 / 3)
    assert score.differences == {"mean": pytest.approx(2.0)}
    assert {outcome["answered_by"]["version"] for outcome in world.outcomes()} == {"1"}
    assert world.signals.shadow_difference.total(output="mean") == 3


async def test_a_share_of_keys_is_compared() -> None:
    world = WithShadow(share=0.0)
    world.write_readings(20)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 20)
    assert world.shadow.calls == []


async def test_what_the_model_did_not_answer_is_not_compared() -> None:
    world = WithShadow(slo_ms=400)
    world.model.is_up = False
    world.write_readings(5)
    async with running(world.pipeline(FakeModel(MeanTask()))):  # a student has outputs, too
        await world.until(lambda: world.committed() == 5)
        await asyncio.sleep(0.05)
    assert world.shadow.calls == []


async def test_outcomes_do_not_wait_for_one_that_hangs() -> None:
    world = WithShadow()
    world.shadow.delay = 60.0
    async with running(world.pipeline()):
        began = time.monotonic()
        for _ in range(10):
            world.write_readings(10)
            await asyncio.sleep(0.01)
        await world.until(lambda: world.committed() == 100)
        assert time.monotonic() - began < 0.9  # a call to the shadow is given up after a second
    assert all(outcome["deadline_met"] for outcome in world.outcomes())
    assert world.shadow.most_under_way == 1


async def test_while_the_model_is_busy_it_is_not_asked_and_what_waited_long_is_dropped() -> None:
    world = WithShadow()
    world.model.delay = 0.02
    async with running(world.pipeline()):
        world.write_readings(10)
        await world.until(lambda: len(world.shadow.calls) > 0)
        asked = len(world.shadow.calls)
        for _ in range(100):  # a call is always under way
            world.write_readings(4)
            await asyncio.sleep(0.01)
        busy = len(world.shadow.calls) - asked
        await world.until(lambda: world.committed() == 410)
        await world.until(lambda: sum(world.counted().values()) == 410)
    assert busy < 10
    assert world.counted()["dropped"] > 0


@pytest.mark.parametrize("cause", [Cause.MODEL_ERROR, Cause.MODEL_GARBAGE])
async def test_its_failures_are_counted_and_told_once(cause: Cause) -> None:
    def fail(call: int, tensors: Tensors) -> None:
        raise ModelError(cause, "as told")

    world = WithShadow()
    world.shadow.fails = fail
    with capture_logs() as logs:
        async with running(world.pipeline()):
            for _ in range(3):
                world.write_readings(5)
                await asyncio.sleep(0.03)
            await world.until(lambda: world.counted()["failed"] == 15)
    assert {outcome["outcome"] for outcome in world.outcomes()} == {"scored"}
    assert [entry["error"] for entry in logs if entry["event"] == "shadow_failed"] == ["as told"]


async def test_a_topic_that_takes_none_costs_nobody_an_answer() -> None:
    world = WithShadow()
    world.broker.limits["shadow-scores"] = 10
    world.write_readings(5)
    async with running(world.pipeline()):
        await world.until(lambda: world.counted()["failed"] == 5)
        await world.until(lambda: world.committed() == 5)
    assert {outcome["outcome"] for outcome in world.outcomes()} == {"scored"}
