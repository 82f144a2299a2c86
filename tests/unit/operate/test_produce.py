"""Poison among good drafts, in the share that was asked for."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferstream.errors import ContractMismatch, InferstreamError, SettingsError
from inferstream.operate import produce
from inferstream.operate.produce import POISON, Draft, Plan, run_produce, with_poison
from inferstream.settings import Settings
from inferstream.testing import FakeBroker, FakeSink


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 100), (0.25, 250), (1.0, 1000)])
def test_the_share_of_broken_events_is_met(share: float, expected: int) -> None:
    drafts = list(with_poison((Draft(b"k", None) for _ in range(1_000)), share))
    assert len(drafts) == 1_000
    assert sum(draft.payload is not None for draft in drafts) == expected


def test_every_kind_of_poison_comes() -> None:
    drafts = itertools.islice(with_poison((Draft(b"k", None) for _ in range(100)), 1.0), len(POISON))
    assert [draft.payload for draft in drafts] == list(POISON)


def plan(file: Path | None = None, slo_class: str | None = None) -> Plan:
    return Plan(1_000.0, 10, file, None, slo_class, 0.0, 1)


async def test_a_bad_line_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    """Before a broker is even asked for: there is none here."""
    file = tmp_path / "events.jsonl"
    file.write_text('{"amount": 1}\n\n{"amount": \n')
    with pytest.raises(SettingsError, match=r"events\.jsonl line 3 is not JSON"):
        await run_produce(Settings(), None, plan(file))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"amount": "\xff"}', "is not JSON: it is not UTF-8"),
        (b"\xff", "is not JSON"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "is nested too deep to be sent"),
        (b'{"amount": 123456789012345678901234567890}', "holds a number too large to be sent"),
    ],
    ids=["in a text", "a byte", "deep", "a number"],
)
async def test_a_line_that_cannot_be_an_event_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"amount": 1}\n' + line + b"\n")
    with pytest.raises(SettingsError, match=rf"events\.jsonl line 2 {said}") as raised:
        await run_produce(Settings(), None, plan(file))
    assert "\n" not in str(raised.value)


class Sink(FakeSink):
    """A broker's that takes records of up to 1,000 bytes, and says whether it was closed."""

    def __init__(self, broker: FakeBroker) -> None:
        super().__init__(broker, 1_000)
        self.is_stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.is_stopped = True
        await super().stop()


class Topics:
    """Says that there is an input topic, or what it is told to."""

    def __init__(self, partitions: dict[str, int]) -> None:
        self._partitions = partitions

    async def __aenter__(self) -> "Topics":
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def partition_counts(self) -> dict[str, int]:
        return self._partitions


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Sink:
    made = Sink(FakeBroker({"transactions": 3}))
    monkeypatch.setattr(produce, "Admin", lambda settings: Topics({"transactions": 3}))
    monkeypatch.setattr(produce, "KafkaSink", lambda settings: made)
    return made


async def test_all_that_was_acknowledged_is_counted(
    sink: Sink, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"transaction_id": "a"}\n{"transaction_id": "b"}\n')
    assert await run_produce(Settings(), None, plan(file)) == 0
    assert capsys.readouterr().err.startswith("sent 2 events to 'transactions' in ")


async def test_a_single_event_is_said_as_one(sink: Sink, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"transaction_id": "a"}\n')
    assert await run_produce(Settings(), None, plan(file)) == 0
    assert capsys.readouterr().err.startswith("sent 1 event to 'transactions' in ")


async def test_a_refused_event_is_named_by_its_line_and_not_counted(
    sink: Sink, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.jsonl"
    large = '{"transaction_id": "%s", "text": "' + "a" * 2_000 + '"}'
    file.write_text(f'{{"transaction_id": "a"}}\n\n{large % "b"}\n{{"transaction_id": "c"}}\n{large % "d"}\n')
    said = r"events\.jsonl line 3: the broker refuses .*; 2 events are refused in all"
    with pytest.raises(InferstreamError, match=said) as raised:
        await run_produce(Settings(), None, plan(file))
    assert raised.value.exit_code == 1
    assert capsys.readouterr().err.startswith("sent 2 events to 'transactions' in ")
    assert sink.is_stopped


async def test_a_right_that_is_missing_ends_it(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not one error for each of the events, and no count of what nobody took."""
    sent: list[object] = []

    def refuse(topic: str, partition: int, records: Sequence[object]) -> "asyncio.Future[None]":
        sent.append(records)
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_exception(ContractMismatch("grant WRITE"))
        return refused

    monkeypatch.setattr(sink, "send", refuse)
    with pytest.raises(ContractMismatch, match="grant WRITE"):
        await run_produce(Settings(), None, plan()._replace(events=1_000))
    assert len(sent) < 1_000
    assert capsys.readouterr().err.startswith("sent 0 events")
    assert sink.is_stopped


async def test_an_slo_class_that_the_pipeline_lacks_is_refused() -> None:
    with pytest.raises(SettingsError, match="has no SLO class 'gold'; it has: default"):
        await run_produce(Settings(), None, plan(slo_class="gold"))


async def test_a_topic_that_is_not_there_is_the_worlds_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "Admin", lambda settings: Topics({}))
    with pytest.raises(ContractMismatch, match="topic 'transactions' does not exist"):
        await run_produce(Settings(), None, plan())
