"""What the dashboard draws: objectives first, then the stages in the order of the data path, then what they use.

A stage shows rate, errors and duration; a resource utilisation, saturation and errors.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_OF = 'pipeline=~"$pipeline"'
_RATE = "[$__rate_interval]"


class Chart(NamedTuple):
    """A panel: its unit in Grafana's words, and what it draws by legend."""

    title: str
    unit: str
    lines: Mapping[str, str]


class Row(NamedTuple):
    """Charts beside each other under a heading."""

    title: str
    charts: Sequence[Chart]


def _rate(metric: str, by: str, labels: str = "") -> str:
    chosen = f"{_OF},{labels}" if labels else _OF
    return f"sum by ({by}) (rate(inferstream_{metric}{{{chosen}}}{_RATE}))"


def _quantile(part: float, metric: str, by: str, labels: str = "") -> str:
    return f"histogram_quantile({part}, {_rate(f'{metric}_bucket', f'{by}, le', labels)})"


def _level(how: str, metric: str, by: str) -> str:
    return f"{how} by ({by}) (inferstream_{metric}{{{_OF}}})"


def _durations(stage: str) -> Chart:
    labels, lines = f'stage="{stage}"', {}
    for part, name in ((0.5, "p50"), (0.99, "p99")):
        lines[f"{{{{pipeline}}}} {name}"] = _quantile(part, "stage_seconds", "pipeline", labels)
    return Chart("duration per event", "s", lines)


def _events(stage: str) -> Chart:
    rate = _rate("stage_seconds_count", "pipeline", f'stage="{stage}"')
    return Chart("rate", "ops", {"{{pipeline}}": rate})


def _letters(stage: str) -> Chart:
    rate = _rate("dead_letters_total", "pipeline, cause", f'stage="{stage}"')
    return Chart("errors: dead letters", "ops", {"{{pipeline}} {{cause}}": rate})


def _in_time() -> dict[str, str]:
    valid = _rate("slo_valid_total", "pipeline, slo_class")
    good = _rate("slo_good_total", "pipeline, slo_class, indicator")
    return {"{{pipeline}} {{slo_class}} {{indicator}}": f"{good} / on (pipeline, slo_class) group_left () {valid}"}


def rows() -> Iterator[Row]:
    yield from (_objectives(), _classes(), *_stages(), _model(), _server(), _process())


def _objectives() -> Row:
    psi = f"topk(8, {_level('max', 'drift_psi', 'pipeline, side, column')})"
    return Row(
        "Objectives",
        [
            Chart("in time", "percentunit", _in_time()),
            Chart(
                "not scored, by cause",
                "ops",
                {"{{pipeline}} {{outcome}} {{cause}}": _rate("causes_total", "pipeline, outcome, cause")},
            ),
            Chart("drift (PSI; above 0.25 look)", "none", {"{{pipeline}} {{side}} {{column}}": psi}),
        ],
    )


def _classes() -> Row:
    latency = {
        f"{{{{pipeline}}}} {{{{slo_class}}}} {name}": _quantile(part, "latency_seconds", "pipeline, slo_class")
        for part, name in ((0.5, "p50"), (0.99, "p99"))
    }
    missed = (
        f"{_rate('outcomes_total', 'pipeline, slo_class')} - {_rate('outcomes_in_time_total', 'pipeline, slo_class')}"
    )
    return Row(
        "Classes: rate, errors, duration",
        [
            Chart(
                "outcomes",
                "ops",
                {"{{pipeline}} {{slo_class}} {{outcome}}": _rate("outcomes_total", "pipeline, slo_class, outcome")},
            ),
            Chart("too late, or expired", "ops", {"{{pipeline}} {{slo_class}}": missed}),
            Chart("record timestamp to acknowledged outcome", "s", latency),
        ],
    )


def _stages() -> Iterator[Row]:
    yield Row(
        "1 consume",
        [
            Chart("rate", "ops", {"{{pipeline}}": _rate("records_total", "pipeline")}),
            Chart("errors: lost offsets", "ops", {"{{pipeline}}": _rate("lost_offsets_total", "pipeline")}),
            Chart(
                "lag",
                "s",
                {"{{pipeline}} {{partition}}": _level("max", "lag_seconds", "pipeline, partition")},
            ),
        ],
    )
    yield Row("2 decode", [_events("decode"), _letters("decode"), _durations("decode")])
    yield Row(
        "3 batch",
        [
            Chart(
                "queue and what is unsettled",
                "none",
                {
                    "{{pipeline}} queued": _level("sum", "queued_events", "pipeline"),
                    "{{pipeline}} unsettled": _level("sum", "unsettled_events", "pipeline"),
                },
            ),
            Chart(
                "errors: shed, since the model cannot make it",
                "ops",
                {"{{pipeline}}": _rate("causes_total", "pipeline", 'cause="predicted_late"')},
            ),
            _durations("batch"),
        ],
    )
    yield Row(
        "4 infer",
        [
            Chart("calls", "ops", {"{{pipeline}} {{result}}": _rate("batches_total", "pipeline, result")}),
            Chart(
                "errors: failed calls, retried events",
                "ops",
                {
                    "{{pipeline}} {{cause}}": _rate("failed_calls_total", "pipeline, cause"),
                    "{{pipeline}} retried": _rate("retries_total", "pipeline"),
                },
            ),
            _durations("infer"),
        ],
    )
    yield Row("5 decide", [_events("decide"), _letters("decide"), _durations("decide")])
    refused = {
        "{{pipeline}}": _rate("refused_records_total", "pipeline"),
        "producers replaced": f"sum(rate(inferstream_producers_replaced_total{_RATE}))",
    }
    yield Row("6 emit", [_events("emit"), Chart("errors: refused records", "ops", refused), _durations("emit")])
    yield Row(
        "7 commit",
        [
            Chart("rate", "ops", {"{{pipeline}}": _rate("committed_total", "pipeline")}),
            Chart("errors", "ops", {"{{pipeline}}": _rate("commit_errors_total", "pipeline")}),
            _durations("commit"),
        ],
    )


def _model() -> Row:
    busy, rows = _rate("model_busy_seconds_total", "pipeline, which"), _rate("batch_rows_sum", "pipeline")
    ratio = " / ".join(
        _rate("model_busy_seconds_total", "pipeline", f'which="{which}"') for which in ("actual", "expected")
    )
    return Row(
        "The model: utilisation, saturation, errors",
        [
            Chart("busy instances", "none", {"{{pipeline}} {{which}}": busy}),
            Chart("rows of a call", "none", {"{{pipeline}}": f"{rows} / {_rate('batch_rows_count', 'pipeline')}"}),
            Chart(
                "actual over estimated batch latency, safety",
                "none",
                {"{{pipeline}}": ratio, "{{pipeline}} safety": _level("max", "batch_safety_ratio", "pipeline")},
            ),
            Chart(
                "takes calls",
                "none",
                {"{{pipeline}} {{model}} {{endpoint}}": _level("min", "model_ready", "pipeline, model, endpoint")},
            ),
        ],
    )


def _server() -> Row:
    labels = "pipeline, model, endpoint"  # numbered within a pipeline
    seconds = f"max by ({labels}, phase) (rate(inferstream_model_server_seconds_total{{{_OF}}}{_RATE}))"
    rows, batches = (
        f"max by ({labels}) (rate(inferstream_model_server_{what}_total{{{_OF}}}{_RATE}))"
        for what in ("rows", "batches")
    )
    shares = f"{seconds} / on ({labels}) group_left () sum by ({labels}) ({seconds})"
    return Row(
        "The model server's own account, of all its clients",
        [
            Chart(
                "share of the time by phase",
                "percentunit",
                {"{{pipeline}} {{model}} {{phase}}": shares},
            ),
            Chart("rows", "ops", {"{{pipeline}} {{model}} {{endpoint}}": rows}),
            Chart("rows of a batch", "none", {"{{pipeline}} {{model}} {{endpoint}}": f"{rows} / {batches}"}),
        ],
    )


def _process() -> Row:
    return Row(
        "The process: utilisation, saturation, errors",
        [
            Chart(
                "partitions",
                "none",
                {
                    "{{pipeline}} assigned": _level("sum", "assigned_partitions", "pipeline"),
                    "{{pipeline}} quarantined": _level("sum", "quarantined_partitions", "pipeline"),
                },
            ),
            Chart("event loop lateness", "s", {"{{instance}}": "max by (instance) (inferstream_loop_lag_seconds)"}),
            Chart(
                "calls in flight",
                "none",
                {"{{pipeline}}": _level("sum", "in_flight_batches", "pipeline")},
            ),
            Chart(
                "workers started again, exports not sent",
                "ops",
                {
                    "workers": f"sum(rate(inferstream_worker_restarts_total{_RATE}))",
                    "exports": f'sum(rate(inferstream_otlp_exports_total{{result!="sent"}}{_RATE}))',
                },
            ),
        ],
    )
