"""What the stages really write, record by record, is what the schemas and headers.md promise."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgpack
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from inferstream.errors import ModelError
from inferstream.events import headers
from inferstream.events.dead_letter import PREFIXES
from inferstream.events.outcome import Answerer, Cause, Status
from inferstream.pipeline.interfaces import OutRecord, Prediction
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.settings import OnMiss, PipelineSettings
from inferstream.signals import Signals
from inferstream.tasks import Tensors
from inferstream.tasks.fraud import FraudTask, Transaction
from inferstream.tasks.fraud.decide import FraudResult
from inferstream.testing import FakeBroker, FakeClock, FakeSink, FakeSource, StoredRecord

SCHEMAS = Path(__file__).parents[2] / "schemas"
GOOD: dict[str, Any] = json.loads((SCHEMAS / "examples" / "transaction.minimal.json").read_text())
NOW = int(FakeClock().unix_ms())
LIMIT = 4_000  # bytes the topics take
OWN = [("traceparent", b"00-ab-cd-01"), ("slo-ms", b"900"), ("outcome-id", b"inherited"), ("dlq-cause", b"inherited")]


class Treacherous(FraudTask):
    """Spoils the transactions whose ids ask for it, each in the stage where a task of somebody else's may."""

    def tensors(self, events: Sequence[Transaction]) -> Tensors:
        if any(event.transaction_id == "raises" for event in events):
            raise KeyError("as tasks do")
        features = np.array(super().tensors(events)["features"])
        features[[event.transaction_id == "not-finite" for event in events]] = np.nan
        return {"features": features}

    def decide(self, events: Sequence[Transaction], tensors: Tensors, outputs: Tensors) -> list[FraudResult]:
        if any(event.transaction_id == "raises-late" for event in events):
            raise KeyError("as tasks do")
        results: list[Any] = list(super().decide(events, tensors, outputs))
        for row, event in enumerate(events):
            if event.transaction_id == "unwritable":
                results[row] = object()
            elif event.transaction_id == "too-large":
                results[row] = {"map": "x" * LIMIT}
        return results


class Mute(FraudTask):
    """Has no rules."""

    def rules(self, events: Sequence[Transaction], tensors: Tensors) -> None:  # type: ignore[override]
        return None


class Model:
    """A model that is there or not, or fails."""

    def __init__(self, is_ready: bool = True, fails: Cause | None = None) -> None:
        self.is_ready = is_ready
        self.instances = 1
        self.max_batch_size = 0
        self.is_shared = False
        self._fails = fails

    @property
    def url(self) -> str:
        return ""

    async def infer(self, tensors: Tensors, timeout: float, traceparent: bytes | None = None) -> Prediction:
        if self._fails is not None:
            raise ModelError(self._fails, "as told")
        rows = len(tensors["features"])
        return Prediction({"probability": np.full((rows, 1), 0.7, np.float32)}, Answerer("model", "fraud", "1"))

    async def stop(self) -> None:
        pass


def good(**changes: Any) -> bytes:
    packed: bytes = msgpack.packb({**GOOD, **changes})
    return packed


def event(value: bytes | None, *given: tuple[str, bytes], timestamp: int = NOW) -> OutRecord:
    return OutRecord(b"key", value, [*OWN, *given], timestamp)


class Written(NamedTuple):
    """What came of one event."""

    event: OutRecord
    outcome: StoredRecord
    letter: StoredRecord | None

    @property
    def text(self) -> dict[str, str]:
        """Our own headers of the dead letter; the last of repeated ones counts, as for every reader."""
        found = self.letter.headers if self.letter else ()
        return {name: (value or b"").decode() for name, value in found if name.startswith("dlq-")}


def _offset(outcome: StoredRecord) -> int:
    """Of the event it answers."""
    return int(dict(outcome.headers)["outcome-id"].rpartition(b"/")[2])  # type: ignore[union-attr]


async def written(
    task: FraudTask,
    model: Model,
    events: Sequence[OutRecord],
    on_miss: OnMiss = "fallback",
    refuse_card_numbers: bool = False,
) -> list[Written]:
    """Run these events through a pipeline and pair each with what was written for it."""
    broker = FakeBroker({"transactions": 1, "outcomes": 1, "dead-letters": 1})
    sink = FakeSink(broker, LIMIT)
    route = Route("fraud", "fraud", "group", "transactions", "outcomes", "dead-letters", 1)
    clock = FakeClock()
    ports = Ports(FakeSource(broker, "transactions", "group"), sink, [model], None, clock, Signals())
    settings = PipelineSettings(max_event_bytes=8_000, on_miss=on_miss, refuse_card_numbers=refuse_card_numbers)
    pipeline = Pipeline(route, task, settings, Timing(0.01, 1.0), ports)
    for each in events:
        broker.append("transactions", 0, each)
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(10):
        while broker.committed["group"].get(("transactions", 0)) != len(events) and not running.done():
            await asyncio.sleep(0.002)
            clock.advance(0.002)
    if running.done():
        await running  # raises what it failed with
    await pipeline.drain(1.0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await sink.stop()
    letters = {dict(letter.headers)["dlq-original-offset"]: letter for letter in broker.records("dead-letters")}
    outcomes = sorted(broker.records("outcomes"), key=_offset)  # an event with an earlier deadline overtakes
    assert [_offset(outcome) for outcome in outcomes] == list(range(len(events)))
    return [
        Written(each, outcome, letters.get(str(number).encode()))
        for number, (each, outcome) in enumerate(zip(events, outcomes, strict=True))
    ]


DEADLINE = ("deadline-unix-ms", str(NOW + 5_000).encode())
EVENTS = {
    "scored": event(good()),
    "newer": event(good(three_ds={"version": "2.2"})),
    "too late": event(good(), timestamp=NOW - 60_000),
    "tombstone": event(None),
    "empty": event(b""),
    "oversize": event(b"x" * 8_001),
    "codec": event(good(), ("content-type", b"text/csv")),
    "schema": event(good(), ("schema", b"transaction.v9")),
    "malformed": event(b"\xc1"),
    "body omitted": event(b"\xc1" * (LIMIT + 1)),
    "invalid": event(good(amount=-1)),
    "not decoded": event(b"\xc1", ("ce_id", b"ce-17")),
    "no timestamp": event(b"\xc1", DEADLINE, timestamp=-1),
    "not finite": event(good(transaction_id="not-finite")),
    "raises": event(good(transaction_id="raises")),
    "raises late": event(good(transaction_id="raises-late")),
    "unwritable": event(good(transaction_id="unwritable")),
    "too large": event(good(transaction_id="too-large")),
}


# Of a class that wants what the model misses among the dead letters.
MISSED = {
    "missed: unavailable": (Model(is_ready=False), event(good())),
    "missed: too late for the model": (Model(), event(good(), ("deadline-unix-ms", str(NOW + 5).encode()))),
    **{
        f"missed: {cause}": (Model(fails=cause), event(good()))
        for cause in (Cause.MODEL_TIMEOUT, Cause.MODEL_ERROR, Cause.MODEL_GARBAGE, Cause.MODEL_REJECTED)
    },
}


class Everything:
    """One run over all events, shared: what is judged is only read."""

    made: ClassVar[dict[str, Written]] = {}

    @classmethod
    async def get(cls) -> Mapping[str, Written]:
        if not cls.made:
            cls.made.update(zip(EVENTS, await written(Treacherous(), Model(), list(EVENTS.values())), strict=True))
            cls.made.update(zip(["rules"], await written(FraudTask(), Model(False), [event(good())]), strict=True))
            cls.made.update(zip(["nobody"], await written(Mute(), Model(False), [event(good())]), strict=True))
            card = event(good(card_id="4111 1111 1111 1111"))
            refused = await written(FraudTask(), Model(), [card], refuse_card_numbers=True)
            cls.made.update(zip(["card number"], refused, strict=True))
            for name, (model, missed) in MISSED.items():
                cls.made.update(zip([name], await written(FraudTask(), model, [missed], "dead_letter"), strict=True))
        return cls.made


@pytest.fixture
async def everything() -> Mapping[str, Written]:
    return await Everything.get()


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text()))


def documented(section: str) -> Iterator[re.Match[str]]:
    """Rows of the tables under one heading of headers.md: name, then the rest."""
    text = (SCHEMAS / "headers.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return re.finditer(r"^\| `([a-z_.-]+)` \|(.*)$", text, re.MULTILINE)


async def test_every_outcome_fits_its_schema(everything: Mapping[str, Written]) -> None:
    judge = validator("outcome.v1")
    for name, each in everything.items():
        assert each.outcome.value is not None, name
        judge.validate(msgpack.unpackb(each.outcome.value))


async def test_every_status_cause_and_stage_of_the_schemas_is_really_written(
    everything: Mapping[str, Written],
) -> None:
    """So none is promised that never comes, and none comes that is not promised."""
    outcomes = [msgpack.unpackb(each.outcome.value) for each in everything.values()]
    assert {outcome["outcome"] for outcome in outcomes} == {status.value for status in Status}
    letter = validator("dead_letter.v1").schema["properties"]
    texts = [each.text for each in everything.values() if each.letter is not None]
    assert {text["dlq-cause"] for text in texts} == set(letter["dlq-cause"]["enum"])
    assert {text["dlq-stage"] for text in texts} == set(letter["dlq-stage"]["enum"])


async def test_the_headers_of_an_outcome_are_those_of_headers_md(everything: Mapping[str, Written]) -> None:
    promised = {
        row[1]
        for row in documented("Written on an outcome")
        if "Not written yet" not in row[2] and "only where" not in row[2]
    }
    for name, each in everything.items():
        ours = len(each.outcome.headers) - len(inherited := headers.carried(each.event.headers))
        assert {key for key, _ in each.outcome.headers[:ours]} == promised, name
        assert list(each.outcome.headers[ours:]) == inherited
        outcome = msgpack.unpackb(each.outcome.value)
        found = {name: value or b"" for name, value in each.outcome.headers}
        assert found["outcome"].decode() == outcome["outcome"]
        assert found["outcome-id"].decode() == outcome["id"]
        assert found["schema"] == b"outcome.v1"
        assert found["slo-ms"] == b"900"
        assert each.outcome.key == b"key"


async def test_there_is_a_dead_letter_exactly_for_what_is_dead_lettered(everything: Mapping[str, Written]) -> None:
    for name, each in everything.items():
        is_dead = msgpack.unpackb(each.outcome.value)["outcome"] == "dead_lettered"
        assert is_dead is (each.letter is not None), name


async def test_the_headers_of_a_dead_letter_fit_its_schema_and_headers_md(everything: Mapping[str, Written]) -> None:
    judge = validator("dead_letter.v1")
    promised = {
        row[1]
        for row in documented("Written on a dead letter")
        if "even so" not in row[2] and "was replayed" not in row[2]
    }
    for name, each in everything.items():
        if each.letter is None:
            continue
        judge.validate(each.text)
        omitted = set() if each.letter.value is not None or each.event.value is None else {"dlq-body-omitted"}
        ours = {key for key, _ in each.letter.headers if key.startswith(PREFIXES)}
        assert ours == promised - {"dlq-body-omitted"} | omitted, name
        outcome = msgpack.unpackb(each.outcome.value)
        assert (each.text["dlq-outcome-id"], each.text["dlq-cause"]) == (outcome["id"], outcome["cause"])


async def test_a_dead_letter_is_its_original(everything: Mapping[str, Written]) -> None:
    for name, each in everything.items():
        if each.letter is None:
            continue
        timestamp = NOW if each.event.timestamp_ms == -1 else each.event.timestamp_ms
        assert (each.letter.key, each.letter.timestamp) == (each.event.key, timestamp), name
        kept = [header for header in each.event.headers if not header[0].startswith("dlq-")]
        assert list(each.letter.headers[: len(kept)]) == kept
        if "dlq-body-omitted" in each.text:
            assert each.letter.value is None
            assert each.text["dlq-body-omitted"] == str(len(each.event.value or b""))
        else:
            assert each.letter.value == each.event.value
    assert "dlq-body-omitted" in everything["body omitted"].text


async def test_springs_numbers_are_as_wide_as_headers_md_says(everything: Mapping[str, Written]) -> None:
    letter = everything["no timestamp"].letter
    assert letter is not None
    found = {name: value or b"" for name, value in letter.headers}
    widths = {row[1]: int(row[2].split()[0]) for row in documented("Written on a dead letter") if "bytes," in row[2]}
    assert len(widths) == 3
    for name, width in widths.items():
        assert len(found[name]) == width, name
    assert int.from_bytes(found["kafka_dlt-original-timestamp"], "big", signed=True) == -1


async def test_event_id_is_the_producers_own_or_that_of_cloudevents(everything: Mapping[str, Written]) -> None:
    def event_id(name: str) -> str | None:
        found: str | None = msgpack.unpackb(everything[name].outcome.value).get("event_id")
        return found

    assert event_id("scored") == GOOD["transaction_id"]
    assert event_id("not decoded") == "ce-17"
    assert event_id("malformed") is None


def test_the_tables_are_the_names_in_the_code() -> None:
    read = {name.replace("_", "-") for name in headers.Read.__struct_fields__}
    assert {row[1].replace("_", "-") for row in documented("Read from an event")} == read
    written_anew = {name for name, _ in OWN + [(row[1], b"") for row in documented("Written on an outcome")]}
    carried = {name for name, _ in headers.carried([(name, b"") for name in written_anew])}
    assert carried == {"traceparent", "slo-ms", "dlq-cause"}
