"""Watch: what its looks make of the stages, and when it says that only a restart helps."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from inferstream.errors import Unavailable
from inferstream.pipeline.observe import watch
from inferstream.signals import Signals
from inferstream.testing import FakeClock

PATIENCE = 60.0


class Stages:
    """A partition with records behind it that nobody takes, unless something excuses that."""

    def __init__(self, **given: Any) -> None:
        self.given = {"held": False, "pending": False, "full": False, "taking": 0.0, "away": False, **given}
        self.clock = FakeClock()
        self.behind = {3: 7}
        self.signals = Signals()
        source = SimpleNamespace(behind=self._behind, is_held=lambda partition: self.given["held"])
        consume = SimpleNamespace(taking_seconds=lambda: self.given["taking"], is_full=self.given["full"])
        emit = SimpleNamespace(is_pending=lambda partition: self.given["pending"])
        self.taken_ms = {3: int(self.clock.unix_ms()) - 4_000}
        commit = SimpleNamespace(partitions=lambda: [(3, 1, 10, 0)], last_timestamps_ms=lambda: self.taken_ms)
        stages: Any = (source, consume, emit, commit)
        self.watch = watch.Watch("p", stages, PATIENCE, self.clock, self.signals)

    async def _behind(self) -> Mapping[int, int]:
        if self.given["away"]:
            raise Unavailable("as told")
        return self.behind

    async def after(self, seconds: float) -> str | None:
        """What is said after looks over so long."""
        task = asyncio.create_task(self.watch.run())
        for _ in range(int(seconds / 10)):
            await asyncio.sleep(0.01)
            self.clock.advance(10.0)
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return self.watch.stuck


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_INTERVAL", 0.001)


async def test_a_partition_that_is_left_lying_is_told_and_how_far_it_is_behind() -> None:
    stages = Stages()
    assert await stages.after(30) is None
    said = await stages.after(60)
    assert said is not None
    assert "partition 3" in said
    assert stages.signals.behind.total() == 7


@pytest.mark.parametrize("excuse", ["held", "pending", "full", "away"])
async def test_what_is_known_to_keep_it_is_an_excuse(excuse: str) -> None:
    assert await Stages(**{excuse: True}).after(120) is None


async def test_a_broker_that_was_away_starts_the_wait_anew() -> None:
    stages = Stages()
    assert await stages.after(50) is None
    stages.given["away"] = True
    assert await stages.after(30) is None
    stages.given["away"] = False
    assert await stages.after(50) is None
    assert await stages.after(30) is not None


async def test_a_consumer_that_does_not_answer_is_told() -> None:
    said = await Stages(held=True, taking=61.0).after(0)
    assert said is not None
    assert "the consumer does not answer" in said


async def test_what_is_held_is_not_behind_to_an_autoscaler() -> None:
    """More instances would not take it."""
    stages = Stages()
    await stages.after(10)
    assert stages.signals.behind.total() == 7
    stages.given["held"] = True
    await stages.after(10)
    assert stages.signals.behind.total() == 0


async def test_lag_is_shown_in_seconds_for_the_partitions_that_are_ours() -> None:
    stages = Stages()
    await stages.after(20)
    assert stages.signals.lag.total(pipeline="p", partition="3") == 24.0
    stages.behind = {4: 0}
    await stages.after(10)
    assert [dict(sample.labels)["partition"] for sample in stages.signals.lag.samples()] == ["4"]
    assert stages.signals.lag.total() == 0.0


async def test_lag_grows_while_the_brokers_are_away_since_events_may_come() -> None:
    stages = Stages()
    stages.behind = {3: 0}
    await stages.after(20)
    assert stages.signals.lag.total() == 0.0
    stages.given["away"] = True
    await stages.after(60)
    assert 50.0 <= stages.signals.lag.total() <= 60.0
    stages.given["away"] = False
    await stages.after(10)
    assert stages.signals.lag.total() == 0.0
