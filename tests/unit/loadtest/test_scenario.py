"""Scenario files: those that come with the tool are right, and a mistake is told in one line."""

from pathlib import Path

import numpy as np
import pytest
from loadtest import scenario
from loadtest.errors import ScenarioError

SECOND = 1_000_000_000
BASE = {"name": "mine", "arrivals": {"kind": "poisson", "rate": 100}, "seconds": 2, "warm_up_s": 1}


def mine(**changes: object) -> scenario.Scenario:
    return scenario.parse({**BASE, **changes}, "mine.yaml")


@pytest.mark.parametrize("name", scenario.names())
def test_the_scenarios_that_come_with_the_tool_can_be_played(name: str, tmp_path: Path) -> None:
    loaded = scenario.load(name)
    assert loaded.name == name
    assert loaded.about
    for variant in loaded.variants():
        if variant.arrivals.kind != "replay":
            assert len(variant.schedule(1, capacity=500)) > 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"slo": 5}, "slo: unknown key; did you mean 'slo_ms'?"),
        ({"zzz": 5}, "zzz: unknown key; known here: name, about"),
        ({"arrivals": {"kind": "poisson", "rte": 5}}, "did you mean 'rate'?"),
        ({"arrivals": {"kind": "poisson"}}, "either rate"),
        ({"arrivals": {"kind": "poisson", "rate": 1, "load": 1}}, "either rate"),
        ({"arrivals": {"kind": "bursts", "rate": 1, "burst": 2, "period_s": 1, "burst_s": 2}}, "shorter than period_s"),
        ({"faults": [{"at_s": 1, "kind": "pause_triton", "for": 5}]}, "faults.0.for: unknown key; did you mean"),
        ({"faults": [{"at_s": 1, "kind": "slow_triton"}]}, "needs model: paced"),
        ({"faults": [{"at_s": 9, "kind": "pause_triton"}]}, "after the end of the run"),
        ({"sweep": {"lod": [1]}}, "did you mean 'load'?"),
        ({"search": {"from_rate": 5, "to_rate": 1}}, "from_rate must be below"),
        ({"backlog_s": 5}, "warm_up_s: 0"),
        ({"classes": {"gold": {"slo_ms": 5, "share": 0.1, "slo": 1}}}, "gold.slo: unknown key; did you mean 'slo_ms'?"),
        ({"classes": {n: {"slo_ms": 5, "share": 0.6} for n in "ab"}}, "shares of classes add up to more than 1"),
        ({"classes": {"Gold-1": {"slo_ms": 5, "share": 0.1}}}, "classes"),
        ({"model": "other"}, "model"),
    ],
)
def test_a_mistake_is_told_in_one_line(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        mine(**changes)
    lines = str(raised.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("mine.yaml: ")
    assert told in lines[0]


def test_an_unknown_scenario_is_told_with_the_nearest_name() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'steady'"):
        scenario.load("stedy")


@pytest.mark.parametrize("content", ["- a list", "a: [", "7"])
def test_a_file_that_is_no_mapping_is_told(content: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(content)
    with pytest.raises(ScenarioError, match=r"s\.yaml is not"):
        scenario.load(str(file))


def test_a_load_is_a_fraction_of_the_capacity() -> None:
    loaded = mine(arrivals={"kind": "constant", "load": 0.5})
    assert loaded.names_load
    schedule = loaded.schedule(1, capacity=200)
    assert (schedule >= SECOND).sum() == 200
    with pytest.raises(ScenarioError, match="calibrate"):
        loaded.schedule(1, capacity=None)


def test_a_burst_has_the_unit_of_its_rate() -> None:
    arrivals = {"kind": "bursts", "load": 0.5, "burst": 1.0, "period_s": 1, "burst_s": 0.5}
    schedule = mine(arrivals=arrivals, seconds=20, warm_up_s=0).schedule(1, capacity=1_000) / SECOND
    assert (schedule % 1 >= 0.5).sum() / 10 == pytest.approx(1_000, rel=0.05)


def test_warm_up_is_at_the_rate_and_what_happens_counts_from_its_end() -> None:
    arrivals = {"kind": "spike", "rate": 100, "factor": 20, "at_s": 5, "length_s": 1}
    schedule = mine(arrivals=arrivals, seconds=10, warm_up_s=3).schedule(1, None) / SECOND
    assert ((schedule >= 8) & (schedule < 9)).sum() == pytest.approx(2_000, rel=0.1)
    assert (schedule < 3).sum() == pytest.approx(300, rel=0.25)
    assert (np.diff(schedule) >= 0).all()


def test_a_backlog_lies_before_the_begin() -> None:
    schedule = mine(backlog_s=3, warm_up_s=0, arrivals={"kind": "constant", "rate": 100}).schedule(1, None)
    assert len(schedule) == 500
    assert (schedule < 0).sum() == 300
    assert schedule[0] == -3 * SECOND
    assert (np.diff(schedule) > 0).all()


def test_a_sweep_is_a_run_for_every_combination() -> None:
    swept = mine(sweep={"slo_ms": [20, 50], "load": [0.5, 1.0]})
    found = [(one.slo_ms, getattr(one.arrivals, "load", None)) for one in swept.variants()]
    assert found == [(20, 0.5), (20, 1.0), (50, 0.5), (50, 1.0)]
    assert all(one.sweep is None for one in swept.variants())


def test_a_replay_has_the_times_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"timestamp_ms": 1100}\n\n{"timestamp_ms": 1000}\n{"timestamp_ms": 9000}\n')
    arrivals = {"kind": "replay", "file": str(file), "speed": 2}
    assert mine(arrivals=arrivals).schedule(1, None).tolist() == [0, SECOND // 20]


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "is empty"), ("{", "line 1 is not a JSON object"), ('{"a": 1}', "line 1 has no whole number")],
)
def test_a_recording_that_cannot_be_used_is_told(content: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(content)
    with pytest.raises(ScenarioError, match=told):
        mine(arrivals={"kind": "replay", "file": str(file)}).schedule(1, None)
    with pytest.raises(ScenarioError, match="cannot be read"):
        mine(arrivals={"kind": "replay", "file": str(tmp_path / "none")}).schedule(1, None)


def test_events_are_of_the_classes_in_their_shares_and_the_same_for_a_seed() -> None:
    classes = {"gold": {"slo_ms": 20, "share": 0.2}, "bulk": {"slo_ms": 200, "share": 0.3}}
    mixed = mine(classes=classes)
    assert mixed.slos_ms == {"default": 50, "gold": 20, "bulk": 200}
    drawn = mixed.classes_of(20_000, seed=1)
    assert np.bincount(drawn) / 20_000 == pytest.approx([0.5, 0.2, 0.3], abs=0.02)
    assert (drawn == mixed.classes_of(20_000, seed=1)).all()
    assert not mine().classes_of(100, seed=1).any()


@pytest.mark.parametrize(("instances", "partitions"), [(1, 4), (2, 4), (3, 6), (4, 4), (5, 5)])
def test_every_instance_has_as_many_partitions_as_any_other(instances: int, partitions: int) -> None:
    assert mine(instances=instances).partitions == partitions
