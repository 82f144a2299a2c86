"""What the service counts and times: the catalogue of all metrics, and the cells that the hot path writes to."""

from inferstream.signals.catalogue import INDICATORS, OUTCOMES, STAGES, Signals, slo_bounds
from inferstream.signals.cells import Count, Distribution, Family, Level, Merge, Reading, Sample, Snapshot
from inferstream.signals.misses import Miss, Misses, newest

__all__ = [
    "INDICATORS",
    "OUTCOMES",
    "STAGES",
    "Count",
    "Distribution",
    "Family",
    "Level",
    "Merge",
    "Miss",
    "Misses",
    "Reading",
    "Sample",
    "Signals",
    "Snapshot",
    "newest",
    "slo_bounds",
]
