"""One snapshot of several."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse  # type: ignore[import-untyped,unused-ignore]

from inferstream.signals import Signals, Snapshot
from inferstream.telemetry import metrics
from inferstream.workers.merge import lasting, merge, succeeding


def snapshot(*, records: int, lag: float, model: bool, latencies: tuple[float, ...]) -> Snapshot:
    signals = Signals()
    signals.records.cell("fraud").add(records)
    signals.partitions.cell("fraud").set(2)
    signals.loop_lag.cell().set(lag)
    signals.model_ready.cell("fraud", "m", "host").set(model)
    signals.build.cell("1.0").set(1)
    for latency in latencies:
        signals.latency.cell("fraud", "default").observe(latency)
    return signals.snapshot()


ONE = snapshot(records=3, lag=0.2, model=True, latencies=(0.003,))
OTHER = snapshot(records=4, lag=0.1, model=False, latencies=(0.003, 0.03))


def values(merged: Snapshot) -> dict[str, float]:
    return {
        sample.name + sample.labels.get("le", ""): sample.value
        for family in parse(metrics.render(merged))  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def test_each_family_is_merged_as_it_makes_sense() -> None:
    for merged in (values(merge([ONE, OTHER])), values(merge([OTHER, ONE]))):
        assert merged["inferstream_records_total"] == 7
        assert merged["inferstream_assigned_partitions"] == 4
        assert merged["inferstream_loop_lag_seconds"] == 0.2
        assert merged["inferstream_model_ready"] == 0
        assert merged["inferstream_build_info"] == 1
        assert merged["inferstream_latency_seconds_bucket0.005"] == 2
        assert merged["inferstream_latency_seconds_count"] == 3
        assert merged["inferstream_latency_seconds_sum"] == pytest.approx(0.036)


def test_labels_that_only_one_has_are_kept_beside_the_others() -> None:
    signals = Signals()
    signals.records.cell("other").add(9)
    merged = merge([ONE, signals.snapshot()])
    records = next(reading for reading in merged if reading.name == "inferstream_records")
    assert {dict(s.labels)["pipeline"]: s.value for s in records.samples} == {"fraud": 3, "other": 9}


def test_only_what_was_counted_outlives_a_process() -> None:
    merged = values(merge([lasting(ONE), OTHER]))
    assert merged["inferstream_records_total"] == 7
    assert merged["inferstream_latency_seconds_count"] == 3
    assert merged["inferstream_assigned_partitions"] == 2
    assert merged["inferstream_loop_lag_seconds"] == 0.1


def rows(count: int) -> Snapshot:
    """What a process has seen the model server compute, for all its clients: of several processes the largest holds."""
    signals = Signals()
    signals.server_rows.cell("fraud", "m", "host").add(count)
    return signals.snapshot()


def test_what_processes_of_one_place_saw_after_each_other_adds_up_and_side_by_side_does_not() -> None:
    assert values(merge([rows(1_000), rows(990)]))["inferstream_model_server_rows_total"] == 1_000
    one_place = succeeding(rows(1_000), rows(5))
    assert values(one_place)["inferstream_model_server_rows_total"] == 1_005
    assert values(merge([one_place, rows(990)]))["inferstream_model_server_rows_total"] == 1_005
    assert values(succeeding(ONE, OTHER))["inferstream_loop_lag_seconds"] == 0.1
    assert values(succeeding(ONE, OTHER))["inferstream_records_total"] == 7
