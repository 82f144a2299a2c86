"""The audit is itself tested: a clean history passes, every mutant of it is caught by name."""

from collections.abc import Callable

import pytest

from inferstream.events import dead_letter, headers
from inferstream.events.outcome import outcome_id
from inferstream.operate.audit import Reconciliation, Report
from inferstream.testing import StoredRecord

GROUP, TOPIC = "g", "t"
EVENTS = {0: 6, 1: 4}  # by partition
POISON = (1, 2)


class History:
    """Inputs, outcomes and dead letters of ten events, one of them poison, all in order."""

    def __init__(self) -> None:
        self.inputs = [event(p, o) for p, count in EVENTS.items() for o in range(count)]
        self.outcomes = [outcome(r.partition, r.offset) for r in self.inputs]
        self.letters = [letter(event(*POISON))]

    def report(self, tombstones: str = "dead_letter", begins: dict[int, int] | None = None) -> Report:
        found = Reconciliation(GROUP, TOPIC, begins or dict.fromkeys(EVENTS, 0), EVENTS, tombstones)
        for each in self.outcomes:
            found.outcome(each)
        for each in self.letters:
            found.dead_letter(each)
        for each in self.inputs:
            found.input(each)
        return found.report()


def event(partition: int, offset: int, value: bytes | None = b"v") -> StoredRecord:
    return StoredRecord(TOPIC, partition, offset, 0, b"k", value, ())


def outcome(partition: int, offset: int, status: str | None = None, group: str = GROUP) -> StoredRecord:
    status = status or ("dead_lettered" if (partition, offset) == POISON else "scored")
    given = (
        (headers.OUTCOME, status.encode()),
        (headers.OUTCOME_ID, outcome_id(group, TOPIC, partition, offset).encode()),
    )
    return StoredRecord("out", partition, 0, 0, b"k", b"{}", given)


def letter(original: StoredRecord, *more: tuple[str, bytes]) -> StoredRecord:
    id_ = outcome_id(GROUP, TOPIC, original.partition, original.offset)
    return original._replace(topic="dead", headers=((dead_letter.OUTCOME_ID, id_.encode()), *more))


def test_a_clean_history_passes() -> None:
    report = History().report()
    assert report.problems == {}
    assert report.inputs == 10
    assert report.outcomes == {"scored": 9, "fallback": 0, "expired": 0, "dead_lettered": 1}
    assert (report.repeats, report.aged) == (0, 0)


def lose_outcome(history: History) -> None:
    del history.outcomes[3]


def invent_event(history: History) -> None:
    history.outcomes.append(outcome(7, 0))


def answer_what_is_gone(history: History) -> None:
    del history.inputs[2]


def lose_letter(history: History) -> None:
    history.letters.clear()


def lose_dead_outcome(history: History) -> None:
    history.outcomes = [o for o in history.outcomes if dict(o.headers)[headers.OUTCOME] != b"dead_lettered"]


def score_and_bury(history: History) -> None:
    history.letters.append(letter(event(0, 0)))


def alter_value(history: History) -> None:
    history.letters = [letter(event(*POISON, value=b"other"))]


def alter_key(history: History) -> None:
    history.letters = [each._replace(key=b"other") for each in history.letters]


def say_something_else(history: History) -> None:
    history.outcomes[0] = outcome(0, 0, "maybe")


@pytest.mark.parametrize(
    ("mutate", "kinds"),
    [
        (lose_outcome, {"missing"}),
        (invent_event, {"phantom"}),
        (answer_what_is_gone, {"phantom"}),
        (lose_letter, {"dead_letter_missing"}),
        (lose_dead_outcome, {"missing", "dead_letter_without_outcome"}),
        (score_and_bury, {"dead_letter_without_outcome"}),
        (alter_value, {"dead_letter_altered"}),
        (alter_key, {"dead_letter_altered"}),
        (say_something_else, {"unknown_outcome"}),
    ],
)
def test_every_mutant_is_caught(mutate: Callable[[History], None], kinds: set[str]) -> None:
    history = History()
    mutate(history)
    report = history.report()
    assert set(report.problems) == kinds
    assert set(report.counts) == kinds


def test_a_second_outcome_is_a_repeat_not_a_second_answer() -> None:
    history = History()
    history.outcomes += [outcome(0, 0), outcome(0, 0, "fallback")]
    report = history.report()
    assert report.problems == {}
    assert report.repeats == 2
    assert sum(report.outcomes.values()) == 10


def test_another_groups_outcomes_and_partial_ones_are_none_of_ours() -> None:
    history = History()
    history.outcomes.append(outcome(0, 0, group="other"))
    part = outcome(0, 1)
    history.outcomes.append(part._replace(headers=(*part.headers, (headers.OUTCOME_PART, b"0"))))
    assert history.report().repeats == 0


def test_tombstones_need_an_outcome_only_where_they_are_dead_letters() -> None:
    history = History()
    history.inputs[0] = event(0, 0, None)
    del history.outcomes[0]
    assert history.report("skip").problems == {}
    assert set(history.report("dead_letter").problems) == {"missing"}


def test_outcomes_of_events_that_aged_out_are_counted_not_accused() -> None:
    history = History()
    history.inputs = [r for r in history.inputs if r.partition == 1 or r.offset >= 2]
    report = history.report(begins={0: 2, 1: 0})
    assert report.problems == {}
    assert report.aged == 2


def test_a_letter_without_its_body_is_believed() -> None:
    history = History()
    history.letters = [letter(event(*POISON, value=None), (dead_letter.BODY_OMITTED, b"999"))]
    assert history.report().problems == {}


def test_examples_are_few_and_the_count_is_whole() -> None:
    history = History()
    history.outcomes.clear()
    history.letters.clear()
    report = history.report()
    assert report.counts["missing"] == 10
    assert len(report.problems["missing"]) <= 10
