"""A canary answers its share of the keys, never costs an event its answer, and is stopped when it does worse."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.unit.pipeline.world import GROUP, Clock, World, encode, running

from inferstream.errors import ModelError
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.interfaces import OutRecord, Prediction
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.policy.rollout import Split
from inferstream.settings import CanarySettings
from inferstream.tasks import Tensors
from inferstream.testing import FakeModel, FakeSource, MeanTask

SHARE = 0.5
OURS = Split("canary", SHARE)


class Fledgling(FakeModel):
    """A fake of version 2."""

    async def infer(self, tensors: Tensors, timeout: float, *more: Any) -> Prediction:
        prediction = await super().infer(tensors, timeout, *more)
        return prediction._replace(answerer=Answerer("model", "fake", "2"))


class WithCanary(World):
    """A pipeline whose canary has half of the keys."""

    def __init__(self, **settings: Any) -> None:
        canary = CanarySettings(model="fake:2", share=SHARE, window=200)
        super().__init__(canary=canary, **settings)
        self.canary = Fledgling(MeanTask())
        self.running: Pipeline

    def pipeline(self, student: FakeModel | None = None, commit_interval: float = 0.01) -> Pipeline:
        route = Route("p", "mean", GROUP, "in", "out", "dead", 1)
        source = FakeSource(self.broker, "in", GROUP)
        ports = Ports(source, self.sink, [self.model], student, Clock(), self.signals, canary_models=[self.canary])
        self.running = Pipeline(route, self.task, self.settings, Timing(commit_interval, 1.0), ports)
        return self.running

    def write_keys(self, count: int, first: int = 0) -> None:
        for n in range(first, first + count):
            value = encode({"id": f"key-{n}", "values": [float(n), 1.0, 2.0]})
            self.broker.append("in", 0, OutRecord(f"key-{n}".encode(), value, [], int(Clock().unix_ms())))

    def answers(self) -> Counter[tuple[str, bool, str]]:
        """Outcome, whether its key is the canary's, and the version that answered."""
        return Counter(
            (o["outcome"], OURS.takes(o["event_id"].encode()), o["answered_by"]["version"]) for o in self.outcomes()
        )


def ours(count: int) -> int:
    return sum(OURS.takes(f"key-{n}".encode()) for n in range(count))


def fail_with(cause: Cause) -> Any:
    def fail(call: int, tensors: Tensors) -> None:
        raise ModelError(cause, "as told")

    return fail


async def test_each_key_is_answered_by_whose_it_is() -> None:
    world = WithCanary()
    world.write_keys(200)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 200)
    assert world.answers() == {("scored", True, "2"): ours(200), ("scored", False, "1"): 200 - ours(200)}
    assert world.signals.canary_events.total(fate="answered") == ours(200)


@pytest.mark.parametrize(
    "cause", [Cause.MODEL_ERROR, Cause.MODEL_GARBAGE, Cause.MODEL_UNAVAILABLE, Cause.MODEL_REJECTED]
)
async def test_what_it_fails_is_scored_by_the_model_and_too_much_of_it_stops_it_for_good(cause: Cause) -> None:
    world = WithCanary()
    world.canary.fails = fail_with(cause)
    with capture_logs() as logs:
        async with running(world.pipeline()):
            for first in range(0, 600, 20):
                world.write_keys(20, first)
                await asyncio.sleep(0.01)
            await world.until(lambda: world.committed() == 600)
            calls = len(world.canary.calls)
            world.canary.fails = lambda call, tensors: None
            world.write_keys(100, 600)
            await world.until(lambda: world.committed() == 700)
    assert set(world.answers()) == {("scored", True, "1"), ("scored", False, "1")}
    assert len(world.canary.calls) == calls
    assert world.signals.canary_stopped.total() == 1
    told = [entry for entry in logs if entry["event"] == "canary_stopped"]
    assert [entry["remedy"] for entry in told] == ["mend it; then `inferstream models canary --resume --pipeline p`"]


async def test_it_goes_on_when_it_is_resumed() -> None:
    world = WithCanary()
    world.canary.fails = fail_with(Cause.MODEL_ERROR)
    async with running(world.pipeline()):
        for first in range(0, 600, 20):
            world.write_keys(20, first)
            await asyncio.sleep(0.01)
        await world.until(lambda: world.signals.canary_stopped.total() == 1 and world.committed() == 600)
        world.canary.fails = lambda call, tensors: None
        world.running.resume_canary()
        world.write_keys(100, 600)
        await world.until(lambda: world.committed() == 700)
    assert world.signals.canary_stopped.total() == 0
    assert world.answers()["scored", True, "2"] == ours(700) - ours(600)


async def test_one_that_never_answers_leaves_the_model_the_time_it_needs() -> None:
    world = WithCanary(slo_ms=2_000, emit_reserve_ms=200)
    world.canary.delay = 60.0
    world.write_keys(40)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 40)
    assert set(world.answers()) == {("scored", True, "1"), ("scored", False, "1")}
    assert all(outcome["deadline_met"] for outcome in world.outcomes())
    assert world.signals.canary_events.total(fate="late") == ours(40)


async def test_one_that_is_not_ready_is_not_asked() -> None:
    world = WithCanary()
    world.canary.is_up = False
    world.write_keys(50)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 50)
    assert set(world.answers()) == {("scored", True, "1"), ("scored", False, "1")}
    assert world.canary.calls == []
    assert world.signals.canary_events.total() == 0


async def test_what_waits_for_one_that_goes_away_is_the_models_at_once() -> None:
    world = WithCanary()
    world.canary.delay = 0.3
    async with running(world.pipeline()):
        world.write_keys(50)
        await world.until(lambda: len(world.canary.calls) == 1)
        world.write_keys(50, first=50)
        await asyncio.sleep(0.05)
        world.canary.is_up = False
        await world.until(lambda: world.committed() == 100, timeout=2.0)
    assert world.answers() == {("scored", True, "1"): ours(100), ("scored", False, "1"): 100 - ours(100)}


async def test_a_server_that_fails_for_both_does_not_stop_it() -> None:
    world = WithCanary()
    world.model.fails = world.canary.fails = fail_with(Cause.MODEL_GARBAGE)
    async with running(world.pipeline()):
        for first in range(0, 600, 20):
            world.write_keys(20, first)
            await asyncio.sleep(0.01)
        await world.until(lambda: world.committed() == 600)
    assert world.signals.canary_stopped.total() == 0
