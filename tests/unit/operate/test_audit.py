"""The audit is itself tested: a clean history passes, every mutant of it is caught by name."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.errors import SettingsError
from inferstream.events import dead_letter, headers
from inferstream.events.outcome import outcome_id
from inferstream.operate.audit import Range, reasons
from inferstream.operate.reconciliation import Bounds, Reconciliation, Report, _Spans
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

    def report(
        self,
        tombstones: str = "dead_letter",
        begins: dict[int, int] | None = None,
        floors: dict[int, int] | None = None,
        committed: dict[int, int] | None = None,
        ends: dict[int, int] | None = None,
        held: dict[int, int] | None = None,
    ) -> Report:
        zero = dict.fromkeys(EVENTS, 0)
        bounds = Bounds(begins or zero, ends or EVENTS, floors or zero, committed or {})
        found = Reconciliation(GROUP, TOPIC, bounds, tombstones)
        for each in self.outcomes:
            found.outcome(each)
        for each in self.letters:
            found.dead_letter(each)
        for each in self.inputs:
            found.input(each)
        found.held(held or begins or zero)
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


def test_what_retention_takes_while_we_look_was_an_event() -> None:
    """Inputs are read last: some of those whose outcomes were seen may be gone by then."""
    history = History()
    history.inputs = [each for each in history.inputs if (each.partition, each.offset) >= (0, 2)]
    assert set(history.report().problems) == {"phantom"}
    report = history.report(held={0: 2, 1: 0})
    assert report.problems == {}
    assert (report.inputs, report.aged) == (8, 2)


def test_what_was_read_before_retention_took_it_is_compared() -> None:
    history = History()
    lose_outcome(history)
    assert set(history.report(held=dict(EVENTS)).problems) == {"missing"}


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


def test_a_spare_dead_letter_is_a_repetition() -> None:
    """A crash after the letter: whoever came next answered the event otherwise. Nothing is lost."""
    history = History()
    score_and_bury(history)
    report = history.report()
    assert report.problems == {}
    assert report.repeats == 1


@pytest.mark.parametrize(
    ("mutate", "kinds"),
    [
        (lose_outcome, {"missing"}),
        (invent_event, {"phantom"}),
        (answer_what_is_gone, {"phantom"}),
        (lose_letter, {"dead_letter_missing"}),
        (lose_dead_outcome, {"missing", "dead_letter_without_outcome"}),
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
    report = history.report()
    assert (report.problems, report.repeats, report.partials) == ({}, 0, 1)


def test_partial_outcomes_do_not_stand_in_for_the_outcome() -> None:
    history = History()
    only = history.outcomes[0]
    kept = [(name, value) for name, value in only.headers if name != headers.OUTCOME]
    history.outcomes[0] = only._replace(headers=(*kept, (headers.OUTCOME_PART, b"0")))
    report = history.report()
    assert list(report.problems) == ["missing"]
    assert report.partials == 1


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


def of_key(text: bytes, size: str = dead_letter.KEY_OMITTED) -> tuple[StoredRecord, StoredRecord]:
    """The poison with this key, and its letter without one."""
    original = event(*POISON)._replace(key=text)
    return original, letter(original, (size, str(len(text)).encode()))._replace(key=None)


def bury(history: History, original: StoredRecord, *letters: StoredRecord) -> History:
    history.inputs = [original if (r.partition, r.offset) == POISON else r for r in history.inputs]
    history.letters = list(letters)
    return history


def test_a_letter_without_its_key_is_believed_beside_one_that_has_it() -> None:
    """As `refuse_card_numbers` writes it; the other is from before that was set."""
    original, bare = of_key(b"4111")
    assert bury(History(), original, bare, letter(original)).report().problems == {}
    empty = letter(original, (dead_letter.KEY_OMITTED, b"4"), (dead_letter.BODY_OMITTED, b"1"))
    assert bury(History(), original, empty._replace(key=None, value=None)).report().problems == {}
    assert bury(History(), original, letter(original, (dead_letter.HEADERS_OMITTED, b"3"))).report().problems == {}


def test_an_omission_excuses_nothing_else() -> None:
    original, bare = of_key(b"4111")
    no_body = letter(original, (dead_letter.BODY_OMITTED, b"1"))._replace(value=None)
    for altered in (
        bare._replace(value=b"other"),
        bare._replace(key=b"other"),
        of_key(b"4111", dead_letter.HEADERS_OMITTED)[1],
        no_body._replace(key=b"other"),
        no_body._replace(value=b"other"),
        letter(original)._replace(key=None),
    ):
        history = bury(History(), original, bare, altered)
        assert history.report().counts == {"dead_letter_altered": 1}, altered


def test_examples_are_few_and_the_count_is_whole() -> None:
    history = History()
    history.outcomes.clear()
    history.letters.clear()
    report = history.report()
    assert report.counts["missing"] == 10
    assert len(report.problems["missing"]) <= 10


def keep_from(history: History, begin: int) -> dict[int, int]:
    """Retention took what lies before this offset of partition 0."""
    history.inputs = [r for r in history.inputs if r.partition == 1 or r.offset >= begin]
    return {0: begin, 1: 0}


def test_events_that_were_gone_before_they_were_answered_fail_the_audit() -> None:
    history = History()
    begins = keep_from(history, 4)
    history.outcomes = [o for o in history.outcomes if b"/t/0/2" not in (dict(o.headers)[headers.OUTCOME_ID] or b"")]
    report = history.report(begins=begins)
    assert report.counts == {"lost": 1}
    assert report.problems["lost"] == ["g/t/0/2 to 2 were gone before they were answered"]


def test_what_the_group_had_yet_to_read_is_lost_when_it_is_gone() -> None:
    history = History()
    begins = keep_from(history, 4)
    history.outcomes = [o for o in history.outcomes if (dict(o.headers)[headers.OUTCOME_ID] or b"")[:6] != b"g/t/0/"]
    history.outcomes += [outcome(0, 4), outcome(0, 5)]
    assert history.report(begins=begins).problems == {}  # nothing says that there was anything
    report = history.report(begins=begins, committed={0: 1, 1: 4})
    assert report.counts == {"lost": 3}


def test_gaps_between_old_outcomes_prove_nothing_where_events_have_gaps_too() -> None:
    """As transactions and compaction leave them."""
    history = History()
    begins = keep_from(history, 3)
    lost = {b"g/t/0/1", b"g/t/0/4"}
    history.outcomes = [o for o in history.outcomes if dict(o.headers)[headers.OUTCOME_ID] not in lost]
    history.inputs = [r for r in history.inputs if (r.partition, r.offset) != (0, 4)]
    assert history.report(begins=begins).problems == {}


def test_a_range_leaves_everything_else_alone() -> None:
    history = History()
    history.outcomes = history.outcomes[1:6]  # of partition 0, without that of offset 0, which is outside
    history.inputs = [r for r in history.inputs if r.partition == 0 and 2 <= r.offset < 5]
    report = history.report(begins={0: 2}, floors={0: 2}, ends={0: 5})
    assert report.problems == {}
    assert (report.inputs, sum(report.outcomes.values()), report.aged) == (3, 3, 0)
    del history.outcomes[2]
    assert history.report(begins={0: 2}, floors={0: 2}, ends={0: 5}).counts == {"missing": 1}


SOURCE = (
    (dead_letter.TOPIC, b"t"),
    (dead_letter.PARTITION, b"1"),
    (dead_letter.OFFSET, b"2"),
    (dead_letter.TIMESTAMP, b"0"),
    (dead_letter.REPLAYS, b"1"),
)


def replay(history: History, *named: tuple[str, bytes]) -> None:
    """The last event of partition 0 is the replay of the poison."""
    history.inputs = [r._replace(headers=SOURCE) if (r.partition, r.offset) == (0, 5) else r for r in history.inputs]
    last = outcome(0, 5)
    history.outcomes[5] = last._replace(headers=(*last.headers, *named))


def test_a_replayed_event_is_counted_and_its_outcome_names_its_source() -> None:
    history = History()
    replay(history, *SOURCE)
    report = history.report()
    assert report.problems == {}
    assert report.replayed == 1


@pytest.mark.parametrize("named", [(), SOURCE[:3], ((dead_letter.OFFSET, b"3"), *SOURCE[3:])])
def test_an_outcome_that_does_not_name_the_source_is_caught(named: tuple[tuple[str, bytes], ...]) -> None:
    history = History()
    replay(history, *named)
    assert history.report().counts == {"source_not_named": 1}


def test_each_letter_is_compared_with_its_own_event_in_whatever_order_they_come() -> None:
    """Poison twice, one of the letters written twice; then each altered in turn."""
    history = History()
    history.outcomes[0], history.outcomes[4] = outcome(0, 0, "dead_lettered"), outcome(0, 4, "dead_lettered")
    history.inputs = [r._replace(value=f"{r.partition}/{r.offset}".encode()) for r in history.inputs]
    originals = {(r.partition, r.offset): r for r in history.inputs}
    history.letters = [letter(originals[place]) for place in ((0, 4), (1, 2), (0, 0), (0, 4))]
    assert history.report().problems == {}
    for number, each in enumerate(history.letters):
        history.letters[number] = each._replace(value=b"other")
        assert history.report().counts == {"dead_letter_altered": 1}
        history.letters[number] = each


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_spans_know_the_gaps(seen: list[int], begin: int, end: int) -> None:
    spans = _Spans()
    for offset in seen:
        spans.add(offset)
    gaps = [offset for first, last in spans.gaps(begin, end) for offset in range(first, last)]
    assert gaps == [offset for offset in range(begin, end) if offset not in seen]
    assert spans.first == min(seen, default=None)


def test_repeats_fail_a_strict_audit_with_examples() -> None:
    history = History()
    history.outcomes += [outcome(0, 0), outcome(0, 0), *(outcome(0, n) for n in range(6))]
    score_and_bury(history)
    report = history.report()
    assert reasons(report, strict=False) == {}
    ((said, examples),) = reasons(report, strict=True).items()
    assert said == "9 repeated outcomes, not allowed under --strict/exactly_once"
    assert list(examples) == [
        *(f"g/t/0/{n}" for n in range(6)),
        "g/t/0/0 has a dead letter and another outcome",
        "if they are older than the switch to exactly_once, use --since",
    ]


def test_examples_of_repeats_are_few() -> None:
    history = History()
    history.outcomes += history.outcomes
    history.letters += [letter(event(p, o)) for p, count in EVENTS.items() for o in range(count)]
    assert len(history.report().repeated) == 10


def test_a_range_without_events_proves_nothing() -> None:
    history = History()
    history.inputs, history.outcomes, history.letters = [], [], []
    report = history.report(begins={0: 6, 1: 4}, floors={0: 6, 1: 4})
    assert report.problems == {}
    assert list(reasons(report, strict=False)) == ["no events in this range: nothing was proved"]
    assert reasons(History().report(), strict=True) == {}


def test_an_inverted_range_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"--until '40s' .* must be later than --since '30s'"):
        Range.given("30s", "40s", None, None, None)
    assert Range.given("40s", "30s", None, None, None).since_ms is not None
