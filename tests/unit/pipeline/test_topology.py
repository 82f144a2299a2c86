"""The whole data path on fakes: one outcome per event, in order, offsets only after acknowledgement."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
import pytest
from tests.unit.pipeline.world import World, encode, ids, running

from inferstream.errors import ContractMismatch, ModelError
from inferstream.events.outcome import Cause
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import BatchingSettings
from inferstream.tasks import Task, TensorSpec
from inferstream.testing import FakeModel, FakeSink, MeanTask, StoredRecord


async def test_every_event_is_scored_once_and_committed() -> None:
    """The plain case: score, provenance, key, headers and the offset."""
    world = World()
    world.write(
        encode({"id": "a", "values": [1.0, 2.0, 3.0], "extra": 1}), 1, ("traceparent", b"00-ab"), ("outcome", b"old")
    )
    async with running(world.pipeline()):
        await world.until(lambda: world.committed(1) == 1)
    record = world.broker.records("out")[0]
    outcome = msgspec.msgpack.decode(record.value or b"")
    assert (record.partition, record.key) == (1, b"key")
    assert dict(record.headers) == {
        "content-type": b"application/msgpack",
        "schema": b"outcome.v1",
        "outcome": b"scored",
        "outcome-id": b"g/in/1/0",
        "traceparent": b"00-ab",
    }
    assert outcome["id"] == "g/in/1/0"
    assert outcome["event_id"] == "a"
    assert outcome["result"] == {"mean": 2.0, "is_high": False}
    assert outcome["answered_by"] == {"kind": "model", "name": "fake", "version": "1"}
    assert outcome["deadline_met"] is True
    assert outcome["deadline_unix_ms"] == record.timestamp or outcome["deadline_unix_ms"] > record.timestamp - 10
    assert world.signals.in_time.total(outcome="scored") == 1


async def test_order_is_kept_when_a_later_batch_is_faster() -> None:
    """Two calls under way; the first takes longer; its outcomes still come first."""
    world = World(batching=BatchingSettings(max_batch_size=4))
    delays = iter([0.05, 0.02, 0.0, 0.01] * 100)

    class Uneven(FakeModel):
        async def infer(self, tensors: Any, timeout: float, traceparent: bytes | None = None) -> Any:
            await asyncio.sleep(next(delays))
            return await super().infer(tensors, timeout)

    world.model = Uneven(world.task)
    for partition in (0, 1):
        world.write_readings(50, partition)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed(0) == world.committed(1) == 50)
    assert ids(world.outcomes()) == [f"g/in/{p}/{i}" for p in (0, 1) for i in range(50)]


@pytest.mark.parametrize(
    ("value", "headers", "cause"),
    [
        (b"\xc1\xff", [], "malformed"),
        (encode({"id": "a", "values": [1.0, 2.0, 3.0]})[:-4], [], "malformed"),
        (b"\x91" * 100_000, [], "oversize"),
        (b"\x91" * 5_000, [], "invalid"),
        (b"\x82\xa2id\xa1a\xa1x" + b"\x91" * 5_000, [], "malformed"),
        (encode({"id": "a", "values": "no"}), [], "invalid"),
        (encode({"id": "a", "values": ["secret-value"], "secret-name": "secret"}), [], "invalid"),
        (encode({"values": [1.0, 2.0, 3.0]}), [], "invalid"),
        (encode(None), [], "invalid"),
        (encode({"id": "a", "values": [float("nan"), 2.0, 3.0]}), [], "unusable_features"),
        (b"", [], "empty"),
        (None, [], "empty"),
        (b"{}", [("content-type", b"text/xml")], "unknown_codec"),
        (b'{"id": 1}', [("content-type", b"application/json; charset=utf-8")], "invalid"),
        (encode({"id": "a", "values": [1.0, 2.0, 3.0]}), [("schema", b"reading.v9")], "unknown_schema"),
    ],
)
async def test_poison_is_dead_lettered_and_the_stream_goes_on(
    value: bytes | None, headers: list[tuple[str, bytes]], cause: str
) -> None:
    """The original goes to the dead-letter topic byte for byte; its neighbours are scored, in order."""
    world = World()
    world.write_readings(1)
    world.write(value, 0, *headers)
    world.write_readings(1)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3)
    assert [o["outcome"] for o in world.outcomes()] == ["scored", "dead_lettered", "scored"]
    outcome = world.outcomes()[1]
    assert outcome["cause"] == cause
    (letter,) = world.broker.records("dead")
    given = dict(letter.headers)
    assert (letter.key, letter.value) == (b"key", value)
    assert given["dlq-cause"] == cause.encode()
    assert given["dlq-outcome-id"] == outcome["id"].encode() == b"g/in/0/1"
    assert all(given[name] == header for name, header in headers)
    assert "secret" not in str(outcome)
    assert "secret" not in str({k: v for k, v in given.items() if k.startswith("dlq")})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (encode({"id": "a", "values": ["no"]}), "a"),
        (b'{"values": 1, "id": "b", "x": {"id": "c"}}', "b"),
        (encode({"id": "a" * 1_000, "values": 1}), None),
        (encode({"id": ["a"], "values": [1.0]}), None),
        (encode({"values": [1.0]}), None),
        (encode(["id", "a"]), None),
        (encode({"id": "a", "values": [1.0]})[:-1], None),
    ],
)
async def test_an_event_that_is_not_as_its_type_says_is_found_by_its_name(value: bytes, name: str | None) -> None:
    """Its producer looks for it by that. Where it has none that can be read, CloudEvents' is as good."""
    kind = ("content-type", b"application/json" if value[:1] == b"{" else b"application/msgpack")
    world = World()
    world.write(value, 0, kind)
    world.write(value, 0, kind, ("ce_id", b"from the cloud"))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 2)
    assert [o["outcome"] for o in world.outcomes()] == ["dead_lettered"] * 2
    assert [o.get("event_id") for o in world.outcomes()] == [name, name or "from the cloud"]


async def test_json_by_header() -> None:
    """A producer that writes JSON says so in the content type."""
    world = World()
    world.write(b'{"id":"j","values":[1,2,3]}', 0, ("content-type", b"application/json"))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    assert world.outcomes()[0]["event_id"] == "j"


@pytest.mark.parametrize(("policy", "out"), [("skip", 0), ("forward", 1), ("dead_letter", 1)])
async def test_tombstones(policy: str, out: int) -> None:
    """Skipped without a trace, forwarded as they are, or dead-lettered; the offset passes in every case."""
    world = World(tombstones=policy)
    world.write(None, 0, ("h", b"1"))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    records = world.broker.records("out")
    assert len(records) == out
    assert len(world.broker.records("dead")) == (policy == "dead_letter")
    if policy == "forward":
        assert (records[0].key, records[0].value, records[0].headers) == (b"key", None, (("h", b"1"),))


async def test_a_backlog_past_its_deadline_expires_undecoded_with_its_ce_id() -> None:
    """Too late for anybody: each one still gets its outcome, with the id that needs no decoding."""
    world = World(slo_ms=50)
    for _ in range(3):
        world.write(b"\xc1 not even msgpack", 0, ("ce_id", b"e-1"), age_ms=10_000)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3)
    assert {(o["outcome"], o["cause"], o["event_id"], o["deadline_met"]) for o in world.outcomes()} == {
        ("expired", "too_late", "e-1", False)
    }
    assert world.model.calls == []
    assert world.signals.in_time.total() == 0


async def test_the_student_answers_when_the_model_is_away() -> None:
    """Known to be away: no time is lost with a call."""
    world = World()
    world.model.is_up = False
    world.write_readings(3)
    student = FakeModel(world.task)
    async with running(world.pipeline(student)):
        await world.until(lambda: world.committed() == 3)
    assert {(o["outcome"], o["cause"]) for o in world.outcomes()} == {("fallback", "model_unavailable")}
    assert world.outcomes()[2]["result"]["mean"] == pytest.approx(5 / 3)
    assert world.model.calls == []


async def test_the_rules_answer_when_nobody_else_can() -> None:
    """No student: the outcome says that the rules gave it."""
    world = World()
    world.model.is_up = False
    world.write_readings(2)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 2)
    assert [o["answered_by"]["kind"] for o in world.outcomes()] == ["rules", "rules"]
    assert world.outcomes()[1]["result"]["mean"] == 1.0


async def test_a_model_too_slow_is_given_up_in_time() -> None:
    """The fallback answers before the deadline, not after the model."""
    world = World(slo_ms=200, emit_reserve_ms=50)
    world.model.delay = 60.0
    async with running(world.pipeline()):
        world.write_readings(2)
        await world.until(lambda: world.committed() == 2)
    assert {(o["outcome"], o["cause"], o["deadline_met"]) for o in world.outcomes()} == {
        ("fallback", "model_timeout", True)
    }


async def test_who_cannot_wait_for_a_call_leaves_it_and_the_others_get_its_answer() -> None:
    """Its own deadline is 1.5 s, the other's 5 s; they share a call of 2.5 s."""
    world = World(partitions=1)
    world.model.delay = 2.5
    soon = str(int(time.time() * 1000) + 1_500).encode()
    world.write(encode({"id": "hurried", "values": [1.0, 1.0, 1.0]}), 0, ("deadline-unix-ms", soon))
    world.write_readings(1)
    async with running(world.pipeline()):
        await world.until(lambda: len(world.outcomes()) == 2)
    assert world.model.calls == [2]
    outcomes = {o["event_id"]: (o["outcome"], o.get("cause"), o["deadline_met"]) for o in world.outcomes()}
    assert outcomes == {"hurried": ("fallback", "model_timeout", True), "r0-0": ("scored", None, True)}


async def test_who_left_a_call_may_be_the_one_that_the_model_refuses() -> None:
    """The other is not taken for it."""

    def refuse(call: int, tensors: Any) -> None:
        world.model.delay = 0.0  # of the calls that find who is at fault
        if (tensors["values"][:, 0] == 7.0).any():
            raise ModelError(Cause.MODEL_REJECTED, "a row is marked")

    world = World(partitions=1)
    world.model.delay, world.model.fails = 2.5, refuse
    soon = str(int(time.time() * 1000) + 1_500).encode()
    world.write(encode({"id": "hurried", "values": [7.0, 1.0, 1.0]}), 0, ("deadline-unix-ms", soon))
    world.write_readings(1)
    async with running(world.pipeline()):
        await world.until(lambda: len(world.outcomes()) == 2)
    assert {o["event_id"]: o["outcome"] for o in world.outcomes()} == {"hurried": "fallback", "r0-0": "scored"}


async def test_a_model_that_answers_garbage_falls_back() -> None:
    """An answer that is none is not passed on."""
    world = World()

    def garbage(call: int, tensors: Any) -> None:
        raise ModelError(Cause.MODEL_GARBAGE, "wrong rows")

    world.model.fails = garbage
    world.write_readings(2)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 2)
    assert {o["cause"] for o in world.outcomes()} == {"model_garbage"}


async def test_a_task_without_rules_expires_what_nobody_can_answer() -> None:
    """Nothing is made up."""

    class NoRules(MeanTask):
        def rules(self, events: Any, tensors: Any) -> Any:
            return None

    world = World(NoRules())
    world.model.is_up = False
    world.write_readings(1)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    assert [(o["outcome"], o["cause"]) for o in world.outcomes()] == [("expired", "no_fallback")]


async def test_offsets_wait_for_the_acknowledgement() -> None:
    """An outcome that is written but not acknowledged does not let its offset pass."""
    world = World()
    world.broker.set_acknowledges(False)
    world.write_readings(5)
    async with running(world.pipeline()):
        await world.until(lambda: len(world.broker.records("out")) == 5)
        await asyncio.sleep(0.05)
        assert world.committed() == 0
        world.broker.set_acknowledges(True)
        await world.until(lambda: world.committed() == 5)


async def test_the_dead_letter_is_acknowledged_before_the_offset_passes() -> None:
    """A dead-letter topic that does not answer holds the offset, and the outcome that says where the event went."""
    world = World()
    sent: list[str] = []

    class NoLetters(FakeSink):
        def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
            sent.append(topic)
            if topic == "dead":
                return asyncio.get_running_loop().create_future()
            return super().send(topic, partition, records)

    world.sink = NoLetters(world.broker)
    world.write(b"\xc1")
    pipeline = world.pipeline()
    task = asyncio.create_task(pipeline.run())
    await world.until(lambda: sent == ["dead"])
    assert await pipeline.drain(0.1) is False
    assert world.outcomes() == []
    assert world.committed() == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_tombstone_that_the_output_topic_refuses_is_not_lost() -> None:
    """It becomes a dead letter; the event behind it is answered."""
    world = World(tombstones="forward")
    async with running(world.pipeline()):
        world.write_readings(1, 0)
        await world.until(lambda: world.committed() == 1)
        world.broker.limit("out", 600)
        world.write(None, 0, ("x-large", b"x" * 1_000))
        world.write_readings(1, 0)
        await world.until(lambda: world.committed() == 3)
    assert [outcome["outcome"] for outcome in world.outcomes()] == ["scored", "dead_lettered", "scored"]
    assert len(world.broker.records("dead")) == 1


async def test_an_id_that_is_too_long_for_the_output_topic_costs_only_its_event() -> None:
    """Nothing bounds what a task's events are called."""
    world = World(max_event_bytes=100_000)
    world.sink = FakeSink(world.broker, max_record_bytes=2_000)
    world.write(encode({"id": "x" * 5_000, "values": [1.0, 2.0, 3.0]}))
    world.write_readings(1, 0)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 2)
    assert sorted(outcome["outcome"] for outcome in world.outcomes()) == ["dead_lettered", "scored"]


async def test_what_may_be_late_is_answered_at_its_deadline_while_no_model_is_there() -> None:
    """An absent model server is no outage, for no class."""
    world = World(slo_ms=300, on_miss="score_late")
    world.model.is_up = False
    world.write_readings(3, 0)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3)
    assert {outcome["outcome"] for outcome in world.outcomes()} == {"fallback"}


async def test_a_drain_that_runs_out_of_time_commits_what_is_settled() -> None:
    """One partition's output is away; the other's work need not be repeated."""
    world = World()

    class HalfAway(FakeSink):
        def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
            if partition == 1:
                return asyncio.get_running_loop().create_future()
            return super().send(topic, partition, records)

    world.sink = HalfAway(world.broker)
    pipeline = world.pipeline(commit_interval=60.0)
    task = asyncio.create_task(pipeline.run())
    await world.until(lambda: pipeline.is_joined)
    world.write_readings(4, 0)
    world.write_readings(4, 1)
    await world.until(lambda: len(world.outcomes()) == 4)
    assert await pipeline.drain(0.2) is False
    assert (world.committed(0), world.committed(1)) == (4, 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_memory_is_bounded_while_the_broker_is_away() -> None:
    """No more is taken than may be unsettled, and all is answered when the broker is back."""
    world = World(batching=BatchingSettings(max_queued=300))
    world.broker.set_acknowledges(False)
    world.write_readings(2_000)
    async with running(world.pipeline()):
        await asyncio.sleep(0.2)
        assert world.signals.unsettled.total() <= 300 + 256
        world.broker.set_acknowledges(True)
        await world.until(lambda: world.committed() == 2_000)
    assert ids(world.outcomes()) == [f"g/in/0/{i}" for i in range(2_000)]


@pytest.mark.parametrize("max_queued", [1, 100])
async def test_less_than_a_chunk_may_be_held(max_queued: int) -> None:
    """Large events, say. Records that wait for more to come are counted, too, and nothing more comes."""
    world = World(batching=BatchingSettings(max_queued=max_queued))
    world.write_readings(150)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 150)


@pytest.mark.parametrize(("slo_ms", "is_held_back"), [(600_000, True), (2_000, False)])
async def test_kafka_keeps_what_the_model_has_no_use_for_yet(slo_ms: int, is_held_back: bool) -> None:
    """While events have time, two calls' worth waits here; where they may be late, all are taken, to be looked at."""
    world = World(slo_ms=slo_ms, batching=BatchingSettings(max_batch_size=64))
    world.model.delay = 0.3
    world.write_readings(2_000)
    async with running(world.pipeline()):
        await world.until(lambda: len(world.model.calls) > 1)
        await asyncio.sleep(0.2)
        assert (world.signals.unsettled.total() < 1_000) is is_held_back
        world.model.delay = 0.0
        await world.until(lambda: world.committed() == 2_000)
    assert ids(world.outcomes()) == [f"g/in/0/{i}" for i in range(2_000)]


async def test_drain_under_load_loses_and_repeats_nothing() -> None:
    """A clean stop commits exactly what was answered; the next one goes on there."""
    world = World()
    world.write_readings(3_000)
    async with running(world.pipeline()):
        await world.until(lambda: len(world.broker.records("out")) > 200)
    first = world.committed()
    assert first == len(world.outcomes())
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3_000)
    assert ids(world.outcomes()) == [f"g/in/0/{i}" for i in range(3_000)]


async def test_a_rebalance_under_load_loses_and_repeats_nothing() -> None:
    """What was taken is answered and committed before the partition goes."""
    world = World(partitions=2)
    for partition in (0, 1):
        world.write_readings(2_000, partition)
    async with running(world.pipeline()):
        await world.until(lambda: len(world.broker.records("out")) > 100)
        async with running(world.pipeline()):
            await world.until(lambda: world.committed(0) == world.committed(1) == 2_000)
    assert sorted(ids(world.outcomes())) == sorted(f"g/in/{p}/{i}" for p in (0, 1) for i in range(2_000))


async def test_a_sink_that_fails_for_good_ends_the_pipeline_uncommitted() -> None:
    """Better to stop than to pass over an event: the next start repeats it."""
    world = World()

    class Refusing(FakeSink):
        def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(ContractMismatch("refused"))
            return refused

    world.sink = Refusing(world.broker)
    world.write_readings(1)
    pipeline = world.pipeline()
    with pytest.raises(ContractMismatch, match="refused"):
        await asyncio.wait_for(pipeline.run(), 2)
    await pipeline.drain(0.05)
    assert world.committed() == 0


async def test_headers_too_large_for_the_output_topic_are_left_behind() -> None:
    """The outcome still goes out, without what it inherited."""
    world = World()
    world.sink = FakeSink(world.broker, max_record_bytes=1_000)
    world.write(encode({"id": "a", "values": [1.0, 2.0, 3.0]}), 0, ("big", b"x" * 2_000))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    assert "big" not in dict(world.broker.records("out")[0].headers)


async def test_a_dead_letter_too_large_for_its_topic_loses_only_its_body() -> None:
    """Where it came from stays known."""
    world = World(max_event_bytes=100)
    world.sink = FakeSink(world.broker, max_record_bytes=1_500)
    world.write(b"y" * 3_000)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    (letter,) = world.broker.records("dead")
    assert letter.value is None
    assert dict(letter.headers)["dlq-body-omitted"] == b"3000"


def test_stored_records_are_records() -> None:
    """The fake's records have what the data path reads."""
    record = StoredRecord("t", 0, 1, 2, None, b"", ())
    assert (record.topic, record.offset, record.timestamp) == ("t", 1, 2)


class Touchy(MeanTask):
    """A user's task with a mistake in it: it fails on some events, in one of its methods or another."""

    def tensors(self, events: Sequence[Any]) -> Any:
        if any(event.id.startswith("bad-tensors") for event in events):
            raise KeyError("personal data")
        short = events[1:] if any(event.id.startswith("short") for event in events) else events
        return super().tensors(short)

    def decide(self, events: Sequence[Any], tensors: Any, outputs: Any) -> Any:
        if any(event.id.startswith("bad-decide") for event in events):
            raise ZeroDivisionError
        results = super().decide(events, tensors, outputs)
        return [object() if e.id.startswith("bad-result") else r for e, r in zip(events, results, strict=True)]


@pytest.mark.parametrize("bad", ["bad-tensors", "short", "bad-decide", "bad-result"])
async def test_an_event_the_task_fails_on_costs_only_itself(bad: str) -> None:
    """One in a batch, two in a batch, and a batch of nothing else: all others are scored, in order."""
    world = World(Touchy())
    ids_in = ["a", "b", f"{bad}-1", "c", "d", "e", f"{bad}-2", *[f"{bad}-{n}" for n in range(3, 10)], "f"]
    for id_ in ids_in:
        world.write(encode({"id": id_, "values": [1.0, 2.0, 3.0]}))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == len(ids_in))
    outcomes = world.outcomes()
    assert [outcome["event_id"] for outcome in outcomes] == ids_in
    for outcome in outcomes:
        if outcome["event_id"].startswith(bad):
            assert outcome["outcome"] == "dead_lettered"
            assert outcome["cause"] == "task_failed"
            assert "personal data" not in str(outcome)
        else:
            assert outcome["result"] == {"mean": 2.0, "is_high": False}
    assert len(world.broker.records("dead")) == 9


async def test_a_refused_batch_costs_only_the_events_at_fault() -> None:
    """The model says no to the whole batch; its good events are scored all the same."""
    world = World()

    def refuse(call: int, tensors: Any) -> None:
        if (tensors["values"] == 666).any():
            raise ModelError(Cause.MODEL_REJECTED, "no")

    world.model.fails = refuse
    for i in range(16):
        world.write(encode({"id": str(i), "values": [666.0 if i in (3, 11) else 1.0, 1.0, 1.0]}))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 16)
    assert [o["outcome"] for o in world.outcomes()] == [
        "dead_lettered" if i in (3, 11) else "scored" for i in range(16)
    ]
    assert {o.get("cause") for o in world.outcomes()} == {None, "model_rejected"}
    assert len(world.broker.records("dead")) == 2


async def test_a_model_that_refuses_everything_is_at_fault_itself() -> None:
    """It was replaced by another one, say: its events are answered by others, and are no dead letters."""
    world = World()

    def refuse(call: int, tensors: Any) -> None:
        raise ModelError(Cause.MODEL_REJECTED, "no")

    world.model.fails = refuse
    async with running(world.pipeline()):
        for count in (1, 2, 10):
            world.write_readings(count - world.committed())
            await world.until(lambda wanted=count: world.committed() == wanted)  # type: ignore[misc]
        assert {(o["outcome"], o.get("cause")) for o in world.outcomes()} == {("fallback", "model_rejected")}
        world.model.fails = lambda call, tensors: None
        world.write_readings(1)
        await world.until(lambda: world.committed() == 11)
        world.model.fails = refuse
        for count in (12, 13):  # the first may be at fault, which two in a row hardly are
            world.write_readings(1)
            await world.until(lambda wanted=count: world.committed() == wanted)  # type: ignore[misc]
    assert [o["outcome"] for o in world.outcomes()[10:]] == ["scored", "dead_lettered", "fallback"]


async def test_a_failed_call_is_tried_once_more_while_there_is_time() -> None:
    """A server that hiccups costs no score; one that goes on failing is not asked for ever."""
    world = World(slo_ms=5_000)

    def fail(call: int, tensors: Any) -> None:
        if call != 1:
            raise ModelError(Cause.MODEL_ERROR, "hiccup")

    world.model.fails = fail
    async with running(world.pipeline()):
        for count in (1, 2):
            world.write_readings(1)
            await world.until(lambda wanted=count: world.committed() == wanted)  # type: ignore[misc]
    first, second = world.outcomes()
    assert first["outcome"] == "scored"
    assert second["outcome"] == "fallback"
    assert second["cause"] == "model_error"
    assert len(world.model.calls) == 3  # the budget is a share of the calls: it is empty after one


@pytest.mark.parametrize(("on_miss", "expected"), [("fallback", "fallback"), ("expire", "expired")])
async def test_what_the_model_cannot_make_is_as_its_class_wants(on_miss: Any, expected: str) -> None:
    """A model that takes longer than there is time."""
    world = World(slo_ms=100, on_miss=on_miss)
    world.model.delay = 1.0
    world.write_readings(3)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 3)
    assert {outcome["outcome"] for outcome in world.outcomes()} == {expected}


async def test_a_class_that_may_be_late_is_scored_late() -> None:
    """The score matters more than the deadline; the outcome says that it was missed."""
    world = World(slo_ms=50, on_miss="score_late")
    world.write(encode({"id": "old", "values": [1.0, 2.0, 3.0]}), 0, age_ms=10_000)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    (outcome,) = world.outcomes()
    assert (outcome["outcome"], outcome["deadline_met"]) == ("scored", False)


async def test_what_may_be_late_is_asked_once_more_when_the_server_forgets_its_call() -> None:
    """And nobody behind it waits for long."""
    world = World(slo_ms=50, on_miss="score_late")
    world.model.delay = 60.0
    world.write_readings(2, 0)
    async with running(world.pipeline()):
        await world.until(lambda: world.model.calls == [2])
        world.model.delay = 0.0
        await world.until(lambda: world.committed() == 2)
    assert [outcome["outcome"] for outcome in world.outcomes()] == ["scored", "scored"]


class Ragged(MeanTask):
    """A user's task whose event type allows any number of values; the model's input is of one size, or of any."""

    event_type: ClassVar[Any] = dict
    of: ClassVar[Any] = np.float32

    def tensors(self, events: Sequence[Any]) -> Any:
        return {"values": np.array([event["values"] for event in events], self.of)}

    def decide(self, events: Sequence[Any], tensors: Any, outputs: Any) -> Any:
        return outputs["mean"][:, 0].tolist()

    def rules(self, events: Sequence[Any], tensors: Any) -> Any:
        return [0.0] * len(events)


class OpenRagged(Ragged):
    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("values", "FP32", (-1,)),)


class Textual(Ragged):
    of: ClassVar[Any] = np.str_


@pytest.mark.parametrize(
    ("task", "model_is_up", "dead", "said"),
    [
        (Ragged(), True, {1, 4}, "tensor 'values' has shape [2] a row, declared is [3]"),
        (Ragged(), False, {1, 4}, "tensor 'values' has shape [2] a row, declared is [3]"),
        (OpenRagged(), True, {1, 4}, "the task must pad"),
        (Textual(), True, {0, 1, 2, 3, 4, 5}, "declared is FP32"),
    ],
)
async def test_events_of_another_shape_than_declared_cost_only_themselves(
    task: Task, model_is_up: bool, dead: set[int], said: str
) -> None:
    """The stream goes on, with the model and without, and the dead letter says what is wrong."""
    world = World(task, slo_ms=300)
    world.model.is_up = model_is_up
    for i in range(6):
        world.write(encode({"id": str(i), "values": [1.0, 2.0] if i in (1, 4) else [1.0, 2.0, 3.0]}))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 6)
    found = {i: outcome for i, outcome in enumerate(world.outcomes()) if outcome["outcome"] == "dead_lettered"}
    assert set(found) == dead
    assert all(said in outcome["detail"] for outcome in found.values())


async def test_numpys_numbers_in_a_result_are_written_as_plain_ones() -> None:
    class Careless(MeanTask):
        def decide(self, events: Sequence[Any], tensors: Any, outputs: Any) -> Any:
            return [
                {"mean": mean, "row": row} for mean, row in zip(outputs["mean"][:, 0], outputs["mean"], strict=True)
            ]

    world = World(Careless())
    world.write(encode({"id": "a", "values": [1.0, 2.0, 3.0]}))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    assert world.outcomes()[0]["result"] == {"mean": 2.0, "row": [2.0]}


HUGE = "x" * 3_000


@pytest.mark.parametrize(
    ("key", "value", "given", "age_ms"),
    [
        (b"k", encode({"id": "a", "values": [1.0, 2.0, 3.0]}), [("null", None), ("x", b"")], 0),
        (b"k", b"poison", [("null", None)], 0),
        (b"k", encode({"id": "a", "values": [1.0, 2.0, 3.0]}), [], -(10**18)),
        (b"k", b"poison", [], -(10**18)),
        (b"k", b"poison", [], 10**18),
        (HUGE.encode(), encode({"id": "a", "values": [1.0, 2.0, 3.0]}), [], 0),
        (HUGE.encode(), b"poison", [("big", HUGE.encode())], 0),
        (b"k", b"poison", [("big", HUGE.encode())], 0),
        (b"k", b"\xc1" * 3_000, [], 0),
        (b"k", b"poison", [("ce_id", b"\xff" * 1_500)], 0),
    ],
    ids=[
        "null header", "null header, poison", "nanoseconds", "nanoseconds, poison", "before time, poison", "huge key",
        "huge key and headers, poison", "huge headers, poison", "huge poison", "huge id",
    ],
)  # fmt: skip
async def test_hostile_records_are_answered_and_hold_nothing_up(
    key: bytes, value: bytes, given: list[tuple[str, bytes | None]], age_ms: int
) -> None:
    """A record like that, on topics that take two kilobytes, and a good one behind it."""
    world = World()
    world.sink = FakeSink(world.broker, max_record_bytes=2_000)
    now = int(time.time() * 1000)
    world.broker.append("in", 0, OutRecord(key, value, given, now - age_ms))
    world.write(encode({"id": "good", "values": [1.0, 2.0, 3.0]}))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 2)
    first, second = world.outcomes()
    assert second["outcome"] == "scored"
    assert first["outcome"] == ("scored" if value[0] == 0x82 and age_ms <= 0 else first["outcome"])
    if first["outcome"] == "dead_lettered":
        (letter,) = world.broker.records("dead")
        said = dict(letter.headers)
        assert letter.key == key or said["dlq-key-omitted"] == str(len(key)).encode()
        assert letter.value == value or said["dlq-body-omitted"] == str(len(value)).encode()
        assert set(given) <= set(letter.headers) or said["dlq-headers-omitted"] == str(len(given)).encode()
        assert said["dlq-original-timestamp"] == str(now - age_ms).encode()
        assert abs(letter.timestamp - now) < 3_700_000


@pytest.mark.parametrize("secret", ["fax", "x' 4111111111111111 \"y", "a - at `$.b` 4111", "4111\n", "`4111"])
async def test_what_is_wrong_is_said_without_the_data(secret: str) -> None:
    class Strict(msgspec.Struct):
        id: str
        values: Literal["ok"]

    class Choosy(MeanTask):
        event_type: ClassVar[type] = Strict

    world = World(Choosy())
    world.write(encode({"id": "a", "values": secret}))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    (outcome,) = world.outcomes()
    assert outcome["detail"] == "Invalid enum value … - at `$.values`"


@pytest.mark.parametrize(("is_shared", "most"), [(False, 2), (True, 1)])
async def test_a_model_that_others_ask_too_gets_no_call_ahead(is_shared: bool, most: int) -> None:
    class Counting(FakeModel):
        under_way = most = 0

        @property
        def is_shared(self) -> bool:
            return is_shared

        async def infer(self, tensors: Any, timeout: float, traceparent: bytes | None = None) -> Any:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                return await super().infer(tensors, timeout)
            finally:
                self.under_way -= 1

    world = World(batching={"max_batch_size": 20})
    world.model = model = Counting(world.task, delay=0.02)
    world.write_readings(200)
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 200)
    assert model.most == most
