"""The ring of the last events that were not scored in time, and what the pipeline puts into it."""

import pytest
from tests.unit.pipeline.world import World, encode, running

from inferstream.events import headers
from inferstream.signals import Miss, Misses, newest
from inferstream.signals.misses import KEPT


def miss(number: int, late_ms: float = 0.0) -> Miss:
    return Miss(number, "p", "default", 0, number, "fallback", "model_error", late_ms, 1, 2, 3, 4)


def note(misses: Misses, one: Miss, now: float) -> None:
    if misses.wants(one.late_ms > 0, now):
        misses.add(one, now)


def test_nothing_is_kept_until_somebody_may_look() -> None:
    misses = Misses()
    note(misses, miss(1), 1e12)
    assert misses.last() == ()


def test_of_thousands_a_second_a_few_are_kept() -> None:
    misses = Misses()
    misses.keep()
    for number in range(10_000):
        note(misses, miss(number), number / 10_000)
    assert [one.offset for one in misses.last()] == [0, 2_500, 5_000, 7_500]


def test_the_ring_is_bounded_and_those_in_time_do_not_push_out_the_late() -> None:
    misses = Misses()
    misses.keep()
    note(misses, miss(7, late_ms=3.0), 0.0)
    for number in range(100, 200):
        note(misses, miss(number), float(number))
    kept = misses.last()
    assert len(kept) == 1 + KEPT
    assert [one.offset for one in newest(kept)] == [*range(199, 199 - KEPT, -1), 7]


@pytest.mark.parametrize("is_kept", [False, True])
async def test_the_pipeline_keeps_where_a_missed_event_was_and_where_its_time_went(is_kept: bool) -> None:
    world = World(slo_ms=200)
    if is_kept:
        world.signals.misses.keep()
    async with running(world.pipeline()):
        world.write_readings(5)
        world.write(encode({"id": "late", "values": [1.0, 2.0, 3.0]}), 1, age_ms=700)
        await world.until(lambda: world.signals.outcomes.total() == 6)
    kept = world.signals.misses.last()
    assert len(kept) == is_kept
    for one in kept:
        assert (one.pipeline, one.slo_class, one.partition, one.offset) == ("p", "default", 1, 0)
        assert (one.outcome, one.cause) == ("expired", "too_late")
        assert one.late_ms >= 500
        assert one.fetch_us >= 700_000
        assert (one.queue_us, one.infer_us) == (0, 0)
        assert one.emit_us > 0


async def test_an_answer_that_comes_too_late_shows_the_model_took_the_time() -> None:
    world = World(slo_ms=100, on_miss="score_late")
    world.signals.misses.keep()
    world.model.delay = 0.3
    async with running(world.pipeline()):
        world.write_readings(1)
        await world.until(lambda: world.signals.outcomes.total() == 1)
    (one,) = world.signals.misses.last()
    assert (one.outcome, one.cause) == ("scored", "")
    assert one.late_ms > 0
    assert one.infer_us >= 250_000 > one.queue_us + one.emit_us


async def test_no_event_is_later_than_it_is_old() -> None:
    """Whatever deadline its producer names: 1970, here."""
    world = World(slo_ms=200)
    world.signals.misses.keep()
    deadline = (headers.DEADLINE_UNIX_MS, b"1000")
    async with running(world.pipeline()):
        world.write(encode({"id": "x", "values": [1.0, 2.0, 3.0]}), 1, deadline, age_ms=700)
        await world.until(lambda: world.signals.outcomes.total() == 1)
    (one,) = world.signals.misses.last()
    assert (one.outcome, one.cause) == ("expired", "too_late")
    assert 700 <= one.late_ms < 60_000
    assert one.late_ms == pytest.approx((one.fetch_us + one.emit_us) / 1_000, abs=1)
