"""The stage that holds partitions, against a source and notes that say what they were told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from inferstream.errors import ContractMismatch, InferstreamError, Unavailable
from inferstream.events.envelope import Event, Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.pipeline.quarantine import Quarantine
from inferstream.policy.quarantine import free_note, held_note, read_notes
from inferstream.settings import DeadLetterLimitSettings
from inferstream.signals import Signals
from inferstream.testing import FakeBroker, FakeClock, FakeSource, StoredRecord


class Source(FakeSource):
    """Tells which partitions are held."""

    def __init__(self) -> None:
        super().__init__(FakeBroker({"in": 4}), "in", "g")
        self.held: set[int] = set()

    def hold(self, partition: int) -> None:
        self.held.add(partition)

    def release(self, partition: int) -> None:
        self.held.discard(partition)


class Notes:
    """Notes in memory; may be away or not allowed."""

    def __init__(self) -> None:
        self.written: dict[int, str] = {}
        self.fails: InferstreamError | None = None
        self.reads = 0
        self.is_stopped = False

    async def notes(self) -> Mapping[int, str]:
        self.reads += 1
        if self.fails is not None:
            raise self.fails
        return dict(self.written)

    async def annotate(self, notes: Mapping[int, str]) -> None:
        if self.fails is not None:
            raise self.fails
        self.written.update(notes)

    async def stop(self) -> None:
        self.is_stopped = True


class World:
    """The stage with partitions 0 and 1, in epoch 1."""

    def __init__(self, notes: Notes | None, limit: DeadLetterLimitSettings | None = None) -> None:
        self.clock, self.source, self.signals, self.notes = FakeClock(), Source(), Signals(), notes
        limit = limit or DeadLetterLimitSettings()
        self.stage = Quarantine("p", limit, self.source, notes, self.clock, self.signals)
        self.stage.assigned({0: 1, 1: 1})

    def settle(self, partition: int, statuses: Sequence[Cause | None], epoch: int = 1) -> None:
        self.stage.settled(events(partition, statuses, epoch))

    @property
    def quarantined(self) -> float:
        return self.signals.quarantined.total(pipeline="p")

    async def until(self, is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not is_true():  # noqa: ASYNC110 - the stage tells nobody when it has looked
                await asyncio.sleep(0.002)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.stage.run())
    await asyncio.sleep(0.01)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def events(partition: int, causes: Sequence[Cause | None], epoch: int = 1) -> list[Event]:
    """Settled events: a cause makes a dead letter."""
    made = []
    for offset, cause in enumerate(causes):
        event = Event(
            StoredRecord("in", partition, offset, 0, None, b"", ()),
            (partition, epoch, "default"),
            "default",
            0,
            0,
            0,
            0,
        )
        event.status = Status.SCORED if cause is None else Status.DEAD_LETTERED
        event.verdict = None if cause is None else Verdict(Status.DEAD_LETTERED, cause, "decode")
        made.append(event)
    return made


POISON = [Cause.MALFORMED] * 101


async def test_poison_holds_the_partition_says_so_and_notes_it() -> None:
    world = World(notes := Notes())
    async with running(world):
        with capture_logs() as logs:
            world.settle(1, POISON)
        assert world.source.held == {1}
        assert world.quarantined == 1
        assert world.signals.quarantines.total() == 1
        assert logs[0]["event"] == "partition_quarantined"
        assert (logs[0]["log_level"], logs[0]["partition"]) == ("error", 1)
        assert "`inferstream resume --pipeline p --partition 1`" in logs[0]["remedy"]
        await world.until(lambda: 1 in notes.written)
        assert read_notes(notes.written)[1].since_unix_ms == int(world.clock.unix_ms())


@pytest.mark.parametrize("cause", [Cause.MODEL_UNAVAILABLE, Cause.MODEL_TIMEOUT, Cause.PREDICTED_LATE])
def test_what_a_model_missed_is_no_poison(cause: Cause) -> None:
    world = World(None)
    world.settle(0, [cause] * 1_000)
    assert world.source.held == set()


def test_results_of_an_older_assignment_do_not_count() -> None:
    world = World(None)
    world.stage.assigned({1: 2})
    world.settle(1, POISON, epoch=1)
    assert world.source.held == set()
    world.settle(1, POISON, epoch=2)
    assert world.source.held == {1}


def test_switched_off_it_holds_nothing_and_asks_nobody() -> None:
    world = World(notes := Notes(), DeadLetterLimitSettings(enabled=False))
    world.settle(0, POISON * 20)
    assert world.source.held == set()
    assert notes.reads == 0


async def test_who_takes_the_note_away_resumes_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferstream.pipeline.quarantine._POLL_SECONDS", 0.01)
    world = World(notes := Notes())
    async with running(world):
        world.settle(1, POISON)
        await world.until(lambda: 1 in read_notes(notes.written))
        await asyncio.sleep(0.05)
        assert world.source.held == {1}
        notes.written[1] = free_note()
        await world.until(lambda: world.source.held == set())
        assert world.quarantined == 0


async def test_a_new_owner_finds_the_note_before_it_takes_anything() -> None:
    notes = Notes()
    notes.written = {1: held_note(1, "why"), 3: held_note(1, "not ours")}
    world = World(notes)
    assert world.source.held == {0, 1}
    async with running(world):
        await world.until(lambda: world.source.held == {1})
        assert world.quarantined == 1


@pytest.mark.parametrize("fault", [Unavailable("away"), ContractMismatch("no right")])
async def test_without_notes_it_takes_all_the_same_and_probes(fault: InferstreamError) -> None:
    notes = Notes()
    notes.fails = fault
    world = World(notes)
    async with running(world):
        await world.until(lambda: world.source.held == set())
        world.settle(1, POISON)
        assert world.source.held == {1}
        await asyncio.sleep(0.02)
        world.clock.advance(60)
        world.stage._changed.set()
        await world.until(lambda: world.source.held == set())


async def test_a_note_that_could_not_be_written_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferstream.pipeline.quarantine._POLL_SECONDS", 0.01)
    world = World(notes := Notes())
    async with running(world):
        notes.fails = Unavailable("away")
        world.settle(1, POISON)
        await asyncio.sleep(0.05)
        assert notes.written == {}
        assert world.source.held == {1}
        notes.fails = None
        await world.until(lambda: 1 in read_notes(notes.written))


async def test_a_probe_takes_what_it_needs_and_is_judged_by_it() -> None:
    world = World(notes := Notes(), DeadLetterLimitSettings(probe_events=10))
    async with running(world):
        world.settle(1, POISON)
        await world.until(lambda: 1 in notes.written)
        world.clock.advance(60)
        world.stage._changed.set()
        await world.until(lambda: world.source.held == set())
        world.stage.taken([*events(0, [None] * 50), *events(1, [None] * 9)])
        assert world.source.held == set()
        world.stage.taken(events(1, [None]))
        assert world.source.held == {1}
        world.settle(1, [None] * 9)
        assert world.source.held == {1}
        world.settle(1, [None])
        assert world.source.held == set()
        assert world.quarantined == 0
        await world.until(lambda: read_notes(notes.written) == {})


async def test_a_partition_that_was_away_is_held_when_it_comes_back() -> None:
    world = World(None)
    world.settle(1, POISON)
    world.stage.revoked([1])
    assert world.quarantined == 0
    world.source.held.clear()
    world.stage.assigned({1: 2})
    assert world.source.held == {1}
    assert world.quarantined == 1


async def test_stop_closes_the_notes() -> None:
    world = World(notes := Notes())
    await world.stage.stop()
    assert notes.is_stopped
