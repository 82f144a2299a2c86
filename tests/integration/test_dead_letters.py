"""Dead letters on a real broker and service: quarantine, resume, dlq and replay, as an operator meets them."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from tests.integration.conftest import PARTITIONS, Bench

from inferstream.events import dead_letter, headers
from inferstream.kafka import KafkaSink
from inferstream.operate.audit import Range, reconcile
from inferstream.operate.pipelines import choose
from inferstream.pipeline.interfaces import OutRecord
from inferstream.tasks.fraud import Transaction
from inferstream.traffic import stream

pytestmark = pytest.mark.timeout(180)

LIMIT = "INFERSTREAM__PIPELINES__FRAUD__DEAD_LETTER_LIMIT__"
NEVER_PROBED = {f"{LIMIT}PROBE_AFTER_MS": "3600000"}


async def run(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command with the bench's settings."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "inferstream", *arguments],
        env={**os.environ, **bench.environ},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


async def until(is_true: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not await is_true():  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.1)


def good(number: int) -> bytes:
    """A transaction that can be scored."""
    transaction: Transaction = next(stream(seed=number))[0]
    transaction.timestamp_ms = int(time.time() * 1000)
    return msgspec.msgpack.encode(transaction)


async def send(bench: Bench, partition: int, *values: bytes, given: tuple[tuple[str, bytes], ...] = ()) -> None:
    """Events into one partition; returns once they are acknowledged."""
    sink = KafkaSink(bench.settings.kafka)
    await sink.start()
    now_ms = int(time.time() * 1000)
    await sink.send(bench.pipeline.input_topic, partition, [OutRecord(b"key", v, list(given), now_ms) for v in values])
    await sink.stop()


async def answered(bench: Bench, partition: int) -> int:
    """Outcomes in a partition."""
    return sum(r.partition == partition for r in await bench.records(bench.pipeline.output_topic))


POISON = b"\xc1 poison"


async def test_poison_holds_its_own_partition_until_an_operator_resumes_it(bench: Bench) -> None:
    await bench.create_topics()
    events = good(1)
    async with bench.service(NEVER_PROBED) as service:
        await send(bench, 1, *[POISON] * 150)

        async def is_held() -> bool:
            return 'inferstream_quarantined_partitions{pipeline="fraud"} 1' in await service.metrics()

        await until(is_held)
        # What was taken is answered whole; what comes now waits, elsewhere nothing does.
        for partition in range(PARTITIONS):
            await send(bench, partition, *[events] * 20)
        others = [p for p in range(PARTITIONS) if p != 1]

        async def others_are_answered() -> bool:
            return [await answered(bench, p) for p in others] == [20] * len(others)

        await until(others_are_answered)
        assert await answered(bench, 1) == 150
        assert "partition_quarantined" in service.log
        listed = await run(bench, "resume", "--list")
        assert "partition 1: held since 20" in listed.stdout
        assert "101 dead letters in a row" in listed.stdout or "dead letters among the last" in listed.stdout
        assert "; 20 events wait" in listed.stdout
        audited = await run(bench, "audit")
        assert (audited.returncode, "partition 1 is held since 20" in audited.stdout) == (1, True)
        absent = await run(bench, "resume", "--partition", "44", "--partition", "2")
        assert "has no partition 44" in absent.stderr
        assert "partition 2; held: 1" in absent.stderr
        wrong = await run(bench, "resume", "--partition", "2")
        assert (wrong.returncode, "partition 2" in wrong.stderr) == (2, True)
        assert await is_held()

        resumed = await run(bench, "resume", "--json")
        assert json.loads(resumed.stdout)["partitions"]["1"]["resumed"] is True

        async def all_are_answered() -> bool:
            return await answered(bench, 1) == 170

        await until(all_are_answered)
        assert not await is_held()
        assert "no partition of pipeline 'fraud' is quarantined" in (await run(bench, "resume")).stdout
        report = await bench.audit(150 + 20 * PARTITIONS)
        assert report.problems == {}
        assert report.outcomes["dead_lettered"] == 150
        assert await service.terminate() == 0
    assert report.repeats == 0


async def test_a_quarantine_outlives_the_process_and_a_good_probe_lifts_it(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service(NEVER_PROBED) as service:
        await send(bench, 0, *[POISON] * 130)

        async def is_held() -> bool:
            return "held since" in (await run(bench, "resume", "--list")).stdout

        await until(is_held)
        assert await service.terminate() == 0
    await send(bench, 0, *[good(2)] * 120)
    probing = {f"{LIMIT}PROBE_AFTER_MS": "3000", f"{LIMIT}PROBE_EVENTS": "50"}
    async with bench.service(probing) as service:

        async def is_lifted() -> bool:
            return "quarantine_lifted" in service.log

        await until(is_lifted)
        assert "partition_quarantined" in service.log
        report = await bench.audit(250)
        assert report.problems == {}
        assert report.outcomes["dead_lettered"] == 130
    assert "no partition" in (await run(bench, "resume", "--list")).stdout


async def test_without_a_limit_poison_flows(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service({f"{LIMIT}ENABLED": "false"}):
        await send(bench, 0, *[POISON] * 400)
        await send(bench, 0, *[POISON] * 400)
        report = await bench.audit(800)
    assert report.problems == {}
    assert report.outcomes["dead_lettered"] == 800


async def test_dlq_tells_what_is_wrong_and_not_what_events_say(bench: Bench) -> None:
    await bench.create_topics()
    secret = msgspec.json.encode({"transaction_id": "s3cret\x1b[2J"})
    given = (("ce_id", b"ce-17"), ("content-type", b"application/json"), ("own", b"\x00\x01"))
    async with bench.service():
        await send(bench, 2, b"", POISON)
        await send(bench, 3, secret, given=given)
        assert (await bench.audit(3)).problems == {}
    listed = await run(bench, "dlq")
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == 4
    only = await run(bench, "dlq", "--cause", "invalid", "--stage", "decode", "--partition", "3", "--since", "1h")
    assert "3@0" in only.stdout
    assert "ce-17" in only.stdout
    assert "2@" not in only.stdout
    assert "s3cret" not in listed.stdout + only.stdout
    assert len((await run(bench, "dlq", "--until", "2020-01-01")).stdout.splitlines()) == 1
    counted = json.loads((await run(bench, "dlq", "--count", "--json")).stdout)
    assert counted == {"dead_letters": 3, "causes": {"empty": 1, "malformed": 1, "invalid": 1}}
    shown = await run(bench, "dlq", "--show", "3@0")
    assert "own: (hidden, --show-data)" in shown.stdout
    assert "s3cret" not in shown.stdout
    data = await run(bench, "dlq", "--show", "3@0", "--show-data")
    assert "s3cret\\x1b[2J" in data.stdout
    assert "own: 0001" in data.stdout
    assert "\x1b" not in data.stdout
    assert "c1 20 70" in (await run(bench, "dlq", "--show", "2@1", "--show-data")).stdout
    assert (await run(bench, "dlq", "--show", "0@9")).returncode == 2


async def test_replayed_letters_are_new_events_that_name_their_source(bench: Bench) -> None:
    """Two letters of an event type that is understood the second time, one that is poison for good."""
    await bench.create_topics()
    unknown = {"INFERSTREAM__PIPELINES__FRAUD__MAX_EVENT_BYTES": "64"}
    given = (("traceparent", b"00-ab"), ("deadline-unix-ms", b"1700000000000"), ("slo-class", b"none"))
    late = (("slo-ms", b"60000"), ("traceparent", b"00-ab"))
    async with bench.service(unknown):
        await send(bench, 1, good(1), good(2), given=late)
        await send(bench, 3, POISON, given=late)
        await send(bench, 3, good(3), given=given)  # expired, so it is no letter
        assert (await bench.audit(4)).problems == {}
    letters = {r.value: r for r in await bench.records(bench.pipeline.dead_letter_topic)}
    assert len(letters) == 3

    dry = await run(bench, "replay", "--dry-run")
    assert "3 dead letters" in dry.stdout
    asked = await run(bench, "replay")
    assert (asked.returncode, "give --yes" in asked.stderr) == (2, True)
    assert len(await bench.records(bench.pipeline.input_topic)) == 4

    async with bench.service() as service:  # the same pipeline, mended
        first = await run(bench, "replay", "--yes", "--cause", "oversize", "--limit", "1", "--slo-ms", "5000")
        assert first.returncode == 0, first.stderr
        assert "replayed 1 events" in first.stderr
        rest = await run(bench, "replay", "--yes")
        assert "replayed 2 events" in rest.stderr
        assert "1 skipped: replayed before" in rest.stdout
        assert "0 dead letters" in (await run(bench, "replay", "--yes", "--cause", "oversize")).stdout
        report = await bench.audit(7)
        assert report.problems == {}
        assert report.replayed == 3
        assert report.outcomes["scored"] + report.outcomes["fallback"] == 2

        events = [r for r in await bench.records(bench.pipeline.input_topic) if dead_letter.replays(r.headers)]
        for event in events:
            origin = letters[event.value]
            assert event.key == origin.key
            assert event.partition == int(headers.text(origin.headers, dead_letter.PARTITION))
            assert event.timestamp > origin.timestamp
            found = dict(event.headers)
            assert found.keys() == {
                "traceparent", "slo-ms", "dlq-original-topic", "dlq-original-partition", "dlq-original-offset",
                "dlq-original-timestamp", "dlq-replays",
            }  # fmt: skip
            assert found["dlq-original-offset"] == dict(origin.headers)["dlq-original-offset"]
        assert sorted(dict(e.headers)["slo-ms"] or b"" for e in events) == [b"3000", b"3000", b"5000"]

        # The poison came back: it still names the record it first was, once, and is not replayed for ever.
        for round_ in (2, 3):
            assert "replayed 1 events" in (await run(bench, "replay", "--yes")).stderr
            assert (await bench.audit(6 + round_)).problems == {}
        again = [r for r in await bench.records(bench.pipeline.dead_letter_topic) if r.value == POISON]
        assert [headers.text(r.headers, dead_letter.REPLAYS) for r in again] == ["", "1", "2", "3"]
        assert {headers.text(r.headers, dead_letter.OFFSET) for r in again} == {"0"}
        assert len({len(r.headers) for r in again[1:]}) == 1
        stopped = await run(bench, "replay", "--yes")
        assert "1 skipped: came back after 3 replays" in stopped.stdout
        assert await service.terminate() == 0
    audited = await run(bench, "audit", "--strict")
    assert audited.returncode == 0, audited.stdout
    assert "5 events were replayed dead letters" in audited.stdout


async def test_a_replay_that_is_interrupted_goes_on_where_it_stopped(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service({f"{LIMIT}ENABLED": "false"}):
        await send(bench, 0, *[POISON] * 60)
        await send(bench, 1, *[POISON] * 60)
        assert (await bench.audit(120)).problems == {}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inferstream", "replay", "--yes", "--rate", "5",
        env={**os.environ, **bench.environ}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip

    async def has_begun() -> bool:
        return len(await bench.records(bench.pipeline.input_topic)) > 130

    await until(has_begun)
    process.send_signal(2)
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert b"the same command goes on from there" in said
    assert len(await bench.records(bench.pipeline.input_topic)) < 240
    rest = await run(bench, "replay", "--yes", "--rate", "10000")
    assert rest.returncode == 0, rest.stderr
    events = [r for r in await bench.records(bench.pipeline.input_topic) if dead_letter.replays(r.headers)]
    sources = [(r.partition, headers.text(r.headers, dead_letter.OFFSET)) for r in events]
    assert len(sources) == len(set(sources)) == 120


async def test_an_audit_of_a_range_sees_that_range(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service():
        await send(bench, 0, *[good(1)] * 10)
        await send(bench, 1, *[good(1)] * 10, POISON)
        assert (await bench.audit(21)).problems == {}
    await send(bench, 0, good(1))  # nobody answers it
    chosen = choose(bench.settings, "fraud")
    assert (await reconcile(bench.settings, chosen)).counts == {"missing": 1}
    for span, inputs in (
        (Range(partition=0, to_offset=10), 10),
        (Range(partition=0, from_offset=4, to_offset=10), 6),
        (Range(partition=1), 11),
        (Range(until_ms=0), 0),
        (Range(since_ms=0, partition=1), 11),
    ):
        report = await reconcile(bench.settings, chosen, span)
        assert report.problems == {}, span
        assert report.inputs == inputs, span
    assert (await reconcile(bench.settings, chosen, Range(since_ms=0))).counts == {"missing": 1}
    beyond = await run(bench, "audit", "--partition", "0", "--to-offset", "99")
    assert "partition 0 ends at 11" in beyond.stderr


async def test_a_repeat_fails_the_audit_where_there_must_be_none(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service():
        await send(bench, 0, good(1))
        assert (await bench.audit(1)).problems == {}
    outcome = (await bench.records(bench.pipeline.output_topic))[0]
    sink = KafkaSink(bench.settings.kafka)
    await sink.start()
    again = OutRecord(outcome.key, outcome.value, list(outcome.headers), outcome.timestamp)
    await sink.send(bench.pipeline.output_topic, 0, [again])
    await sink.stop()
    assert (await run(bench, "audit")).returncode == 0
    strict = await run(bench, "audit", "--strict")
    assert (strict.returncode, "1 repeated outcomes, not allowed" in strict.stdout) == (1, True)
    nothing = await run(bench, "audit", "--since", "2099-01-01")
    assert (nothing.returncode, "nothing was proved" in nothing.stdout) == (1, True)
    outside = await run(bench, "dlq", "--partition", "99")
    assert (outside.returncode, "has no partition 99" in outside.stderr) == (2, True)
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__DELIVERY"] = "exactly_once"
    assert (await run(bench, "audit")).returncode == 1


@pytest.mark.parametrize("command", [["audit"], ["tail"], ["produce"], ["dlq"], ["replay"], ["resume"]])
async def test_a_broker_that_is_not_there_is_said_soon(bench: Bench, command: list[str]) -> None:
    nowhere = {**os.environ, "INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    began = time.monotonic()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "inferstream", *command, "--timeout", "1"],
        env=nowhere, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 4
    assert "no answer from Kafka at 127.0.0.1:9" in done.stderr
    assert time.monotonic() - began < 30  # not the minute that the service waits
