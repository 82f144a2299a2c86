"""Synthetic series, and what Prometheus' own rule engine makes of the rules over them."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from inferstream.operate.monitoring.slo import as_yaml, documents
from inferstream.settings import Settings

SCRAPE_SECONDS = 15
RATE = 100  # events a second
_LABELS = 'pipeline="fraud",slo_class="default"'
_ORDINARY = {
    'inferstream_lag_seconds{pipeline="fraud",partition="0"}': 0.0,
    'inferstream_assigned_partitions{pipeline="fraud"}': 4.0,
    'inferstream_quarantined_partitions{pipeline="fraud"}': 0.0,
    'inferstream_model_ready{pipeline="fraud",model="fraud",endpoint="triton:8001"}': 1.0,
    'inferstream_stale_credentials{server="kafka"}': 0.0,
    'inferstream_build_info{version="1"}': 1.0,
    'inferstream_drift_psi{pipeline="fraud",side="output",column="probability"}': 0.02,
    'inferstream_drift_psi{pipeline="fraud",side="input",column="features.night"}': 0.02,
}


class Phase(NamedTuple):
    """For so many minutes: shares of the events that are missed, and gauges that differ from the ordinary."""

    minutes: float
    not_answered: float = 0.0
    not_scored: float = 0.0
    rate: float = RATE
    gauges: Mapping[str, float] = {}
    lost_a_second: float = 0.0
    is_gone: bool = False
    lacks: str = ""
    """A gauge that nobody shows."""


HEALTHY = Phase(180)


class Question(NamedTuple):
    """Whether the alert fires (or, without a name, any does) at this minute."""

    minute: float
    alert: str
    fires: bool


def ask(
    promtool: Path,
    folder: Path,
    settings: Settings,
    phases: Sequence[Phase],
    questions: Sequence[Question],
    scrape_seconds: int = SCRAPE_SECONDS,
    neighbour: Sequence[Phase] = (),
) -> str:
    """What promtool has to say against the expected answers; nothing if all are as expected.

    With a neighbour there is another release in these phases, and the rules are those of ours alone.
    """
    labels = {"namespace": "prod"} if neighbour else {}
    (folder / "rules.yaml").write_text(as_yaml(documents(settings, "prometheus", "RUNBOOK.md", labels)))
    given = series(phases, scrape_seconds)
    if neighbour:
        given = _of("prod", given) | _of("staging", series(neighbour, scrape_seconds))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{max(30, scrape_seconds)}s",
        "tests": [
            {
                "interval": f"{scrape_seconds}s",
                "input_series": [{"series": name, "values": values} for name, values in given.items()],
                "promql_expr_test": [_expected(question) for question in questions],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test, sort_keys=False, width=10**9))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _of(namespace: str, given: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("{", f'{{namespace="{namespace}",', 1): values for name, values in given.items()}


def _expected(question: Question) -> Mapping[str, object]:
    chosen = f',alertname="{question.alert}"' if question.alert else ""
    return {
        "expr": f'(count(ALERTS{{alertstate="firing"{chosen}}}) > bool 0) or vector(0)',
        "eval_time": f"{round(question.minute * 60)}s",
        "exp_samples": [{"labels": "{}", "value": int(question.fires)}],
    }


def series(phases: Sequence[Phase], scrape_seconds: int) -> dict[str, str]:
    """promtool's notation of what a service in these phases shows."""
    counters = {
        f"inferstream_slo_valid_total{{{_LABELS}}}": [phase.rate for phase in phases],
        f'inferstream_slo_good_total{{{_LABELS},indicator="answered"}}': [
            p.rate * (1 - p.not_answered) for p in phases
        ],
        f'inferstream_slo_good_total{{{_LABELS},indicator="scored"}}': [p.rate * (1 - p.not_scored) for p in phases],
        f'inferstream_outcomes_total{{{_LABELS},outcome="scored"}}': [phase.rate for phase in phases],
        'inferstream_lost_offsets_total{pipeline="fraud"}': [phase.lost_a_second for phase in phases],
    }
    found = {name: _counter(rates, phases, scrape_seconds) for name, rates in counters.items()}
    for name, ordinary in _ORDINARY.items():
        short = name.partition("{")[0].removeprefix("inferstream_")
        key = next((key for p in phases for key in p.gauges if key in (short, f"{short}.{_side(name)}")), short)
        found[name] = " ".join(
            _gone(n) if p.is_gone or p.lacks == short else f"{p.gauges.get(key, ordinary):g}x{n - 1}"
            for p, n in _samples(phases, scrape_seconds)
        )
    return found


def _side(name: str) -> str:
    return "input" if 'side="input"' in name else "output"


def _samples(phases: Sequence[Phase], scrape_seconds: int) -> list[tuple[Phase, int]]:
    return [(phase, round(phase.minutes * 60 / scrape_seconds)) for phase in phases]


def _counter(rates: Sequence[float], phases: Sequence[Phase], scrape_seconds: int) -> str:
    value, parts = 0.0, []
    for rate, (phase, count) in zip(rates, _samples(phases, scrape_seconds), strict=True):
        step = rate * scrape_seconds
        parts.append(_gone(count) if phase.is_gone else f"{value:.6f}+{step:.6f}x{count - 1}")
        value += step * count
    return " ".join(parts)


def _gone(count: int) -> str:
    """As Prometheus notes a target that it finds no more."""
    return f"stale _x{count - 1}"
