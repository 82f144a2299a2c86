"""Recording and alert rules for Prometheus, from the settings: two objectives with burn rates, and what no ratio shows.

Burn rates are those of the SRE workbook: 1 spends the budget of 30 days in 30 days. Each has a long window, so that a
moment does not page, and a short one, so that the alert ends when the trouble does.
"""

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from inferstream.settings import PipelineSettings, Settings

Rule = dict[str, Any]
Labels = Mapping[str, str]

NO_LABELS: Labels = MappingProxyType({})
_SELECTOR = re.compile(r'"[^"]*"|\b(inferstream[_:][\w:]+)(\{?)')  # what is quoted stays as it is

_LEAST_EVENTS = 20  # in the short window: else a single miss of a quiet night pages
_RATIO = "inferstream:slo_errors:ratio_rate"
_VALID = "inferstream:slo_valid:increase"
_LEAST_LAG_SECONDS = 30.0
_DRIFTED = 0.25


class Burn(NamedTuple):
    """Pages or opens a ticket when both windows burn this many times what the budget allows."""

    times: float
    long: str
    short: str


PAGES = (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))
TICKETS = (Burn(3, "1d", "2h"), Burn(1, "3d", "6h"))
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Alert(NamedTuple):
    """One alert; the rest of its runbook is a section of `RUNBOOK.md` that has its name."""

    name: str
    severity: str
    expression: str
    summary: str
    lasts: str = "0s"


def rules(settings: Settings, runbook: str, labels: Labels = NO_LABELS) -> Mapping[str, Any]:
    """The rule file. `runbook` is where RUNBOOK.md can be read.

    `labels` are what our series have in a Prometheus that has others' too: only such count, and what is made of them
    has these labels again.
    """
    recorded = [{**rule, "labels": dict(labels)} if labels else rule for rule in _recorded()]
    alerted = [_rule(alert, runbook) for alert in alerts(settings)]
    for rule in alerted:
        rule["labels"] |= labels
    for rule in (*recorded, *alerted):
        rule["expr"] = narrowed(rule["expr"], labels)
    return {
        "groups": [
            {"name": "inferstream-slo", "rules": recorded},
            {"name": "inferstream-alerts", "rules": alerted},
        ]
    }


def narrowed(expression: str, labels: Labels) -> str:
    """The PromQL of our metrics, of series with these labels only."""
    matchers = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items()))

    def select(found: re.Match[str]) -> str:
        name, brace = found.groups()
        if name is None:
            return found[0]
        return f"{name}{{{matchers}" + ("," if brace else "}")

    return _SELECTOR.sub(select, expression) if labels else expression


def alerts(settings: Settings) -> list[Alert]:
    """All, those of the objectives first."""
    return [*_objectives(settings), *_silences(), *_troubles(settings)]


def _rule(alert: Alert, runbook: str) -> Rule:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook_url": f"{runbook}#{alert.name.lower()}"},
    }


def _recorded() -> Iterator[Rule]:
    for window in WINDOWS:
        good = f"sum by (pipeline, slo_class, indicator) (rate(inferstream_slo_good_total[{window}]))"
        valid = f"sum by (pipeline, slo_class) (rate(inferstream_slo_valid_total[{window}]))"
        yield {"record": f"{_RATIO}{window}", "expr": f"1 - {good} / on (pipeline, slo_class) group_left () {valid}"}
    for burn in (*PAGES, *TICKETS):
        valid = f"sum by (pipeline, slo_class) (increase(inferstream_slo_valid_total[{burn.short}]))"
        yield {"record": f"{_VALID}{burn.short}", "expr": valid}


def _objectives(settings: Settings) -> Iterator[Alert]:
    slo, which = settings.slo, "{{ $labels.pipeline }}, class {{ $labels.slo_class }}"
    said = "{{ $value | humanizePercentage }} of the events of " + which
    yield Alert(
        "InferstreamNotAnsweredInTime",
        "page",
        _burning("answered", slo.objective, PAGES),
        f"{said} are not answered in time; the objective allows {_allowed(slo.objective)}",
    )
    yield Alert(
        "InferstreamNotAnsweredInTimeSlowly",
        "ticket",
        _burning("answered", slo.objective, TICKETS),
        f"{said} are not answered in time, for long; the objective allows {_allowed(slo.objective)}",
    )
    yield Alert(
        "InferstreamNotScoredInTime",
        "ticket",
        _burning("scored", slo.scored_objective, (*PAGES, *TICKETS)),
        f"{said} are not scored by the model in time; the objective allows {_allowed(slo.scored_objective)}",
    )


def _burning(indicator: str, objective: float, burns: tuple[Burn, ...]) -> str:
    return "\nor\n".join(_both(indicator, objective, burn) for burn in burns)


def _both(indicator: str, objective: float, burn: Burn) -> str:
    # So many times the budget, in odds: of a small one that is the same, and of a tenth no 14.4 times can be missed.
    budget, more = f"{1 - objective:.9g}", f"{burn.times - 1:g}"
    most = f"{burn.times:g} * {budget} / (1 + {more} * {budget})" if burn.times > 1 else budget
    long, short = (f'{_RATIO}{window}{{indicator="{indicator}"}} > {most}' for window in (burn.long, burn.short))
    enough = f"on (pipeline, slo_class) {_VALID}{burn.short} >= {_LEAST_EVENTS}"
    return f"({long}\n  and {short}\n  and {enough})"


def _allowed(objective: float) -> str:
    return f"{100 * (1 - objective):.4g}%"


def _silences() -> Iterator[Alert]:
    """A wedged service burns no budget."""
    yield Alert(
        "InferstreamSilent",
        "page",
        "sum by (pipeline) (increase(inferstream_outcomes_total[2m])) == 0\n"
        "and on (pipeline) max by (pipeline) (min_over_time(inferstream_lag_seconds[2m])) > 0",
        "{{ $labels.pipeline }} has events waiting and has answered none for 2 minutes",
    )
    yield Alert(
        "InferstreamAbsent",
        "page",
        "absent(inferstream_build_info)",
        "no instance of the service is seen",
        "2m",
    )


def _troubles(settings: Settings) -> Iterator[Alert]:
    yield Alert(
        "InferstreamLosesOffsets",
        "page",
        "sum by (pipeline) (increase(inferstream_lost_offsets_total[10m])) > 0",
        "retention took events of {{ $labels.pipeline }} before they were read",
    )
    yield Alert(
        "InferstreamQuarantines",
        "ticket",
        "sum by (pipeline) (inferstream_quarantined_partitions) > 0",
        "{{ $value }} partition(s) of {{ $labels.pipeline }} are held for too much poison",
        "1m",
    )
    yield Alert(
        "InferstreamModelDown",
        "ticket",
        "min by (pipeline, model, endpoint) (inferstream_model_ready) == 0",
        "{{ $labels.model }} of {{ $labels.pipeline }} takes no calls at {{ $labels.endpoint }}",
        "2m",
    )
    yield Alert(
        "InferstreamStaleCredentials",
        "ticket",
        "max by (server) (inferstream_stale_credentials) > 0",
        "changed certificates, passwords or keys for {{ $labels.server }} cannot be used; the former ones still are",
        "10m",
    )
    for name in settings.pipelines:
        assigned = f'inferstream_assigned_partitions{{pipeline="{name}"}}'
        yield Alert(
            "InferstreamWithoutPartitions",
            "page",
            # Who never gets past the start has no such metric.
            f"sum by (pipeline) ({assigned}) == 0\nor absent({assigned})",
            "no instance of {{ $labels.pipeline }} owns a partition",
            "5m",
        )
    for name, pipeline in settings.pipelines.items():
        yield Alert(
            "InferstreamLags",
            "ticket",
            f'max by (pipeline) (inferstream_lag_seconds{{pipeline="{name}"}}) > {_most_lag_seconds(pipeline):g}',
            "{{ $labels.pipeline }} is {{ $value | humanizeDuration }} behind",
            "5m",
        )
    for side, what, lasts in (("output", "scores", "1h"), ("input", "features", "1d")):  # these go by the hour of day
        yield Alert(
            f"Inferstream{what.capitalize()}Drift",
            "ticket",
            f'max by (pipeline, column) (inferstream_drift_psi{{side="{side}"}}) > {_DRIFTED}',
            "{{ $labels.column }} of {{ $labels.pipeline }} is far from what the model was tested on",
            lasts,
        )


def _most_lag_seconds(pipeline: PipelineSettings) -> float:
    """Twice the longest SLO: by then even its events are lost to the model."""
    return max(_LEAST_LAG_SECONDS, 2 * max(each.slo_ms for each in pipeline.classes.values()) / 1000)
