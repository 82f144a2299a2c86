"""The promises, from results made up here: met, not met, or not run."""

from typing import Any

import pytest
from loadtest import promises, report
from loadtest.cells import Runs
from loadtest.promises import Finding, Line
from tests.unit.loadtest.results import document, goodput, run, seconds

CALL = {"model": "paced", "batch": 1, "in_flight": 1, "rows_per_s": 400.0, "p50_ms": 2.0, "p99_ms": 3.0}


def evaluate(*runs: dict[str, Any], **more: Any) -> dict[str, Line]:
    return {line.promise: line for line in promises.evaluate(document(*runs, **more), Runs(runs))}


def finding(begin: str, *runs: dict[str, Any], **more: Any) -> Finding:
    (line,) = [line for promise, line in evaluate(*runs, **more).items() if promise.startswith(begin)]
    assert line.finding is not None, begin
    return line.finding


def share(load: float, ratio: float, contestant: str = "service", **changes: Any) -> dict[str, Any]:
    counts = {"in_time": round(1_000_000 * ratio), "lost": 1_000_000 - round(1_000_000 * ratio)}
    made = {"answered_in_time_ratio": ratio, "sent": 1_000_000, "counts": counts, **changes}
    return goodput(contestant, load, 1_000 * load * ratio, **made)


def test_of_no_runs_nothing_is_found() -> None:
    lines = evaluate()
    assert len(lines) == 18
    assert not [line for line in lines.values() if line.finding is not None]
    assert {row[1] for row in promises.table(document(), Runs([])).rows} == {"not run"}


@pytest.mark.parametrize(
    ("ours", "ceiling", "is_met"),
    [(0.9991, None, True), (0.998, None, False), (0.998, 0.9985, True), (0.990, 0.9985, False), (0.9991, 1.0, True)],
)
def test_in_time_is_measured_by_pass_through_where_that_is_lower(
    ours: float, ceiling: float | None, is_met: bool
) -> None:
    runs = [share(2.0, ours)] + ([share(2.0, ceiling, "passthrough")] if ceiling else [])
    found = finding("Answered in time at load 2,", *runs)
    assert found.is_met == is_met
    assert f"{ours:.2%}" in found.value


def test_the_models_share_is_less_where_it_is_full() -> None:
    assert finding("Scored in time at load 1,", share(1.0, 0.91)).is_met
    assert not finding("Scored in time at load 0.5", share(0.5, 0.98)).is_met


def test_goodput_in_overload_and_of_capacity_are_those_of_the_ratios() -> None:
    runs = [goodput("service", 1.0, 880), goodput("service", 2.0, 860)]
    assert finding("Goodput at load 2 over the best", *runs) == ("0.98", True)
    assert finding("Best goodput over", *runs) == ("0.88", False)


def test_three_processes_are_measured_against_one_of_the_same_round() -> None:
    alone = [
        goodput("service", 2.0, per_s, seed=seed, scenario="own_triton", model="slow")
        for seed, per_s in ((1, 1_000), (2, 500))
    ]
    joint = goodput("service", 2.0, 450, seed=2, scenario="shared_triton", model="slow")
    assert finding("Goodput of 3 processes", *alone, joint) == ("0.90", True)


def test_a_peer_may_be_ahead_within_the_range_of_the_rounds_only() -> None:
    ours = [goodput("service", 0.5, per_s, seed=seed) for seed, per_s in enumerate((490, 495))]
    near = [goodput("near", 0.5, per_s, seed=seed) for seed, per_s in enumerate((494, 499))]
    far = [goodput("far", 0.5, per_s, seed=seed) for seed, per_s in enumerate((497, 499))]
    assert finding("Goodput below no peer's", *ours, *near).is_met
    behind = finding("Goodput below no peer's", *ours, *near, *far)
    assert not behind.is_met
    assert "far, SLO 50 ms, load 0.5" in behind.value


def test_the_best_peer_decides_about_twice_the_goodput() -> None:
    runs = [goodput("service", 1.5, 900), goodput("weak", 1.5, 10), goodput("strong", 1.5, 500)]
    found = finding("Goodput over each peer's", *runs)
    assert found == ("1.80 at least (strong, SLO 50 ms, load 1.5)", False)
    assert finding("Goodput over each peer's", *runs[:2]).is_met


def test_latency_at_a_tenth_of_the_load_has_direct_calls_of_the_same_model() -> None:
    runs = [goodput("service", 0.1, 100, p50=6.0), goodput("passthrough", 0.1, 100, p50=3.0)]
    assert finding("p50 at a tenth", *runs, triton_alone=[CALL]) == ("1.20", True)
    other = evaluate(*runs, triton_alone=[{**CALL, "model": "fraud"}])
    assert all(line.finding is None for promise, line in other.items() if promise.startswith("p50"))


def test_the_tail_may_have_what_pass_through_has_of_its_own() -> None:
    ours = goodput("service", 0.8, 800, slo_ms=20, p99=18.0)
    ceiling = goodput("passthrough", 0.8, 800, slo_ms=20, p99=5.0)
    assert finding("p99 at load 0.8", ours, ceiling) == ("18.0 ms; pass-through 5.00 ms", True)
    assert not finding("p99 at load 0.8", {**ours, "append_ms": {**ours["append_ms"], "p99": 19.1}}, ceiling).is_met


def backlog(took_s: float | None, expired_per_s: float | None) -> dict[str, Any]:
    rows = [{**row, "second": row["second"] - 1} for row in seconds(sent=[60_000, 1_000], in_time=[0, 1_000])]
    ready = {"at_s": 1.0, "what": "contestant ready", "score_after_s": took_s}
    return run("service", scenario="backlog", per_second=rows, events=[ready], expired_per_s=expired_per_s)


@pytest.mark.parametrize(
    ("took_s", "expired_per_s", "is_met"),
    [(2.9, 60_000.0, True), (3.1, 60_000.0, False), (None, 60_000.0, False), (0.5, None, False)],
)
def test_after_a_backlog_there_is_time_for_burning_it_off(
    took_s: float | None, expired_per_s: float | None, is_met: bool
) -> None:
    found = finding("First score in time after a backlog", backlog(took_s, expired_per_s))
    assert found.is_met == is_met
    assert "60,000 old events" in found.value


@pytest.mark.parametrize(("took_s", "is_met"), [(1.9, True), (2.1, False), (None, False)])
def test_after_a_kill_the_model_is_back_soon(took_s: float | None, is_met: bool) -> None:
    events = [
        {"at_s": 5.0, "what": "triton killed, started again after 60000 ms", "score_after_s": 0.0},
        {"at_s": 66.0, "what": "triton ready again", "score_after_s": took_s},
    ]
    killed = run("service", scenario="triton_killed", model="paced", load=0.5, events=events)
    assert finding("First score in time after Triton", killed).is_met == is_met
    assert finding("Answered in time while Triton is away", killed).is_met


def test_a_lost_event_breaks_a_promise() -> None:
    lost = run("service", counts={"in_time": 999, "lost": 1}, seed=2)
    assert finding("Every event", run("service")).is_met
    assert finding("Every event", run("service"), lost) == ("1 lost of 2,000 in 2 runs", False)


def test_a_run_whose_books_do_not_balance_breaks_it_too() -> None:
    """It has no figures, so it is not among the runs."""
    broken = {"contestant": "service", "scenario": "steady", "why": "the audit failed"}
    found = finding("Every event", run("service"), failed=[broken, broken | {"contestant": "flink"}])
    assert found == ("0 lost of 1,000 in 1 runs; of 1 more nothing is known, the last: the audit failed", False)


def test_a_void_run_keeps_no_promise() -> None:
    assert evaluate(share(2.0, 1.0, void="late"))["Answered in time at load 2, SLO 50 ms"].finding is None


def test_the_terminal_is_told_which_promises_are_not_met() -> None:
    lines = report.promise_lines(
        document(goodput("service", 0.5, 100, sent=1_000, counts={"in_time": 200, "late": 800}))
    )
    assert any(line.startswith("NOT MET") and "Scored in time at load 0.5" in line for line in lines)
    assert any(line.startswith("- ") and "not run" in line for line in lines)
