"""Whatever a producer sends and whatever a task's code does about it: one outcome each, bounded, in bounded turns."""

import asyncio
import math
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.cards import NUMBER, Numbers, card, repeats, written
from tests.unit.pipeline.world import World, encode, running

from inferstream.errors import ModelError
from inferstream.events import codecs, headers, openness
from inferstream.events.dead_letter import replay_headers
from inferstream.events.envelope import Event, Record, Slice
from inferstream.events.outcome import Cause
from inferstream.events.timeline import Timeline
from inferstream.pipeline.decode import Decode, Decoding
from inferstream.pipeline.observe.traces import Tracing
from inferstream.policy.deadline import Deadlines
from inferstream.policy.sampling import TokenBucket
from inferstream.signals import Signals
from inferstream.tasks import Task, Unusable
from inferstream.telemetry.conventions import event_spans
from inferstream.testing import Mean, MeanTask, Reading

GOOD = encode({"id": "a", "values": [1.0, 2.0, 3.0]})


async def answered(world: World, count: int, timeout: float = 5.0) -> list[dict[str, Any]]:
    """The outcomes, once there are so many."""
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == count, timeout)
    return world.outcomes()


async def test_more_headers_than_are_taken_make_a_dead_letter_without_them() -> None:
    """The value is kept, nothing inherits the headers, and what was left out is said. A few less are taken."""
    world = World()
    world.write(GOOD, 0, *[(f"h{n}", b"x") for n in range(10_000)])
    world.write(GOOD, 0, *[(f"h{n}", b"x") for n in range(headers.MOST)])
    refused, scored = await answered(world, 2)
    assert (refused["outcome"], refused["cause"]) == ("dead_lettered", "oversize")
    assert refused["detail"] == "10000 headers, at most 128 are taken"
    assert scored["outcome"] == "scored"
    (letter,) = world.broker.records("dead")
    assert letter.value == GOOD
    assert dict(letter.headers)["dlq-headers-omitted"] == b"10000"
    assert not [name for name, _ in letter.headers if name.startswith("h")]
    first, second = world.broker.records("out")
    assert len(first.headers) < 10 < headers.MOST < len(second.headers)


class Anything(MeanTask):
    """Its type leaves everything open."""

    event_type = dict


class Failing(MeanTask):
    """Raises what it is told for one event."""

    error: BaseException = ValueError()
    where = "tensors"

    def tensors(self, events: Sequence[Reading]) -> Any:
        self._fail(events, "tensors")
        return super().tensors(events)

    def decide(self, events: Sequence[Reading], tensors: Any, outputs: Any) -> Any:
        self._fail(events, "decide")
        return super().decide(events, tensors, outputs)

    def _fail(self, events: Sequence[Reading], where: str) -> None:
        if where == self.where and any(event.id == "bad" for event in events):
            if isinstance(self.error, RecursionError):
                self._fail(events, where)  # a real one
            raise self.error


@pytest.mark.parametrize("where", ["tensors", "decide"])
@pytest.mark.parametrize(
    "error",
    [
        RecursionError(),
        MemoryError(NUMBER),
        SystemExit(NUMBER),
        asyncio.CancelledError(NUMBER),
        GeneratorExit(NUMBER),
        KeyError(NUMBER),
        UnicodeDecodeError("utf-8", NUMBER.encode(), 0, 1, NUMBER),
        ExceptionGroup(NUMBER, [ValueError(NUMBER)]),
        Unusable(f"no such card: {NUMBER}"),
        BaseException(NUMBER),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_task_raises_is_about_one_event_and_repeats_nothing_of_it(
    error: BaseException, where: str
) -> None:
    task = Failing()
    vars(task)["error"], vars(task)["where"] = error, where
    world = World(task)
    for id_ in ("a", "bad", "b"):
        world.write(encode({"id": id_, "values": [1.0, 2.0, 3.0]}))
    with capture_logs() as lines:
        outcomes = await answered(world, 3)
    assert [outcome["outcome"] for outcome in outcomes] == ["scored", "dead_lettered", "scored"]
    assert outcomes[1]["cause"] == ("invalid" if isinstance(error, Unusable) else "task_failed")
    (letter,) = world.broker.records("dead")
    for said in (outcomes, lines, letter.headers):
        assert not repeats(said, NUMBER)


class _Exploding(msgspec.Struct):
    id: str

    def __post_init__(self) -> None:
        raise {"memory": MemoryError, "exit": SystemExit, "value": ValueError}[self.id](NUMBER)


@pytest.mark.parametrize(("id_", "cause"), [("memory", "malformed"), ("exit", "malformed"), ("value", "invalid")])
async def test_whatever_an_event_type_raises_is_about_one_event(id_: str, cause: str) -> None:
    class Checking(MeanTask):
        event_type = _Exploding

    world = World(Checking())
    world.write(encode({"id": id_}))
    (outcome,) = await answered(world, 1)
    assert outcome["cause"] == cause
    assert not repeats(outcome, NUMBER)


async def test_an_event_of_too_many_parts_is_refused() -> None:
    world = World(Anything())
    world.write(encode({"id": "a", "values": [[]] * 60_000}))
    (outcome,) = await answered(world, 1)
    assert (outcome["cause"], outcome["detail"]) == ("oversize", "more than 4096 lists and maps in one event")


async def test_no_event_names_the_model_that_is_asked() -> None:
    """Neither by a field nor by a header, whatever it is called."""
    names = ("model", "model_name", "model_version", "version", "answerer", "endpoint", "triton")
    world = World()
    event = {"id": "a", "values": [1.0, 2.0, 3.0]}
    world.write(encode(event))
    world.write(encode(event | dict.fromkeys(names, "other")), 0, *((name, b"other") for name in names))
    plain, hostile = await answered(world, 2)
    assert hostile["answered_by"] == plain["answered_by"] == {"kind": "model", "name": "fake", "version": "1"}
    assert hostile["result"] == plain["result"]


async def test_an_id_that_cannot_be_read_costs_no_outcome() -> None:
    """Where the type of an event is open, anything may come."""

    class Whatever(MeanTask):
        event_type = Any

    world = World(Whatever())
    world.write(encode([1, 2, 3]))
    world.write(encode({"values": [1.0, 2.0, 3.0]}))
    assert [outcome["outcome"] for outcome in await answered(world, 2)] == ["dead_lettered", "dead_lettered"]


CARD_PLACES = {
    "field `id`": (encode({"id": NUMBER, "values": [1.0, 2.0, 3.0]}), b"key", []),
    "a field that the event's type does not have": (
        encode({"id": "a", "values": [1.0, 2.0, 3.0], "note": {"deep": [NUMBER]}}),
        b"key",
        [],
    ),
    "the record's key": (GOOD, NUMBER.encode(), []),
    "a header": (GOOD, b"key", [("pan", NUMBER.encode())]),
}


@pytest.mark.parametrize("place", CARD_PLACES)
@pytest.mark.parametrize("content_type", [None, b"application/json"])
async def test_a_card_number_is_refused_by_its_place_and_not_kept(place: str, content_type: bytes | None) -> None:
    value, key, given = CARD_PLACES[place]
    if content_type is not None:
        value = msgspec.json.encode(msgspec.msgpack.decode(value)).replace(b"4111 ", b"\\u0034111 ")
        given = [*given, ("content-type", content_type)]
    world = World(refuse_card_numbers=True)
    world.write(value, 0, *given, key=key)
    (outcome,) = await answered(world, 1)
    assert (outcome["outcome"], outcome["cause"]) == ("dead_lettered", "card_number")
    assert outcome["detail"].startswith(place)
    (letter,), (record,) = world.broker.records("dead"), world.broker.records("out")
    assert not repeats((letter, record), NUMBER)
    omitted = {"the record's key": "dlq-key-omitted", "a header": "dlq-headers-omitted"}.get(place, "dlq-body-omitted")
    assert omitted in dict(letter.headers)
    assert (letter.value is None) == (omitted == "dlq-body-omitted")


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (encode({"id": NUMBER, "values": "no"}), "invalid"),
        (b"\xc1" + NUMBER.encode(), "malformed"),
        (b"x" * 70_000, "oversize"),
    ],
)
async def test_poison_that_holds_a_card_number_is_not_kept_either(value: bytes, cause: str) -> None:
    """What cannot be looked through is kept as little."""
    world = World(refuse_card_numbers=True)
    world.write(value)
    world.write(b"\xc1")
    outcome, _ = await answered(world, 2)
    assert outcome["cause"] == cause
    assert NUMBER not in str(outcome)
    withheld, kept = world.broker.records("dead")
    assert withheld.value is None
    assert dict(withheld.headers)["dlq-body-omitted"] == str(len(value)).encode()
    assert kept.value == b"\xc1"


async def test_tokens_are_scored_and_without_the_setting_nobody_looks() -> None:
    world = World(refuse_card_numbers=True)
    world.write(encode({"id": "tok_4111111111111112", "values": [1.0, 2.0, 3.0]}))
    assert [outcome["outcome"] for outcome in await answered(world, 1)] == ["scored"]
    world = World()
    world.write(encode({"id": NUMBER, "values": [1.0, 2.0, 3.0]}))
    assert [outcome["outcome"] for outcome in await answered(world, 1)] == ["scored"]


def decoded(value: bytes, key: bytes | None = None, given: headers.Headers = (), decode: Decode | None = None) -> Event:
    """One event of a pipeline that refuses card numbers."""
    decode = decode or _decode(MeanTask())
    record = SimpleNamespace(topic="in", partition=0, offset=0, timestamp=999, key=key, value=value, headers=given)
    ((event,), _) = decode.slice_events(Slice(0, 1, [cast("Record", record)]))
    return event


class _Clock:
    """Goes on by `step` seconds with every look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    def unix_ms(self) -> float:
        return 1_000.0


def _decode(task: Task, clock: _Clock | None = None, tombstones: str = "dead_letter") -> Decode:
    decoding = Decoding(
        task.event_type,
        task.schema,
        codecs.MSGPACK,
        codecs.installed(),
        tombstones,
        65_536,
        refuse_card_numbers=True,
        event_id=task.event_id,
    )
    return Decode("p", decoding, Deadlines({"default": 1_000}), clock or _Clock(), Signals())


def test_a_hundred_thousand_card_numbers_in_all_places_are_refused_and_kept_nowhere() -> None:
    rng = random.Random(11)
    decode = _decode(MeanTask())
    for number in range(100_000):
        shown = written(card(rng), rng)
        wrapped = rng.choice(["{}", "card {}", "({})", "{},{}"]).format(shown, shown)
        place = number % 4
        document = {"id": wrapped if place == 0 else "a", "values": [1.0], "x": [wrapped] if place == 1 else 0}
        key = wrapped.encode() if place == 2 else None
        event = decoded(encode(document), key, [("h", wrapped.encode())] if place == 3 else [], decode)
        record = event.record
        assert event.verdict is not None, shown
        assert event.payload is None
        assert shown not in f"{record.key!r} {record.value!r} {record.headers!r} {event.verdict}", shown


def test_a_replay_of_a_letter_that_lacks_something_is_not_a_whole_one() -> None:
    event = decoded(encode({"id": NUMBER, "values": [1.0, 2.0, 3.0]}))
    assert [name for name, _ in cast("Any", event.record).omitted] == ["dlq-body-omitted"]
    with pytest.raises(ValueError, match="where it came from"):
        replay_headers(cast("Any", event.record).omitted, 50)


SAYS = ("tensors", "unusable in tensors", "decide", "unusable in decide", "refused", "failed")


class _Repeating(MeanTask):
    """Says of events what it was given of them; where, is its options'."""

    event_type = dict
    said: set[int]

    def tensors(self, events: Sequence[Any]) -> Any:
        self._say(events, "tensors")
        return {"values": np.ones((len(events), 3), np.float32) * [[event["row"]] for event in events]}

    def decide(self, events: Sequence[Any], tensors: Any, outputs: Any) -> Any:
        self._say(events, "decide")
        return [Mean(1.0, False) for _ in events]

    def _say(self, events: Sequence[Any], where: str) -> None:
        for event in events:
            if event["kind"] in (where, f"unusable in {where}"):
                self.said.add(event["row"])
                raise (ValueError if event["kind"] == where else Unusable)(event["text"])


@pytest.mark.parametrize("kind", SAYS)
async def test_card_numbers_in_what_a_task_or_a_model_says_are_told_nowhere(kind: str) -> None:
    """17,000 of them each time, a hundred thousand in all."""
    numbers, task = Numbers(seed=5), _Repeating()
    task.__dict__["said"] = said = set[int]()
    world, ways = World(task, dead_letter_limit={"enabled": False}, slo_ms=60_000), list[Timeline]()
    world.tracing = Tracing(1.0, TokenBucket(1e9), cast("Any", SimpleNamespace(offer=ways.append)))
    texts = {row: " and ".join(numbers.new() for _ in range(25)) for row in range(680)}

    def fails(call: int, tensors: Any) -> None:
        rows = set(tensors["values"][:, 0].astype(int).tolist())
        if kind in ("refused", "failed"):
            said.update(rows)
            cause = Cause.MODEL_REJECTED if kind == "refused" else Cause.MODEL_ERROR
            raise ModelError(cause, f"'{'; '.join(texts[row] for row in rows)}' is no number")

    world.model.fails = fails
    for row, text in texts.items():
        world.write(encode({"id": "a", "row": row, "kind": kind, "text": text}))
    with capture_logs() as lines:
        outcomes = await answered(world, len(texts), timeout=60)
    assert said == set(texts)
    found = {
        "outcomes": outcomes,
        "logs": lines,
        "metrics": world.signals.snapshot(),
        "misses": world.signals.misses.last(),
        "headers of dead letters": [letter.headers for letter in world.broker.records("dead")],
        "traces": [event_spans(way) for way in ways],
    }
    assert {where: sorted(leaked)[:3] for where, what in found.items() if (leaked := numbers.leaked(str(what)))} == {}
    assert len(ways) == len(texts)
    assert numbers.leaked(str(texts)), "else nothing is found at all"


def records(values: Sequence[bytes | None]) -> Slice:
    """Of one partition."""
    made = [
        SimpleNamespace(topic="in", partition=0, offset=n, timestamp=999, key=None, value=value, headers=())
        for n, value in enumerate(values)
    ]
    return Slice(0, 1, cast("list[Record]", made))


@pytest.mark.parametrize(
    ("value", "most"),
    [(b"\x81\xa1x" + b"\xdc\xff\x00" + b"\x90" * 0xFF00, 1), (b"\xc1", 100), (encode({"id": "a" * 60}), 100)],
    ids=["large", "tiny poison", "small invalid"],
)
def test_a_slice_is_left_where_it_would_take_too_long(value: bytes, most: int) -> None:
    """What is left is decoded in the next turn: nothing is lost, nothing comes twice, and each turn does something."""
    decode, left, turns = _decode(MeanTask()), records([value] * 256), 0
    seen = []
    while left.records:
        events, _ = decode.slice_events(left, until=0.004)
        assert 1 <= len(events) <= most
        seen += [event.record.offset for event in events]
        left = Slice(0, 1, left.records[len(events) :])
        turns += 1
    assert seen == list(range(256))
    assert turns >= 256 / most


def test_without_an_end_a_slice_is_decoded_as_a_whole() -> None:
    events, skipped = _decode(MeanTask()).slice_events(records([GOOD] * 1_024), until=math.inf)
    assert (len(events), skipped) == (1_024, [])


def test_skipped_tombstones_count_as_done() -> None:
    events, skipped = _decode(MeanTask(), tombstones="skip").slice_events(records([None, GOOD, None, b""]))
    assert [event.record.offset for event in events] == [1, 3]
    assert skipped == [0, 2]


async def test_a_partition_of_costly_poison_leaves_the_loop_its_turns() -> None:
    """A timer that is due every millisecond runs between the events, not after all of them."""
    world = World(Anything(), refuse_card_numbers=True, dead_letter_limit={"enabled": False})
    for _ in range(64):
        world.write(encode({"x": [[]] * 60_000}))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await answered(world, 64)
    ticking.cancel()
    assert ticks >= 64


def test_an_event_is_at_most_so_many_parts_however_it_is_read() -> None:
    event = decoded(encode({"x": [[]] * 5_000}), decode=_decode(Anything()))
    assert event.verdict is not None
    assert str(openness.MOST) in event.verdict.detail
