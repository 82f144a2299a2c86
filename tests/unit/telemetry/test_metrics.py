"""OpenMetrics text, as an independent parser reads it."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse  # type: ignore[import-untyped,unused-ignore]

from inferstream.signals import Distribution, Signals, slo_bounds
from inferstream.telemetry import metrics


def test_a_parser_finds_every_family_with_its_values() -> None:
    signals = Signals()
    signals.records.cell("fraud").add(7)
    signals.build.cell('odd "version"\n\\').set(1)
    signals.latency.cell("fraud", "default", make=lambda: Distribution(slo_bounds(0.05))).observe(0.03, 4)
    signals.queued.cell("fraud").read = lambda: 12
    found = {family.name: family for family in parse(metrics.render(signals))}  # type: ignore[no-untyped-call]
    assert set(found) == {family.name for family in signals.families()}
    (records,) = found["inferstream_records"].samples
    assert (records.name, records.labels, records.value) == ("inferstream_records_total", {"pipeline": "fraud"}, 7)
    assert found["inferstream_build_info"].samples[0].labels == {"version": 'odd "version"\n\\'}
    assert found["inferstream_queued_events"].samples[0].value == 12
    within = [s.value for s in found["inferstream_latency_seconds"].samples if s.labels.get("le") == "0.05"]
    assert within == [4]
