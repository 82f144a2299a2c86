"""What the service's metrics say of each stage of the data path, in a few words."""

import re
from collections.abc import Iterator


def stage_figures(metrics: str) -> dict[str, str]:
    """A few words for each stage, from the service's OpenMetrics text."""
    values = dict(_samples(metrics))

    def mean(stage: str) -> str:
        count = values.get(f"inferstream_stage_seconds_count/{stage}", 0.0)
        total = values.get(f"inferstream_stage_seconds_sum/{stage}", 0.0)
        return _duration(total / count) if count else ""

    rows = values.get("inferstream_batch_rows_sum/", 0.0) / max(1.0, values.get("inferstream_batch_rows_count/", 0.0))
    return {
        "consume": f"{values.get('inferstream_records_total/', 0):,.0f}",
        "decode": mean("decode"),
        "batch": f"{mean('batch')} ×{rows:.0f}",
        "infer": mean("infer"),
        "decide": mean("decide"),
        "emit": mean("emit"),
        "commit": f"{values.get('inferstream_committed_total/', 0):,.0f}",
    }


def _samples(metrics: str) -> Iterator[tuple[str, float]]:
    """Name and stage of each sample, and its value."""
    for line in metrics.splitlines():
        name, _, value = line.rpartition(" ")
        if line.startswith("#") or "_bucket" in name:
            continue
        stage = re.search(r'stage="(\w+)"', name)
        yield f"{name.partition('{')[0]}/{stage[1] if stage else ''}", float(value)


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
