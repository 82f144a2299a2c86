"""The demo as a newcomer runs it."""

import json
import subprocess
import sys

import pytest


@pytest.mark.e2e
@pytest.mark.parametrize("kafka", ["embedded", pytest.param("apache", marks=[pytest.mark.apache, pytest.mark.slow])])
def test_the_demo_scores_fraud_in_time_and_ends_by_itself(kafka: str, request: pytest.FixtureRequest) -> None:
    if kafka == "apache":
        request.getfixturevalue("apache_available")
    done = subprocess.run(
        [sys.executable, "-m", "inferstream", "demo", "--seconds", "6", "--rate", "500", "--kafka", kafka, "--json"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["events"] == 3_000
    assert sum(summary["outcomes"].values()) == 3_000
    # Six can be read by nobody; one that comes after its deadline, on a busy machine, expires before it is read.
    assert 6 - summary["outcomes"]["expired"] <= summary["outcomes"]["dead_lettered"] <= 6
    assert summary["slo_ms"] == 50
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    # How fast is measured on a quiet machine (loadtest/RESULTS.md); here only that most of it is in time.
    assert summary["slo_met_ratio"] > 0.8
    assert summary["events_per_s"] > 350
    assert summary["fraud"]["precision"] > 0.5
    assert summary["fraud"]["recall"] > 0.4
    assert "every one of 3,500 events has exactly one outcome" in done.stderr


@pytest.mark.e2e
@pytest.mark.parametrize(
    "pipeline",
    [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("tensor", "trees", "sensor", "classification", "segmentation", "generation")
    ],
)
def test_each_pipeline_has_a_demo_with_figures_of_its_own(pipeline: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inferstream", "demo", "--pipeline", pipeline, "--seconds", "6", "--json"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert sum(summary["outcomes"].values()) == summary["events"]
    assert summary["outcomes"]["scored"] > 0  # how many in time is measured on a quiet machine
    assert 0 < summary["slo_met_ratio"] <= 1
    assert summary["fraud" if pipeline == "trees" else pipeline]
    assert "has exactly one outcome" in done.stderr


@pytest.mark.e2e
def test_a_demo_that_is_not_there_is_one_line_before_anything_starts() -> None:
    command = [sys.executable, "-m", "inferstream", "demo", "--pipeline", "frod"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("inferstream: error: there is no example 'frod'; there are: classification")
    assert len(done.stderr.splitlines()) == 1
