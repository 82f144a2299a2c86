"""The checker finds nothing in a clean history, and every mutation of one under its own name and no other."""

import random
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.chaos.checker import ANOMALIES, Bounds, check
from tests.chaos.history import Committed, History, Written
from tests.unit.chaos.histories import GROUP, TOPIC, clean

BOUNDS = Bounds(in_flight_events=30, settle_ms=1_000, stuck_ms=500)
histories = st.builds(
    clean,
    seed=st.integers(0, 2**32),
    partitions=st.integers(1, 3),
    events=st.integers(20, 60),
    exactly_once=st.booleans(),
)


def _first(history: History, status: str) -> Written:
    return next(written for written in history.committed_view if written.status == status)


def _without(history: History, *outcome_ids: str) -> History:
    return replace(
        history,
        committed_view=[w for w in history.committed_view if w.outcome_id not in outcome_ids],
        uncommitted_view=[w for w in history.uncommitted_view if w.outcome_id not in outcome_ids],
        seen_live=history.seen_live
        - {(w.partition, w.offset) for w in history.committed_view if w.outcome_id in outcome_ids},
    )


def _appended(history: History, written: Written) -> History:
    """One more record at the end of its partition."""
    offset = 1 + max(w.offset for w in history.uncommitted_view if w.partition == written.partition)
    more = replace(written, offset=offset, appended_ms=history.ended_ms)
    return replace(
        history,
        committed_view=[*history.committed_view, more],
        uncommitted_view=[*history.uncommitted_view, more],
        seen_live=history.seen_live | {(more.partition, more.offset)},
    )


def _changed(history: History, old: Written, new: Written) -> History:
    return replace(
        history,
        committed_view=[new if w is old else w for w in history.committed_view],
        uncommitted_view=[new if w is old else w for w in history.uncommitted_view],
    )


def lost(history: History) -> History:
    return _without(history, _first(history, "scored").outcome_id)


def lost_silently_in_the_middle_of_a_batch(history: History) -> History:
    return _without(history, *(f"{GROUP}/{TOPIC}/0/{offset}" for offset in (5, 6, 7)))


def repeated_without_a_fault(history: History) -> History:
    """What was committed before the fault and written once more long after it."""
    return _appended(history, history.committed_view[0])


def repeated_in_exactly_once(history: History) -> History:
    aborted = [w for w in history.uncommitted_view if w not in history.committed_view]
    twice = aborted or [w for w in history.committed_view if w.offset != 0][-1:]
    kept = [*history.committed_view, *(replace(w, appended_ms=w.appended_ms) for w in twice)]
    kept.sort(key=lambda w: (w.partition, w.offset))
    extended = replace(history, exactly_once=True, faults=history.faults, committed_view=kept)
    return extended if aborted else _appended(replace(history, exactly_once=True), twice[0])


def repeated_across_a_fault_of_the_model_server(history: History) -> History:
    """The model server's faults explain no second outcome."""
    faults = [replace(fault, kind="triton_kill") for fault in history.faults]
    return _appended(replace(history, faults=faults), history.committed_view[0])


def outcome_of_nothing(history: History) -> History:
    return _appended(history, replace(history.committed_view[0], outcome_id=f"{GROUP}/{TOPIC}/0/99999"))


def outcome_of_another_group(history: History) -> History:
    return _appended(history, replace(history.committed_view[0], outcome_id=f"other/{TOPIC}/0/0"))


def letter_of_nothing(history: History) -> History:
    return replace(history, letters=history.letters | {f"{GROUP}/{TOPIC}/0/99999"})


def overtaken_by_a_later_event(history: History) -> History:
    """Two events of a lane leave the wrong way round: their places in the log are swapped, their times are not."""
    lane = [
        w
        for w in history.committed_view
        if (place := history.place(w.outcome_id)) is not None
        and place[0] == 0
        and next(e for e in history.sent if e.place == place).slo_class == "default"
    ]
    ids = list(dict.fromkeys(w.outcome_id for w in lane))
    a, b = (next(w for w in lane if w.outcome_id == id_) for id_ in ids[:2])
    swapped = {id(a): replace(a, offset=b.offset), id(b): replace(b, offset=a.offset)}

    def view(written: list[Written]) -> list[Written]:
        return sorted((swapped.get(id(w), w) for w in written), key=lambda w: (w.partition, w.offset))

    return replace(
        history,
        committed_view=view(list(history.committed_view)),
        uncommitted_view=view(list(history.uncommitted_view)),
    )


def another_score(history: History) -> History:
    written = _first(history, "scored")
    return _changed(history, written, replace(written, probability=(written.probability or 0) + 1e-3))


def no_number(history: History) -> History:
    written = _first(history, "scored")
    return _changed(history, written, replace(written, probability=float("nan")))


def the_students_score_as_the_models(history: History) -> History:
    written = _first(history, "scored")
    event = next(e for e in history.sent if e.place == history.place(written.outcome_id))
    assert event.scores is not None
    return _changed(history, written, replace(written, probability=event.scores["student"]))


def another_events_answer(history: History) -> History:
    written = _first(history, "scored")
    return _changed(history, written, replace(written, event_id="somebody-else"))


def poison_scored(history: History) -> History:
    written = _first(history, "dead_lettered")
    return _changed(history, written, replace(written, status="scored", answered_by="model", probability=0.5))


def committed_before_acknowledged(history: History) -> History:
    """The last commit of the first partition is taken while the outcome before it is not in its topic yet."""
    early = [commit for commit in history.commits if commit.partition == 0][-1]
    return replace(
        history,
        commits=[replace(c, at_ms=c.at_ms - 8) if c is early else c for c in history.commits],
    )


def committed_backwards(history: History) -> History:
    commits = list(history.commits)
    last = max(number for number, commit in enumerate(commits) if commit.partition == 0)
    commits.insert(last, Committed(commits[last].at_ms - 1, 0, 1))
    if not any(commit.partition == 0 for commit in commits[:last]):
        commits.insert(last, Committed(commits[last].at_ms - 1, 0, 2))
    return replace(history, commits=commits)


def aborted_seen(history: History) -> History:
    return replace(history, seen_live=history.seen_live | {(0, 10_000)})


def slow_to_resume(history: History) -> History:
    last = max(number for number, commit in enumerate(history.commits) if commit.partition == 0)
    late = history.healed_ms + BOUNDS.stuck_ms + 1
    commits = [
        replace(c, at_ms=max(c.at_ms, late)) if number == last else c for number, c in enumerate(history.commits)
    ]
    early = [c for c in commits if not (c.partition == 0 and history.healed_ms <= c.at_ms < late)]
    return replace(history, commits=early, ended_ms=late + 1)


def never_resumed(history: History) -> History:
    """The last events of the first partition were never answered nor committed."""
    end = max(e.offset for e in history.sent if e.partition == 0) + 1
    commits = [c for c in history.commits if not (c.partition == 0 and c.offset == end)]
    return _without(replace(history, commits=commits), f"{GROUP}/{TOPIC}/0/{end - 1}")


def dead_letter_forgotten(history: History) -> History:
    return replace(history, letters=history.letters - {_first(history, "dead_lettered").outcome_id})


class Mutant(NamedTuple):
    anomaly: str
    mutate: Callable[[History], History]


MUTANTS = [
    Mutant("lost", lost),
    Mutant("lost", lost_silently_in_the_middle_of_a_batch),
    Mutant("duplicate", repeated_without_a_fault),
    Mutant("duplicate", repeated_in_exactly_once),
    Mutant("duplicate", repeated_across_a_fault_of_the_model_server),
    Mutant("phantom", outcome_of_nothing),
    Mutant("phantom", outcome_of_another_group),
    Mutant("phantom", letter_of_nothing),
    Mutant("wrong_order", overtaken_by_a_later_event),
    Mutant("wrong_score", another_score),
    Mutant("wrong_score", no_number),
    Mutant("wrong_score", the_students_score_as_the_models),
    Mutant("wrong_score", another_events_answer),
    Mutant("wrong_score", poison_scored),
    Mutant("commit_ahead", committed_before_acknowledged),
    Mutant("commit_regress", committed_backwards),
    Mutant("aborted_visible", aborted_seen),
    Mutant("stuck", slow_to_resume),
    Mutant("stuck", never_resumed),
    Mutant("dead_letter_missing", dead_letter_forgotten),
]


@given(histories)
@settings(max_examples=100, deadline=None)
def test_a_clean_history_has_no_anomaly(history: History) -> None:
    findings = check(history, BOUNDS)
    assert findings.examples == {}
    assert findings.is_clean


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mutate.__name__)
@given(histories)
@settings(max_examples=30, deadline=None)
def test_a_mutation_is_found_under_its_own_name_only(mutant: Mutant, history: History) -> None:
    assert set(check(mutant.mutate(history), BOUNDS).examples) == {mutant.anomaly}


def test_every_anomaly_has_a_mutant() -> None:
    assert {mutant.anomaly for mutant in MUTANTS} == set(ANOMALIES)


def test_the_repeated_suffix_of_a_crash_is_no_anomaly_but_in_exactly_once() -> None:
    history = clean(seed=5)
    assert len(history.committed_view) > len(history.sent), "the crash repeats something"
    assert check(history, BOUNDS).is_clean
    assert set(check(replace(history, exactly_once=True), BOUNDS).examples) == {"duplicate"}


def test_a_second_outcome_is_explained_by_a_kill_only_within_what_was_in_flight() -> None:
    history = clean(seed=6)
    tight = BOUNDS._replace(in_flight_events=0, settle_ms=0)
    assert set(check(history, tight).examples) == {"duplicate"}


def test_an_event_with_an_earlier_deadline_may_overtake() -> None:
    rng = random.Random(1)
    history = clean(seed=rng.randrange(100), partitions=1)
    swapped = overtaken_by_a_later_event(history)
    ids = {w.outcome_id for w in history.committed_view[:20]}
    urgent = [
        replace(e, deadline_unix_ms=e.deadline_unix_ms - 10_000 * e.offset)
        if f"{GROUP}/{TOPIC}/0/{e.offset}" in ids
        else e
        for e in history.sent
    ]
    assert set(check(swapped, BOUNDS).examples) == {"wrong_order"}
    assert check(replace(swapped, sent=urgent), BOUNDS).is_clean


def test_examples_are_few_and_counts_are_whole() -> None:
    history = clean(seed=7, events=60)
    findings = check(replace(history, letters=frozenset(), commits=history.commits), BOUNDS)
    assert findings.counts["dead_letter_missing"] > len(findings.examples["dead_letter_missing"])
