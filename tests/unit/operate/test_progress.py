"""What was replayed is remembered exactly, in what a committed offset and its note can hold."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.errors import SettingsError
from inferstream.kafka import Committed
from inferstream.operate.progress import Progress
from inferstream.testing import StoredRecord


def letter(offset: int, partition: int = 0) -> StoredRecord:
    return StoredRecord("dead", partition, offset, 0, None, None, ())


def known(progress: Progress, upto: int) -> set[int]:
    return {offset for offset in range(upto) if letter(offset) in progress}


@given(st.lists(st.sets(st.integers(0, 200)), max_size=5), st.integers(0, 100))
def test_it_survives_being_written_and_read(rounds: list[set[int]], begin: int) -> None:
    committed: dict[int, Committed] = {}
    done: set[int] = set()
    for replayed in rounds:
        progress = Progress(committed, {0: 0})
        assert known(progress, 201) == done
        for offset in replayed:
            progress.add(letter(offset))
        done |= replayed
        committed.update(progress.changes())
        progress.remembered()
        assert progress.changes() == {}
    after_retention = Progress(committed, {0: begin})
    assert known(after_retention, 201) - set(range(begin)) == {offset for offset in done if offset >= begin}


def test_the_offset_is_that_of_the_first_letter_not_replayed() -> None:
    progress = Progress({}, {0: 5, 1: 0})
    for offset in (5, 6, 8):
        progress.add(letter(offset))
    assert progress.changes()[0].offset == 7
    assert progress.changes().keys() == {0}
    progress.add(letter(7))
    assert progress.changes()[0].offset == 9


def test_long_runs_fit_into_a_note() -> None:
    progress = Progress({}, {0: 0})
    for offset in range(1, 100_000):
        progress.add(letter(offset))
    assert len(progress.changes()[0].note) < 1_000


def test_what_does_not_fit_is_refused_and_not_forgotten() -> None:
    progress = Progress({}, {0: 0})
    chosen = random.Random(1).sample(range(1, 100_000), 50_000)
    for offset in chosen:
        progress.add(letter(offset))
    with pytest.raises(SettingsError, match="replay the oldest of the others first"):
        progress.changes()
    assert letter(chosen[0]) in progress


@pytest.mark.parametrize("note", ["", "other", "1:", "1:{{{", "1:" + "A" * 20])
def test_a_note_that_is_not_ours_is_no_progress(note: str) -> None:
    assert known(Progress({0: Committed(3, note)}, {0: 0}), 10) == {0, 1, 2}
