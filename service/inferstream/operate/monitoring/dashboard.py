"""metrics --dashboard: Grafana's JSON of what `charts` draws."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from inferstream.operate.monitoring.charts import Chart, rows

Panel = dict[str, Any]

_HEIGHT, _WIDTH = 7, 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def as_json() -> str:
    """The dashboard, to be imported or provisioned."""
    return json.dumps(
        {
            "uid": "inferstream",
            "title": "inferstream",
            "tags": ["inferstream"],
            "schemaVersion": 39,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": _variables()},
            "panels": list(_panels()),
        },
        indent=1,
    )


def _variables() -> list[Mapping[str, Any]]:
    query = "label_values(inferstream_records_total, pipeline)"
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "data source"},
        {
            "name": "pipeline",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": "pipeline"},
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panels() -> Iterator[Panel]:
    number, top = 0, 0
    for row in rows():
        number += 1
        yield _placed(number, row.title, "row", (0, top, _WIDTH, 1)) | {"collapsed": False, "panels": []}
        width = _WIDTH // len(row.charts)
        for place, chart in enumerate(row.charts):
            number += 1
            yield _chart(number, chart, (place * width, top + 1, width, _HEIGHT))
        top += 1 + _HEIGHT


def _placed(number: int, title: str, kind: str, place: tuple[int, int, int, int]) -> Panel:
    grid = dict(zip(("x", "y", "w", "h"), place, strict=True))
    return {"id": number, "title": title, "type": kind, "gridPos": grid}


def _chart(number: int, chart: Chart, place: tuple[int, int, int, int]) -> Panel:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
        for at, (legend, expression) in enumerate(chart.lines.items())
    ]
    return _placed(number, chart.title, "timeseries", place) | {
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": chart.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
