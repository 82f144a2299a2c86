"""What a pipeline counts and times of its events, from the catalogue's side."""

import asyncio

from tests.unit.pipeline.world import World, encode, running

from inferstream.errors import ModelError
from inferstream.events.outcome import Cause
from inferstream.pipeline.interfaces import OutRecord
from inferstream.signals import STAGES


async def test_good_bad_and_late_events_are_where_the_objectives_look_for_them() -> None:
    world = World(slo_ms=2_000)
    for number in range(5):
        world.write(encode({"id": f"r{number}", "values": [1.0, 2.0, 3.0]}))
    world.write(b"\xc1 no message", 0)
    world.write(None, 0)
    world.write(encode({"id": "late", "values": [1.0, 2.0, 3.0]}), 0, age_ms=60_000)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 8)
    signals = world.signals
    assert signals.slo_valid.total(pipeline="p", slo_class="default") == 6, "five and the one that came too late"
    assert signals.slo_good.total(indicator="answered") == signals.slo_good.total(indicator="scored") == 5
    assert signals.poison.total() == signals.dead_letters.total(stage="decode") == 2
    assert signals.dead_letters.total(cause="malformed") == signals.dead_letters.total(cause="empty") == 1
    assert signals.causes.total(outcome="expired", cause="too_late") == 1
    assert signals.causes.total(outcome="dead_lettered") == 2


async def test_every_stage_is_timed_and_batches_are_held_against_their_estimate() -> None:
    world = World()
    world.write_readings(30)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 30)
    for stage in STAGES:
        assert world.signals.stage.total(pipeline="p", stage=stage) == 30, stage
    assert world.signals.busy.total(which="actual") > 0
    assert world.signals.busy.total(which="expected") > 0


async def test_calls_that_fail_are_told_apart_and_the_fallback_is_answered_but_not_scored() -> None:
    world = World(slo_ms=300)

    def fails(call: int, tensors: object) -> None:
        raise ModelError(Cause.MODEL_GARBAGE, "as told")

    world.model.fails = fails
    world.write_readings(3)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3)
        await asyncio.sleep(0)
    assert world.signals.failed_calls.total(cause="model_garbage") >= 1
    assert world.signals.causes.total(outcome="fallback", cause="model_garbage", slo_class="default") == 3
    assert world.signals.slo_good.total(indicator="answered") == 3
    assert world.signals.slo_good.total(indicator="scored") == 0


async def test_a_timestamp_that_cannot_be_right_makes_no_latency_of_years() -> None:
    """None at all, and one of an hour from now: both count from when they were taken."""
    world = World()
    value = encode({"id": "a", "values": [1.0, 2.0, 3.0]})
    world.write(value)
    world.write(value, age_ms=-3_600_000)
    world.broker.append("in", 0, OutRecord(b"key", value, [], -1))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3)
    (seconds,) = [sample.value for sample in world.signals.latency.samples() if sample.suffix == "_sum"]
    assert world.signals.latency.total(pipeline="p") == 3
    assert 0 < seconds < 5
