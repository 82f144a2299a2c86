"""Of the letters of one event the newest is sent, once, in an order that is the same at every call."""

import asyncio
import random
from typing import Any

import pytest

from inferstream.errors import Unavailable
from inferstream.events.dead_letter import dead_letter_headers, replay_headers
from inferstream.events.headers import Headers
from inferstream.operate.dead_letters.letters import Letter, read_letter
from inferstream.operate.dead_letters.replay import Choice, Place, Plan, _Replay, rememberable
from inferstream.operate.pipelines import choose
from inferstream.operate.progress import Progress
from inferstream.settings import Settings
from inferstream.testing import StoredRecord

CHOSEN = choose(Settings(), None)
TOPIC = CHOSEN.settings.input_topic
PLAN = Plan(rate=100, limit=None, slo_ms=None, max_replays=3, again=True, dry_run=False, yes=True)


def letter(offset: int, lies_at: int, given: Headers = (), partition: int = 0, value: bytes = b"v") -> Letter:
    """The letter of the event at this offset of the input topic."""
    written = dead_letter_headers(
        given, outcome_id=f"g/{TOPIC}/{partition}/{offset}", cause="invalid", stage="decode", detail="", attempts=1,
        pipeline="fraud", service_version="1", topic=TOPIC, partition=partition, offset=offset, timestamp_ms=1,
        group="g",
    )  # fmt: skip
    found = read_letter(StoredRecord("dead", partition, lies_at, 1, b"k", value, tuple(written)))
    assert found is not None
    return found


def replayed(first: Letter, offset: int, lies_at: int, value: bytes = b"v") -> Letter:
    """The letter of its replay, which became poison again."""
    return letter(offset, lies_at, replay_headers(first.record.headers, 50), value=value)


def choice(letters: list[Letter], plan: Plan = PLAN, progress: Progress | None = None) -> Choice:
    made = Choice(CHOSEN, plan, 6, progress or Progress({}, dict.fromkeys(range(6), 0)))
    for each in letters:
        made.add(each)
    made.decide()
    return made


def test_the_newest_letter_of_each_event_goes_and_the_older_ones_with_it() -> None:
    first, other = letter(3, 0), letter(4, 1)
    second = replayed(first, 9, 2)
    made = choice([second, first, other, replayed(second, 12, 3)])
    assert made.going == {(0, 3): [(0, 0), (0, 2)], (0, 1): []}
    assert (made.letters, made.causes.total()) == (4, 2)


def test_an_event_that_came_back_too_often_is_not_sent_by_an_older_letter() -> None:
    letters = [letter(3, 0)]
    for count in range(1, 4):
        letters.append(replayed(letters[-1], 3 + count, count))
    made = choice(letters)
    assert made.going == {}
    assert list(made.skipped.values()) == [1]


def test_a_letter_that_was_written_twice_is_sent_once() -> None:
    assert choice([letter(3, 0), letter(3, 1)], PLAN._replace(again=False)).going == {(0, 1): [(0, 0)]}


def test_what_was_replayed_is_left_unless_it_came_back() -> None:
    first, other = letter(3, 0), letter(4, 1)
    progress = Progress({}, {0: 0})
    progress.add(first.record)
    progress.add(other.record)
    made = choice([first, other, replayed(first, 9, 2)], PLAN._replace(again=False), progress)
    assert made.going.keys() == {(0, 2)}
    assert made.skipped.total() == 1


def test_a_forged_source_does_not_take_the_place_of_another_event() -> None:
    victim = letter(3, 0)
    assert choice([victim, replayed(victim, 9, 1, value=b"forged")]).going.keys() == {(0, 0), (0, 1)}


def test_a_limit_takes_the_first_of_the_topic_however_they_come() -> None:
    letters = [letter(offset, offset, partition=partition) for partition in (2, 0, 1) for offset in (5, 3)]
    plan = PLAN._replace(limit=3)
    assert list(choice(letters, plan).going) == list(choice(letters[::-1], plan).going) == [(0, 3), (0, 5), (1, 3)]


def places(offsets: list[int]) -> dict[Place, list[Place]]:
    return {Place(0, offset): [] for offset in sorted(offsets)}


def test_no_letter_goes_that_could_not_be_remembered() -> None:
    """One that is sent and not remembered is sent again by the next call."""
    progress = Progress({}, {0: 0})
    scattered = places(random.Random(1).sample(range(1, 100_000), 50_000))
    going = rememberable(scattered, progress)
    assert 5_000 < len(going) < len(scattered)
    assert list(going) == list(scattered)[: len(going)]
    assert not any(place in progress for place in scattered), "it was only tried"
    for place in going:
        progress.add(place)
    assert progress.changes()


@pytest.mark.parametrize("offsets", [range(100_000), range(1, 100_000, 2)], ids=["all", "every other"])
def test_what_can_be_remembered_goes_as_a_whole(offsets: range) -> None:
    assert len(rememberable(places(list(offsets)), Progress({}, {0: 0}))) == len(offsets)


class Sink:
    """Acknowledges what goes to the first partition; the leader of the others is away."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def send(self, topic: str, partition: int, records: list[Any]) -> "asyncio.Future[None]":
        future = asyncio.get_running_loop().create_future()
        if partition == 0:
            future.set_result(None)
        return future


class Notes:
    def __init__(self) -> None:
        self.written: dict[int, Any] = {}

    async def write(self, changes: dict[int, Any]) -> None:
        self.written.update(changes)


class Read:
    """Letters, and then somebody who wants no more."""

    def __init__(self, letters: list[Letter]) -> None:
        self._letters = letters

    async def all(self, wanted: Any) -> Any:
        for each in self._letters:
            yield each
        raise Unavailable("stopped")


async def test_what_was_acknowledged_is_remembered_though_the_rest_hangs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inferstream.operate.dead_letters.replay._STOP_SECONDS", 0.01)
    letters = [letter(3, 0), letter(4, 1, partition=1), letter(5, 2)]
    progress, notes = Progress({}, dict.fromkeys(range(6), 0)), Notes()
    replay = _Replay(Settings(), CHOSEN, PLAN._replace(rate=10_000), progress, notes)  # type: ignore[arg-type]
    replay._sink = Sink()  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="stopped"):
        await replay.run(Read(letters), None, choice(letters).going)  # type: ignore[arg-type]
    again = Progress(notes.written, dict.fromkeys(range(6), 0))
    assert [each.record in again for each in letters] == [True, False, True]
    said = capsys.readouterr().err
    assert "1 were not acknowledged yet: they may be sent once more" in said
    assert "stopped after 2 events; the same command goes on from there" in said
