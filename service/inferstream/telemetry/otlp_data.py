"""A snapshot as OpenTelemetry's data, a few points at a time. Names and units are those Prometheus translates back."""

import socket
from collections.abc import Iterable, Iterator
from itertools import pairwise
from os import getpid
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from inferstream import __version__
from inferstream.signals import Reading, Sample, Snapshot

_SCOPE = InstrumentationScope("inferstream", __version__)
_UNITS = {"_seconds": "s", "_ratio": "1"}
_LAST = float("inf")

Labels = tuple[tuple[str, str], ...]


def resource() -> Resource:
    """This process; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    instance = f"{socket.gethostname()}-{getpid()}"
    return Resource.create(
        {"service.name": "inferstream", "service.version": __version__, "service.instance.id": instance}
    )


def parts(snapshot: Snapshot, told_of: Resource, began_ns: int, now_ns: int, most: int) -> Iterator[MetricsData]:
    """All of it, at most `most` points at a time, so that each is made and encoded in a moment."""
    for reading in snapshot:
        points = list(_points(reading, began_ns, now_ns))
        for start in range(0, len(points), most):
            metric = _metric(reading, points[start : start + most])
            scope = ScopeMetrics(_SCOPE, [metric], "")
            yield MetricsData([ResourceMetrics(told_of, [scope], "")])


def _metric(reading: Reading, points: list[Any]) -> Metric:
    """`inferstream_lag_seconds` is `inferstream.lag` in `s`."""
    name, unit = reading.name, ""
    for suffix, meant in _UNITS.items():
        if name.endswith(suffix):
            name, unit = name.removesuffix(suffix), meant
    data: Gauge | Histogram | Sum
    if reading.kind == "histogram":
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
    elif reading.kind == "counter":
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(points)
    return Metric(name.replace("_", ".", 1), reading.help, unit, data)


def _points(reading: Reading, began_ns: int, now_ns: int) -> Iterator[Any]:
    if reading.kind == "histogram":
        for labels, samples in _by_cell(reading.samples).items():
            yield _histogram(labels, samples, began_ns, now_ns)
    else:
        for sample in reading.samples:
            yield NumberDataPoint(dict(sample.labels), began_ns, now_ns, sample.value)


def _by_cell(samples: Iterable[Sample]) -> dict[Labels, list[Sample]]:
    cells: dict[Labels, list[Sample]] = {}
    for sample in samples:
        labels = sample.labels[:-1] if sample.suffix == "_bucket" else sample.labels
        cells.setdefault(labels, []).append(sample)
    return cells


def _histogram(labels: Labels, samples: Iterable[Sample], began_ns: int, now_ns: int) -> HistogramDataPoint:
    """Prometheus' buckets count everything below their end; OpenTelemetry's only what is in them."""
    up_to, total, count = [], 0.0, 0
    for suffix, of, value in samples:
        if suffix == "_bucket":
            up_to.append((float(of[-1][1]), int(value)))
        elif suffix == "_sum":
            total = value
        else:
            count = int(value)
    up_to.sort()
    below = [0, *(n for _, n in up_to)]
    counts = [n - less for less, n in pairwise(below)]
    bounds = [end for end, _ in up_to if end < _LAST]
    nothing: Any = None  # smallest and largest are not kept
    return HistogramDataPoint(dict(labels), began_ns, now_ns, count, total, counts, bounds, nothing, nothing)
