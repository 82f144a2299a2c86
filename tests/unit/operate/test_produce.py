"""Poison among good drafts, in the share that was asked for."""

import itertools

import pytest

from inferstream.operate.produce import POISON, Draft, with_poison


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 100), (0.25, 250), (1.0, 1000)])
def test_the_share_of_broken_events_is_met(share: float, expected: int) -> None:
    drafts = list(with_poison((Draft(b"k", None) for _ in range(1_000)), share))
    assert len(drafts) == 1_000
    assert sum(draft.payload is not None for draft in drafts) == expected


def test_every_kind_of_poison_comes() -> None:
    drafts = itertools.islice(with_poison((Draft(b"k", None) for _ in range(100)), 1.0), len(POISON))
    assert [draft.payload for draft in drafts] == list(POISON)
