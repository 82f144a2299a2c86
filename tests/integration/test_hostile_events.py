"""A hundred thousand card numbers and a few secrets go through everything that can go wrong; none comes out again."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.cards import Numbers
from tests.integration.conftest import PARTITIONS, Bench

from inferstream import local
from inferstream.events.envelope import Record
from inferstream.kafka import KafkaSink
from inferstream.local.stack import TRACES_FILE
from inferstream.pipeline.interfaces import OutRecord
from inferstream.tasks.fraud import Transaction
from inferstream.testing import ServiceProcess
from inferstream.traffic import stream

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400)]

_NUMBERS = 100_000
_A_RECORD = 25
_HOUR_MS = 3_600_000
_REFUSES = {
    "INFERSTREAM__PIPELINES__FRAUD__REFUSE_CARD_NUMBERS": "true",
    "INFERSTREAM__PIPELINES__FRAUD__DEAD_LETTER_LIMIT__ENABLED": "false",
}
_SECRET = "planted-in-the-settings"
_PLANTED = {
    "INFERSTREAM__TRITON__ACCESS_KEY": f"access-key={_SECRET}-1",
    "INFERSTREAM__TRITON__MODEL_CONTROL_KEY": f"control-key={_SECRET}-2",
}
_OFF = {**_REFUSES, "INFERSTREAM__PIPELINES__FRAUD__REFUSE_CARD_NUMBERS": "false"}


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Bench]:
    """A pipeline on a stack of its own, with a collector."""
    with local.running(tmp_path, parts=local.ALL_PARTS, models=["fraud"]) as stack:
        yield Bench(stack, tmp_path)


class Cards(Numbers):
    """Numbers, and what is made of them."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._good: Transaction = next(stream(seed=1))[0]

    def records(self, count: int) -> Iterator[OutRecord]:
        """Records with so many numbers in all, of each kind in turn."""
        for kind in range(count // _A_RECORD):
            yield self._record(kind % 9, [self.new() for _ in range(_A_RECORD)])

    def _record(self, kind: int, texts: list[str]) -> OutRecord:
        now_ms = int(time.time() * 1000)
        event = {**msgspec.to_builtins(self._good), "timestamp_ms": now_ms}
        headers: list[tuple[str, bytes | None]] = [("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]
        key, at_ms = b"key", now_ms
        joined = " and ".join(texts)
        if kind == 0:
            event |= {"card_id": texts[0], "customer_id": texts[1], "more": texts[2:]}
        elif kind == 1:
            event |= {"channel": joined}  # the decoder's message names it
        elif kind == 2:
            event |= {texts[0]: {"deep": [texts[1:]]}}
        elif kind == 3:
            headers += [(f"own-{n}", text.encode()) for n, text in enumerate(texts)]
        elif kind == 4:
            key = joined.encode()
        elif kind == 5:
            headers += [("ce_id", joined.encode()), ("slo-class", joined.encode()), ("schema", joined.encode())]
        elif kind == 6:
            event |= {"more": joined * 200}  # oversize
        elif kind == 7:
            key, at_ms = joined.encode(), now_ms - _HOUR_MS  # too late
        value = b"\xc1" + joined.encode() if kind == 8 else msgspec.msgpack.encode(event)
        return OutRecord(key, value, headers, at_ms)


async def send(bench: Bench, records: Iterable[OutRecord]) -> int:
    """All of them, spread over the partitions; how many they are."""
    sink, under_way = KafkaSink(bench.settings.kafka), []
    await sink.start()
    count = 0
    for count, record in enumerate(records, 1):
        under_way.append(sink.send(bench.pipeline.input_topic, count % PARTITIONS, [record]))
        if count % 100 == 0:
            await asyncio.gather(*under_way)
            under_way = []
            await asyncio.sleep(0.05)
    await asyncio.gather(*under_way)
    await sink.stop()
    return count


async def command(bench: Bench, environ: dict[str, str], *arguments: str) -> str:
    """What a command with the bench's settings says."""
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "inferstream", *arguments],
        env={**os.environ, **bench.environ, **environ},
        capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    return str(run.stdout + run.stderr)


async def page(service: ServiceProcess) -> str:
    """The live page, and two frames of what it shows."""
    async with aiohttp.ClientSession() as http:
        async with http.get(service.url("")) as answer:
            seen = await answer.text()
        async with http.get(service.url("live")) as answer:
            for _ in range(8):
                seen += (await answer.content.readline()).decode()
    return seen


async def answered(bench: Bench, count: int) -> list[Record]:
    """The outcomes, once there are so many."""
    async with asyncio.timeout(120):
        while len(found := await bench.records(bench.pipeline.output_topic)) < count:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.5)
    return found


def whole(records: Iterable[Record]) -> str:
    """All that records hold, as text."""
    return "\n".join(
        f"{(r.key or b'').decode('latin-1')}\n{(r.value or b'').decode('latin-1')}\n{list(r.headers)}" for r in records
    )


async def told(bench: Bench, service: ServiceProcess, environ: dict[str, str]) -> dict[str, str]:
    """Everything that people see, by where."""
    topic = bench.pipeline.dead_letter_topic
    commands = {
        "dlq": ["dlq", "--json"],
        "dlq in words": ["dlq", "--limit", "2000"],
        "audit": ["audit"],
        "tail": ["tail", "--from-beginning", "--count", "100"],
        "tail of letters": ["tail", "--topic", topic, "--from-beginning", "--count", "100", "--json"],
        "replay": ["replay", "--dry-run"],
    }
    said = {name: await command(bench, environ, *arguments) for name, arguments in commands.items()}
    return {
        **said,
        "metrics": await service.metrics(),
        "page": await page(service),
        "log": service.log,
        "traces": (bench.stack.folder / TRACES_FILE).read_text(),
    }


async def test_no_card_number_comes_out_of_a_pipeline_that_refuses_them(traced: Bench) -> None:
    cards = Cards(seed=3)
    await traced.create_topics()
    environ = {**_REFUSES, **_PLANTED, "INFERSTREAM__WEB__PAGE": "true"}
    async with traced.service(environ) as service:
        count = await send(traced, cards.records(_NUMBERS))
        outcomes = await answered(traced, count)
        letters = await traced.records(traced.pipeline.dead_letter_topic)
        seen = await told(traced, service, environ)
        assert await service.terminate() == 0
        seen["log"] = service.log
    seen |= {"outcomes": whole(outcomes), "dead letters": whole(letters)}
    assert {where: sorted(found)[:3] for where, text in seen.items() if (found := cards.leaked(text))} == {}
    assert [where for where, text in seen.items() if _SECRET in text] == []
    causes = {dict(letter.headers)["dlq-cause"] for letter in letters}
    assert causes == {b"card_number", b"invalid", b"malformed", b"oversize", b"unknown_schema"}
    assert '"dead_letters"' in seen["log"]
    assert '"kind": "consumer"' in seen["traces"] or "process " in seen["traces"]


async def test_without_the_setting_they_stay_in_the_records_and_nobody_tells_them(traced: Bench) -> None:
    """A dead letter keeps its event whole, and an outcome its key and headers: the topics hold what theirs do."""
    cards = Cards(seed=4)
    await traced.create_topics()
    environ = {**_OFF, "INFERSTREAM__WEB__PAGE": "true"}
    async with traced.service(environ) as service:
        count = await send(traced, cards.records(10_000))
        await answered(traced, count)
        letters = await traced.records(traced.pipeline.dead_letter_topic)
        seen = await told(traced, service, environ)
        assert await service.terminate() == 0
        seen["log"] = service.log
    ours = [h for letter in letters for h in letter.headers if h[0].startswith(("dlq-", "__connect", "kafka_dlt"))]
    seen["headers of dead letters"] = str(ours)
    assert {where: sorted(found)[:3] for where, text in seen.items() if (found := cards.leaked(text))} == {}
    assert cards.leaked(whole(letters)), "else the search finds nothing at all"
