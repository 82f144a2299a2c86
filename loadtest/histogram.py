"""Latencies as HdrHistograms: 1 us to 60 s, three digits, mergeable; percentiles are never averaged."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 60_000_000, 3
_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}

Milliseconds = npt.NDArray[np.float64]


def histogram(latencies_ms: Milliseconds) -> HdrHistogram:
    """The histogram of these; what lies outside its range is counted at its ends."""
    made = HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)
    clipped = np.clip(np.rint(latencies_ms * 1_000), _LOWEST_US, _HIGHEST_US).astype(np.int64)
    for value, count in zip(*(column.tolist() for column in np.unique(clipped, return_counts=True)), strict=True):
        made.record_value(value, count)
    return made


def encoded(latencies_ms: Milliseconds) -> str:
    """The histogram as HdrHistogram's own base64."""
    text: bytes = histogram(latencies_ms).encode()
    return text.decode()


def percentiles(latencies_ms: Milliseconds) -> Mapping[str, float | None]:
    """p50, p90, p99, p99_9 and max in ms; None where there is nothing to tell."""
    if not len(latencies_ms):
        return dict.fromkeys([*_PERCENTILES, "max"])
    found = histogram(latencies_ms).get_percentile_to_value_dict(list(_PERCENTILES.values()))
    values = {name: round(found[percentile] / 1_000, 3) for name, percentile in _PERCENTILES.items()}
    return {**values, "max": round(float(latencies_ms.max()), 3)}
