"""Ratios and losses, from results made up here: what was not run is said, and what is void is not used."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from loadtest import losses, ratios, verdict
from loadtest.cells import Runs, by_broker
from loadtest.ratios import Ratio
from tests.unit.loadtest.results import document, goodput, run, seconds

CALL = {"batch": 1, "in_flight": 1, "rows_per_s": 400.0, "p50_ms": 2.0, "p99_ms": 3.0}
BULK = {"batch": 64, "in_flight": 2, "rows_per_s": 3_000.0, "p50_ms": 20.0, "p99_ms": 30.0}


def evaluate(*runs: dict[str, Any], **more: Any) -> dict[str, Ratio]:
    found = ratios.evaluate(document(*runs, **more), Runs(runs))
    return {ratio.name: ratio for ratio in found}


def values(ratio: Ratio) -> dict[str, float]:
    return {part.of: part.value.median for part in ratio.parts}


def throughput(contestant: str, per_s: float, seed: int = 1, **changes: Any) -> dict[str, Any]:
    return run(contestant, scenario="throughput", seed=seed, slo_ms=3_600_000, answered_per_s=per_s, **changes)


def test_of_no_runs_no_ratio_has_a_value() -> None:
    found = evaluate()
    assert list(found) == [f"R{number}" for number in range(1, 11)]
    assert not any(ratio.parts for ratio in found.values())
    assert all(ratio.definition and ratio.target for ratio in found.values())


def test_throughput_is_the_median_over_rounds_with_its_range() -> None:
    ours = [throughput("service", per_s, seed) for seed, per_s in enumerate([300.0, 500.0, 410.0])]
    ceiling = [throughput("passthrough", 1_000.0, seed) for seed in range(3)]
    (part,) = evaluate(*ours, *ceiling)["R1"].parts
    assert part.value == (0.41, 0.3, 0.5, 3)
    assert part.is_met


def test_what_traces_cost_is_by_round() -> None:
    backlog = {"slo_ms": 3_600_000}
    with_traces = [run("service", scenario="traced", seed=n, answered_per_s=900.0 + n, **backlog) for n in (1, 2, 4)]
    without = [run("service", scenario="untraced", seed=n, answered_per_s=1_000.0, **backlog) for n in (1, 2, 3)]
    (part,) = evaluate(*with_traces, *without)["R9"].parts
    assert part.value == (pytest.approx(0.9015), 0.901, 0.902, 2)  # type: ignore[comparison-overlap]
    assert not part.is_met
    assert Runs([*with_traces, *without]).cells == [], "a backlog has no latency"


def test_a_void_run_is_not_used() -> None:
    runs = [throughput("service", 300), throughput("passthrough", 1_000, void="the generator was late itself")]
    assert not evaluate(*runs)["R1"].parts


def test_a_void_run_does_not_shift_the_rounds_after_it() -> None:
    ours = [throughput("service", 100, void="late"), throughput("service", 200)]
    ceiling = [throughput("passthrough", 1_000), throughput("passthrough", 400)]
    assert values(evaluate(*ours, *ceiling)["R1"]) == {"throughput": 0.5}


def test_a_throughput_of_the_fallback_is_none() -> None:
    counts = {"in_time": 900, "fallback": 100}
    runs = [throughput("service", 5_000, sent=1_000, counts=counts), throughput("passthrough", 6_000)]
    assert not evaluate(*runs)["R1"].parts


def test_a_throughput_is_one_also_if_there_was_no_time_for_all() -> None:
    slow = throughput("naive", 50, sent=1_000, counts={"in_time": 300, "lost": 700})
    assert list(Runs([slow]).throughputs("naive").values()) == [50]


def test_shared_cores_divide_their_time_between_kafka_and_the_model() -> None:
    runs = [throughput("service", 500), throughput("passthrough", 1_500)]
    assert not evaluate(*runs)["R2"].parts
    assert values(evaluate(*runs, triton_alone=[CALL, BULK])["R2"]) == {"throughput": pytest.approx(0.5)}


def test_goodput_in_overload_and_of_capacity() -> None:
    found = evaluate(goodput("service", 0.5, 500), goodput("service", 0.95, 920), goodput("service", 2.0, 874))
    assert values(found["R3"]) == {"SLO 50 ms": pytest.approx(0.95)}
    assert values(found["R4"]) == {"SLO 50 ms": pytest.approx(0.92)}


def test_without_a_run_near_capacity_the_best_goodput_is_not_known() -> None:
    found = evaluate(goodput("service", 0.5, 500), goodput("service", 2.0, 870))
    assert not found["R3"].parts
    assert not found["R4"].parts


def test_latency_at_a_low_load_is_measured_against_both_ceilings() -> None:
    runs = [run("service", p50=6.0), run("passthrough", p50=3.0)]
    assert not evaluate(*runs)["R5"].parts
    (part,) = evaluate(*runs, triton_alone=[BULK, CALL])["R5"].parts
    assert part.value.median == pytest.approx(1.2)
    assert part.is_met


def test_the_tail_is_measured_at_the_tightest_slo() -> None:
    found = evaluate(goodput("service", 0.8, 800, slo_ms=20, p99=16.0), goodput("service", 0.8, 800, p99=30.0))
    assert values(found["R6"]) == {"SLO 20 ms": pytest.approx(0.8)}
    assert not found["R6"].parts[0].is_met


def test_cpu_is_compared_with_the_peer_that_needs_least() -> None:
    found = evaluate(run("service", cpu=60.0), run("thrifty", cpu=100.0), run("lavish", cpu=900.0))
    (part,) = found["R7"].parts
    assert part.of.startswith("thrifty, least of 2 peers")
    assert part.value.median == pytest.approx(0.6)


def test_the_cpu_of_a_peer_that_does_not_keep_up_is_no_merit() -> None:
    assert not evaluate(run("service", cpu=60.0), run("lazy", cpu=1.0, p99=8_000.0))["R7"].parts
    assert not evaluate(run("service", cpu=60.0), run("deaf", cpu=1.0, counts={"in_time": 100, "lost": 900}))[
        "R7"
    ].parts


def test_the_cpu_of_the_fallback_is_not_that_of_the_model() -> None:
    answered = {"in_time": 100, "fallback": 900}
    assert not evaluate(run("service", cpu=6.0, counts=answered), run("peer", cpu=90.0))["R7"].parts


@pytest.mark.parametrize(
    ("in_time", "expected"),
    [
        ([100, 100, 50, 100, 100], 0.0),
        ([100, 100, 50, 20, 100], 1.0),
        ([100, 10, 50, 20, 20], math.inf),
    ],
)
def test_recovery_is_counted_from_the_end_of_the_spike(in_time: list[int], expected: float) -> None:
    rows = seconds(sent=[100, 100, 1_000, 100, 100], in_time=in_time)
    assert ratios.recovery_s(run("service", per_second=rows)) == expected


def test_without_a_spike_there_is_no_recovery() -> None:
    assert ratios.recovery_s(run("service", per_second=seconds(sent=[100] * 4, in_time=[100] * 4))) is None
    assert ratios.recovery_s(run("service", per_second=[])) is None


def test_the_area_is_that_of_the_loads_both_have() -> None:
    ours = [goodput("service", load, per_s) for load, per_s in ((0.5, 500), (1.0, 900), (2.0, 900))]
    theirs = [goodput("peer", load, per_s) for load, per_s in ((0.5, 500), (1.0, 400))]
    (part,) = evaluate(*ours, *theirs)["R10"].parts
    assert part.value.median == pytest.approx(700 / 450)
    assert part.is_met


def test_a_larger_area_is_not_enough_where_the_peer_is_ahead_at_a_load() -> None:
    ours = [goodput("service", 0.5, 490), goodput("service", 2.0, 900)]
    theirs = [goodput("peer", 0.5, 500), goodput("peer", 2.0, 100)]
    (part,) = evaluate(*ours, *theirs)["R10"].parts
    assert part.value.median > 2
    assert not part.is_met


def test_a_peer_that_scores_nothing_has_no_area() -> None:
    ours = [goodput("service", 0.5, 500), goodput("service", 2.0, 900)]
    theirs = [goodput("peer", 0.5, 0), goodput("peer", 2.0, 0)]
    assert values(evaluate(*ours, *theirs)["R10"]) == {"peer, SLO 50 ms": math.inf}


def test_runs_of_two_calibrations_are_not_compared() -> None:
    ours = [goodput("service", load, 100, rate=1_000 * load) for load in (0.5, 1.0)]
    theirs = [goodput("peer", load, 200, rate=700 * load) for load in (0.5, 1.0)]
    assert not evaluate(*ours, *theirs)["R10"].parts
    assert not losses.find(Runs([*ours, *theirs]))


def test_runs_on_two_brokers_are_not_compared() -> None:
    runs = [run("service", kafka="apache"), run("peer", kafka="embedded", p50=1.0)]
    assert [(kafka, each.contestants) for kafka, each in by_broker(document(*runs))] == [
        ("apache", ["service"]),
        ("embedded", ["peer"]),
    ]


def test_every_figure_in_which_a_peer_is_better_is_a_loss() -> None:
    ours = run("service", goodput_per_s=900.0, p50=9.0, p99=20.0, cpu=50.0)
    theirs = run("peer", goodput_per_s=950.0, p50=8.0, p99=25.0, cpu=49.0)
    found = {loss.metric: (loss.ours.median, loss.theirs.median) for loss in losses.find(Runs([ours, theirs]))}
    assert found == {"goodput, events/s": (900, 950), "p50, ms": (9, 8), "CPU, µs/event": (50, 49)}


def test_throughput_and_the_highest_sustained_rate_are_lost_too() -> None:
    runs = [throughput("service", 500), throughput("peer", 700), *search("service", 1_000), *search("peer", 2_000)]
    assert [(loss.metric, loss.theirs.median) for loss in losses.find(Runs(runs))] == [
        ("throughput, events/s", 700),
        ("highest sustained rate, events/s", 2_000),
    ]


def test_a_void_or_unanswering_run_of_a_peer_is_no_loss() -> None:
    few = {"in_time": 100, "lost": 900}
    runs = [
        run("service"),
        run("void", p50=0.1, void="late"),
        run("mute", p50=0.1, goodput_per_s=10.0, sent=1_000, counts=few),
    ]
    assert not losses.find(Runs(runs))


def test_neither_the_ceiling_nor_the_service_itself_is_a_peer() -> None:
    runs = [run("service"), run("passthrough", p50=0.1), run("service", p50=0.1, options={"batching.max_rows": 8})]
    assert not losses.find(Runs(runs))


def test_losses_say_whether_they_may_be_chance() -> None:
    ours = [run("service", seed=seed, p50=p50) for seed, p50 in enumerate([9.0, 10.0])]
    near = [run("near", seed=seed, p50=p50) for seed, p50 in enumerate([9.5, 8.0])]
    far = [run("far", seed=seed, p50=p50) for seed, p50 in enumerate([2.0, 3.0])]
    found = {loss.peer: loss.ranges() for loss in losses.find(Runs([*ours, *near, *far]))}
    assert found == {"near": "overlap", "far": "apart"}


def test_a_contestant_with_several_options_is_several() -> None:
    several = [run("peer", options={"rows": 8}), run("peer", options={"rows": 64})]
    assert Runs(several).contestants == ["peer (rows=64)", "peer (rows=8)"]
    assert Runs(several[:1]).contestants == ["peer"]


def test_rates_of_one_setting_are_one_cell_and_others_are_not() -> None:
    runs = [run("service", rate=rate, seed=seed) for seed, rate in enumerate([996.0, 1_003.0, 2_010.0, 1_000.0])]
    assert [cell.rate for cell in Runs(runs).cells] == [1_000, 2_010]


def search(contestant: str, limit: float, void_above: str | None = None) -> Iterator[dict[str, Any]]:
    """One that sustains so much and not the next rate."""
    yield run(contestant, scenario="sustainable", rate=limit, sent=1_000)
    over = {"in_time": 500, "late": 500}
    yield run(contestant, scenario="sustainable", rate=1.1 * limit, sent=1_000, counts=over, void=void_above)


def test_a_limit_is_one_only_if_the_next_rate_was_tried() -> None:
    found, unknown = list(search("service", 1_000)), list(search("service", 1_000, void_above="late"))
    assert verdict.is_sustained(found[0])
    assert list(Runs(found).sustained("service").values()) == [1_000]
    assert not Runs(unknown).sustained("service")
    assert not Runs(found[:1]).sustained("service")
    assert not Runs(found[1:]).sustained("service")
