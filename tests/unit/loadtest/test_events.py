"""Events as the generator sends them."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtest.events import load_id, read_load_id, recorded, simulated
from loadtest.generator import Headers, prepare

from inferstream.tasks.fraud import Transaction


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_load_id_says_what_it_was_given(sequence: int, intended_ns: int) -> None:
    assert read_load_id(load_id(sequence, intended_ns)) == (sequence, intended_ns)


@given(st.one_of(st.none(), st.text(), st.binary()))
def test_whatever_stands_there_is_read_or_refused(value: object) -> None:
    sequence, intended_ns = read_load_id(value)
    assert sequence >= -1
    assert intended_ns >= 0


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_simulated_events_are_transactions_on_the_partition_of_their_card(codec: str) -> None:
    decode = getattr(msgspec, codec).decode
    drafts = simulated(300, codec, seed=1, partitions=4, now_ms=1_700_000_000_000)
    assert len(drafts) == 300
    partitions: dict[bytes, int] = {}
    for draft in drafts:
        event = decode(draft.value, type=Transaction)
        assert event.timestamp_ms == 1_700_000_000_000
        assert event.card_id.encode() == draft.key
        assert partitions.setdefault(draft.key, draft.partition) == draft.partition
    assert set(partitions.values()) == {0, 1, 2, 3}


def test_more_events_than_templates_use_them_again() -> None:
    drafts = simulated(20_010, "msgpack", seed=1, partitions=4, now_ms=0)
    assert drafts[20_005] == drafts[5]


def test_recorded_events_are_sent_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"timestamp_ms": 2, "card_id": "b"}\n{"timestamp_ms": 1, "own": [1]}\n')
    first, second = recorded(file, 9, "msgpack", 4)
    assert msgspec.msgpack.decode(first.value) == {"timestamp_ms": 1, "own": [1]}
    assert (first.key, second.key) == (b"0", b"b")


def test_prepared_events_carry_number_and_intended_time() -> None:
    drafts = simulated(3, "msgpack", seed=1, partitions=4, now_ms=0)
    classes: Headers = [[], [("slo-class", "gold")], []]
    prepared = prepare(drafts, np.array([-1_000_000, 0, 2_500_000], np.int64), 10_000_000, classes)
    assert [event[4][1:] for event in prepared] == [[], [("slo-class", "gold")], []]
    assert [event[3] for event in prepared] == [9, 10, 12]
    assert [read_load_id(event[4][0][1]) for event in prepared] == [(0, 9_000_000), (1, 10_000_000), (2, 12_500_000)]
