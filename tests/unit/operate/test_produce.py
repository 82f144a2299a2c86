"""Poison among good drafts, in the share that was asked for."""

import itertools
from pathlib import Path

import pytest

from inferstream.errors import ContractMismatch, SettingsError
from inferstream.operate import produce
from inferstream.operate.produce import POISON, Draft, Plan, run_produce, with_poison
from inferstream.settings import Settings


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


async def test_an_slo_class_that_the_pipeline_lacks_is_refused() -> None:
    with pytest.raises(SettingsError, match="has no SLO class 'gold'; it has: default"):
        await run_produce(Settings(), None, plan(slo_class="gold"))


async def test_a_topic_that_is_not_there_is_the_worlds_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty:
        def __init__(self, settings: object) -> None:
            pass

        async def __aenter__(self) -> "Empty":
            return self

        async def __aexit__(self, *error: object) -> None:
            pass

        async def partition_counts(self) -> dict[str, int]:
            return {}

    monkeypatch.setattr(produce, "Admin", Empty)
    with pytest.raises(ContractMismatch, match="topic 'transactions' does not exist"):
        await run_produce(Settings(), None, plan())
