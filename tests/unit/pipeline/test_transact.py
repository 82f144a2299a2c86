"""Exactly once: outcomes and offsets appear together, whatever happens to writers, brokers and assignments."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from tests.unit.pipeline.world import GROUP, World, encode, ids, running

from inferstream.pipeline.interfaces import OutRecord
from inferstream.pipeline.transact import _cancelled
from inferstream.settings import SloClassSettings
from inferstream.testing import FakeModel, FakeSource, FakeTransactions, MeanTask


def world(**settings: Any) -> World:
    return World(delivery="exactly_once", **settings)


def repeated(given: World) -> list[str]:
    """Ids of which there are several outcomes."""
    return [id_ for id_, count in Counter(ids(given.outcomes())).items() if count > 1]


async def test_a_task_that_swallows_its_cancellation_is_told_again() -> None:
    """As one does in which a call's answer comes at that moment: a partition that goes waits for it, for ever else."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await _cancelled(task)
    assert task.cancelled()
    assert swallowed == 2


async def test_outcomes_dead_letters_and_offsets_are_written_together() -> None:
    """Each event once; what is committed never lags behind what can be read."""
    made = world()
    made.write_readings(20, 0)
    made.write(b"\xc1", 1)
    async with running(made.pipeline()):
        await made.until(lambda: made.committed(0) == 20 and made.committed(1) == 1)
        assert len(made.outcomes()) == 21
        assert len(made.broker.records("dead")) == 1
    assert repeated(made) == []
    assert made.signals.committed.total() == 21
    assert made.signals.in_time.total() >= 20


async def test_nothing_is_written_beyond_what_is_committed() -> None:
    """Of two classes the first event waits long: the outcomes of later ones are held, not written ahead of it."""
    made = world(slo_classes={"slow": SloClassSettings(slo_ms=60_000)})
    gate = asyncio.Event()

    class Gated(FakeModel):
        async def infer(self, tensors: Any, timeout: float, traceparent: bytes | None = None) -> Any:
            if any(values[0] == 100.0 for values in tensors["values"]):
                await gate.wait()
            return await super().infer(tensors, timeout)

    made.model = Gated(MeanTask())
    made.write(encode({"id": "held", "values": [100.0, 1.0, 2.0]}), 0, ("slo-class", b"slow"))
    async with running(made.pipeline()):
        await asyncio.sleep(0.05)
        made.write_readings(5, 0)
        await asyncio.sleep(0.1)
        assert made.outcomes() == []
        assert made.committed(0) == 0
        gate.set()
        await made.until(lambda: made.committed(0) == 6)
    assert len(made.outcomes()) == 6
    assert repeated(made) == []


async def test_a_tombstone_that_is_skipped_passes_without_anything_written() -> None:
    """Its offset is committed all the same."""
    made = world(tombstones="skip")
    made.write(None, 0)
    async with running(made.pipeline()):
        await made.until(lambda: made.committed(0) == 1)
    assert made.outcomes() == []


async def test_a_transaction_whose_end_is_unknown_is_found_out_and_nothing_is_repeated() -> None:
    """The broker goes in the middle of a commit that it has taken: what it has is not written again."""
    made = world()
    made.broker.set_acknowledges(False)
    made.write_readings(4, 0)
    async with running(made.pipeline()):
        await made.until(lambda: len(made.outcomes()) > 0)
        made.broker.set_up(False)
        await asyncio.sleep(0.05)
        made.broker.set_acknowledges(True)
        made.write_readings(4, 0)
        made.broker.set_up(True)
        await made.until(lambda: made.committed(0) == 8)
        await asyncio.sleep(0.05)
    assert len(made.outcomes()) == 8
    assert repeated(made) == []


async def test_whoever_is_fenced_and_still_the_owner_starts_over() -> None:
    """A transaction that the broker gave up looks the same as another owner: after a pause we are the writer again."""
    made = world()
    pipeline = made.pipeline()
    async with running(pipeline):
        made.write_readings(3, 0)
        await made.until(lambda: made.committed(0) == 3)
        made.broker.producer_epochs[GROUP, "in", 0] += 1
        made.write_readings(3, 0)
        await made.until(lambda: made.committed(0) == 6)
    assert repeated(made) == []


async def test_a_partition_that_goes_while_it_is_read_again_is_not_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task swallows the cancellation, as one may to whom an answer comes at that moment."""
    made, is_rewinding = world(), asyncio.Event()

    async def hears_late(self: FakeSource, partition: int) -> None:
        is_rewinding.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await self._begin_epoch([partition])  # to a source that is not told yet, it is still ours

    monkeypatch.setattr(FakeSource, "rewind", hears_late)
    before = asyncio.all_tasks()
    async with running(made.pipeline()):
        made.write_readings(3, 0)
        await made.until(lambda: made.committed(0) == 3)
        made.broker.producer_epochs[GROUP, "in", 0] += 1
        made.write_readings(3, 0)
        await is_rewinding.wait()
    assert asyncio.all_tasks() == before


async def test_partitions_change_hands_without_a_repeat() -> None:
    """Two members, each in the middle of its work as the other comes and goes."""
    made = world()
    first, second = made.pipeline(), made.pipeline()
    async with running(first):
        made.write_readings(10, 0)
        made.write_readings(10, 1)
        async with running(second):
            made.write_readings(10, 0)
            made.write_readings(10, 1)
            await made.until(lambda: made.committed(0) == 20 and made.committed(1) == 20)
    assert len(made.outcomes()) == 40
    assert repeated(made) == []


async def test_a_tombstone_the_broker_refuses_does_not_hold_its_partition() -> None:
    """Passed on, it carries no id of ours; it is known again all the same."""
    made = world(tombstones="forward")
    async with running(made.pipeline()):
        made.write_readings(1, 0)
        await made.until(lambda: made.committed(0) == 1)
        made.broker.limit("out", 600)
        made.write(None, 0, ("x-large", b"x" * 1_000))
        made.write_readings(1, 0)
        await made.until(lambda: made.committed(0) == 3)
    assert len(made.broker.records("dead")) == 1


async def test_an_outcome_the_broker_refuses_becomes_a_dead_letter_and_the_others_pass() -> None:
    """The topic's limit was lowered while we ran."""
    made = world()
    async with running(made.pipeline()):
        made.write_readings(2, 0)
        await made.until(lambda: made.committed(0) == 2)
        made.broker.limit("out", 600)
        made.write(encode({"id": "big", "values": [1.0, 2.0, 3.0]}), 0, ("x-large", b"x" * 1_000))
        made.write_readings(2, 0)
        await made.until(lambda: made.committed(0) == 5)
    outcomes = {outcome["id"]: outcome["outcome"] for outcome in made.outcomes()}
    assert len(outcomes) == 5
    assert repeated(made) == []
    assert outcomes["g/in/0/2"] == "dead_lettered"
    assert len(made.broker.records("dead")) == 1
    assert [outcomes[f"g/in/0/{offset}"] for offset in (0, 1, 3, 4)] == ["scored"] * 4


async def test_one_who_was_away_while_it_became_the_writer_again_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused, frozen, and thawed when another has answered the rest: what it had ready is not its own any more."""
    made = world()
    begin = FakeTransactions.open
    is_away = False

    async def open_late(self: FakeTransactions, partition: int) -> None:
        if is_away and made.committed(partition) == 2:
            for offset in range(2, 5):
                made.broker.append("out", partition, OutRecord(b"k", encode({"id": f"g/in/0/{offset}"}), [], 0))
            made.broker.committed[GROUP]["in", partition] = 5
        await begin(self, partition)

    monkeypatch.setattr(FakeTransactions, "open", open_late)
    async with running(made.pipeline()):
        made.write_readings(2, 0)
        await made.until(lambda: made.committed(0) == 2)
        is_away = True
        made.broker.limit("out", 600)
        made.write(encode({"id": "big", "values": [1.0, 2.0, 3.0]}), 0, ("x-large", b"x" * 1_000))
        made.write_readings(2, 0)
        await made.until(lambda: made.committed(0) == 5)
        made.write_readings(1, 0)
        await made.until(lambda: made.committed(0) == 6)
    assert repeated(made) == []
    assert len(made.outcomes()) == 6
