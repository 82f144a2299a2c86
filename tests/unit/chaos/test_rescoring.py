"""What an event must score is computed from its bytes alone, and poison is told from events."""

import itertools

import msgspec
import pytest
from tests.chaos.rescoring import Rescorer

from inferstream.operate.produce import POISON
from inferstream.traffic import stream


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    return [msgspec.msgpack.encode(event) for event, _ in itertools.islice(stream(seed=1, customers=50), 20)]


def test_every_kind_of_answerer_has_a_score_of_its_own_and_poison_has_none(events: list[bytes]) -> None:
    scores = Rescorer().scores([*events, *POISON, None])
    assert scores[20:] == [None] * (len(POISON) + 1)
    for score in scores[:20]:
        assert score is not None
        assert set(score) == {"model", "student", "rules"}
        assert all(0 <= value <= 1 for value in score.values())
        assert len(set(score.values())) == 3


def test_an_event_scores_alone_what_it_scores_among_others(events: list[bytes]) -> None:
    rescorer = Rescorer()
    for event, among_others in zip(events, rescorer.scores(events), strict=True):
        (alone,) = rescorer.scores([event])
        assert alone == pytest.approx(among_others, abs=1e-6)
