"""The metrics and labels that a PromQL expression names, held against the catalogue."""

import re
from collections.abc import Iterator

from inferstream.signals import Signals

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
_FROM_PROMETHEUS = {"instance", "job"}
_METRIC = re.compile(r"\b(inferstream_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|group_left|without|ignoring)\s*\(([^)]*)\)")


def unknown(expression: str) -> list[str]:
    """What is not in the catalogue: metrics, and labels that no metric of the expression has."""
    catalogue = {
        family.name + suffix: {*family.labels, *(("le",) if suffix == "_bucket" else ())}
        for family in Signals().families()
        for suffix in _SUFFIXES[family.kind]
    }
    found, labels = [], set(_FROM_PROMETHEUS)
    for name, matchers in _METRIC.findall(expression):
        if name not in catalogue:
            found.append(name)
            continue
        labels |= catalogue[name]
        found += [f"{name}{{{label}}}" for label in _MATCHER.findall(matchers) if label not in catalogue[name]]
    return found + [label for label in _groupings(expression) if label not in labels]


def _groupings(expression: str) -> Iterator[str]:
    for group in _GROUPING.findall(expression):
        yield from (label.strip() for label in group.split(",") if label.strip())
