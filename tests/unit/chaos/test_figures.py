"""The figures of a history whose truth is known."""

from msgspec.structs import replace
from tests.chaos.checker import ANOMALIES, Bounds, check
from tests.chaos.figures import sum_up, uninterrupted
from tests.chaos.history import Committed, Fault, History
from tests.unit.chaos.histories import clean

BOUNDS = Bounds(in_flight_events=30, settle_ms=1_000, stuck_ms=500)


def _history(*faults: Fault) -> History:
    """Both partitions move at 1,000 and again at 4,500 and 5,000 ms; then all is committed at 9,000."""
    moves = [(1_000, 0, 1), (1_000, 1, 1), (4_500, 0, 2), (5_000, 1, 2), (9_000, 0, 40), (9_000, 1, 40)]
    commits = [Committed(*move) for move in moves]
    return replace(clean(seed=1), commits=commits, faults=faults, healed_ms=6_000, ended_ms=20_000)


def test_a_recovery_lasts_until_every_partition_has_moved() -> None:
    recovery = uninterrupted(_history(Fault("zombie", "w", 1_500, 3_000)))
    assert [(each.kind, each.seconds) for each in recovery] == [("zombie", 2.0)]


def test_a_recovery_that_another_fault_interrupts_is_none() -> None:
    first = Fault("zombie", "w", 1_500, 3_000)
    assert uninterrupted(_history(first, Fault("triton_kill", "t", 4_000, 4_100)))[0].kind == "triton_kill"
    around = Fault("broker_freeze", "b", 2_000, 5_500)
    assert [each.kind for each in uninterrupted(_history(first, around))] == ["broker_freeze"]


def test_figures_count_what_was_repeated_and_what_was_aborted() -> None:
    for exactly_once in (False, True):
        history = clean(seed=4, exactly_once=exactly_once)
        figures = sum_up(history, check(history, BOUNDS), options={}, seconds=1, exit_codes=[0])
        repeated = len(history.uncommitted_view) - len(history.sent)
        assert repeated > 0
        assert (figures.duplicates, figures.aborted) == ((0, repeated) if exactly_once else (repeated, 0))
        assert sum(figures.outcomes.values()) == figures.events == len(history.sent)
        assert set(figures.anomalies) == set(ANOMALIES)
        assert figures.is_clean


def test_what_never_recovered_says_so() -> None:
    history = replace(_history(), healed_ms=10_000, commits=[Committed(1_000, 0, 1)])
    figures = sum_up(history, check(history, BOUNDS), options={}, seconds=1, exit_codes=[])
    assert figures.final_recovery_seconds is None
    assert figures.anomalies["stuck"] == 2
