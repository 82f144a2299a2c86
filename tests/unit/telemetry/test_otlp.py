"""Metrics by OTLP, as a collector sees them; and what becomes of the service when that one is slow, frozen or away."""

import asyncio
import time
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse  # type: ignore[import-untyped,unused-ignore]
from tests.unit.telemetry.collector import Collector, collecting

from inferstream.errors import SettingsError
from inferstream.settings import OtlpSettings, load
from inferstream.signals import Distribution, Signals, Snapshot, slo_bounds
from inferstream.telemetry import metrics, otlp

ENDS_WITHIN_SECONDS = 2.0


def signals_with_values() -> Signals:
    signals = Signals()
    signals.expect("fraud", ["default"])
    for number in range(40):
        signals.records.cell(f"p{number}").add(number)
    latency = signals.latency.cell("fraud", "default", make=lambda: Distribution(slo_bounds(0.05)))
    latency.observe_each([0.001, 0.03, 0.05, 0.0501, 99.0])
    signals.loop_lag.cell().set(0.25)
    signals.safety.cell("fraud").set(1.5)
    return signals


async def sent_until(collector: Collector, signals: Signals, count: int, **settings: int) -> float:
    """Export until so many snapshots were given to the exporter; seconds the end took."""
    given = 0

    async def snapshot() -> Snapshot:
        nonlocal given
        given += 1
        return signals.snapshot()

    chosen = OtlpSettings(endpoint=collector.endpoint, **{"interval_ms": 100, **settings})
    async with otlp.exporting(chosen, snapshot, signals):
        async with asyncio.timeout(30):
            while given < count:  # noqa: ASYNC110 - the exporter asks when its time has come
                await asyncio.sleep(0.01)
        ending = time.monotonic()
    return time.monotonic() - ending


def value_of(point: Any) -> float:
    return float(point.as_double if point.HasField("as_double") else point.as_int)


async def test_the_collector_gets_what_the_page_of_metrics_shows() -> None:
    signals = signals_with_values()
    with collecting() as collector:
        await sent_until(collector, signals, 1)
        sent: dict[tuple[str, frozenset[tuple[str, str]]], Any] = {}
        for metric in collector.metrics:
            data = getattr(metric, metric.WhichOneof("data"))
            for point in data.data_points:
                labels = frozenset((a.key, a.value.string_value) for a in point.attributes)
                sent[metric.name, labels] = point
        resource = {a.key: a.value.string_value for a in collector.resources[0].attributes}
    assert resource["service.name"] == "inferstream"
    compared = 0
    for family in parse(metrics.render(signals)):  # type: ignore[no-untyped-call]
        name = family.name.removesuffix("_seconds").removesuffix("_ratio").replace("_", ".", 1)
        for sample in family.samples:
            if family.type == "histogram" or "otlp" in family.name:
                continue
            assert value_of(sent[name, frozenset(sample.labels.items())]) == sample.value, sample
            compared += 1
    assert compared > 50
    point = sent["inferstream.latency", frozenset({("pipeline", "fraud"), ("slo_class", "default")})]
    within = list(point.explicit_bounds).index(0.05)
    assert (point.count, sum(point.bucket_counts[: within + 1]), point.bucket_counts[-1]) == (5, 3, 1)
    assert point.sum == pytest.approx(99.1311)
    assert 0 < point.start_time_unix_nano <= point.time_unix_nano


@pytest.mark.parametrize("endpoint", ["collector:4317", "http://collector", "grpc://collector:4317", "http://u@c:1"])
def test_an_endpoint_that_is_none_is_refused_with_what_to_write(endpoint: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^telemetry\.otlp\.endpoint: write http://host:port or https://host:port$"
    ):
        load(environ={"INFERSTREAM__TELEMETRY__OTLP__ENDPOINT": endpoint})


async def test_nothing_is_sent_without_an_endpoint() -> None:
    async def snapshot() -> Snapshot:
        raise AssertionError("nobody wants one")

    async with otlp.exporting(OtlpSettings(), snapshot, Signals()):
        await asyncio.sleep(0.05)


async def test_every_snapshot_is_sent_once_when_all_is_well() -> None:
    signals = signals_with_values()
    with collecting() as collector:
        took = await sent_until(collector, signals, 4)
    exports = signals.otlp_exports
    assert exports.total(result="sent") >= 4
    assert exports.total(result="failed") == 0
    assert exports.total(result="dropped") <= 1, "the last one may take the place of one that waits"
    assert took < ENDS_WITHIN_SECONDS


async def test_a_frozen_collector_costs_snapshots_and_nothing_else() -> None:
    signals = signals_with_values()
    with collecting() as collector:
        collector.may_answer.clear()
        worst, beating = 0.0, True

        async def beat() -> None:
            nonlocal worst
            while beating:
                asked = time.monotonic()
                await asyncio.sleep(0.001)
                worst = max(worst, time.monotonic() - asked)

        beats = asyncio.create_task(beat())
        took = await sent_until(collector, signals, 12, timeout_ms=60_000)
        beating = False
        await beats
        assert collector.asked.is_set()
    exports = signals.otlp_exports
    assert exports.total(result="sent") == 0
    assert exports.total(result="dropped") == 12
    async with asyncio.timeout(5):
        while not exports.total(result="failed"):  # noqa: ASYNC110 - it is given up on its thread
            await asyncio.sleep(0.01)
    assert exports.total() == 13, "all that was given, and what is told last"
    assert took < ENDS_WITHIN_SECONDS
    assert worst < 0.5, "the event loop went on"


async def test_a_collector_that_is_away_is_said_once_and_found_again(capsys: pytest.CaptureFixture[str]) -> None:
    signals = signals_with_values()
    with collecting() as gone:
        pass
    await sent_until(gone, signals, 4, timeout_ms=50)
    assert signals.otlp_exports.total(result="failed") >= 1
    assert signals.otlp_exports.total(result="sent") == 0
    assert capsys.readouterr().out.count("otlp_fails") == 1
