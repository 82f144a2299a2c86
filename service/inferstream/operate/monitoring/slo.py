"""slo: the objectives in the settings as rules for Prometheus, or in the words of OpenSLO and sloth."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain, product
from typing import Any, Literal, NamedTuple

import yaml

from inferstream.errors import SettingsError
from inferstream.operate.monitoring.alerts import NO_LABELS, Labels, narrowed, rules
from inferstream.settings import FIRST_ANSWER, NEXT_ANSWER, Settings
from inferstream.signals import INDICATORS

Form = Literal["prometheus", "openslo", "sloth"]
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Objective(NamedTuple):
    """What is promised of one class by one indicator."""

    pipeline: str
    slo_class: str
    indicator: str
    target: float
    labels: Labels = NO_LABELS
    """Of our series, where there are others' too."""

    @property
    def name(self) -> str:
        return f"{self.pipeline}-{self.slo_class}-{self.indicator}".replace("_", "-")

    @property
    def description(self) -> str:
        if self.slo_class in (FIRST_ANSWER, NEXT_ANSWER):
            return f"answers of streams of {self.pipeline}, each {self.slo_class.replace('-', ' ')}, within their time"
        by = "by the model or the fallback chain" if self.indicator == "answered" else "by the model"
        return f"events of {self.pipeline}, class {self.slo_class}, answered {by} before their deadline"

    def good(self) -> str:
        """The counter of events in time, in PromQL."""
        return narrowed(f'inferstream_slo_good_total{{{self._labels},indicator="{self.indicator}"}}', self.labels)

    def valid(self) -> str:
        """The counter of all events, in PromQL."""
        return narrowed(f"inferstream_slo_valid_total{{{self._labels}}}", self.labels)

    @property
    def _labels(self) -> str:
        return f'pipeline="{self.pipeline}",slo_class="{self.slo_class}"'


def show_slo(settings: Settings, form: Form, runbook: str, given: Sequence[str]) -> None:
    """Print it as YAML; `given` are labels as NAME=VALUE. Raises SettingsError."""
    print(as_yaml(documents(settings, form, runbook, _labels(given))), end="")


def _labels(given: Sequence[str]) -> Labels:
    found = {}
    for each in given:
        name, _, value = each.partition("=")
        if not _NAME.fullmatch(name) or not value:
            raise SettingsError(f"--label {each!r}: write NAME=VALUE, e.g. namespace=prod")
        found[name] = value
    return found


def as_yaml(given: list[Mapping[str, Any]]) -> str:
    """For people too: an expression of several lines stays one of several lines."""
    return str(yaml.dump_all(given, Dumper=_Dumper, sort_keys=False, width=200))


class _Dumper(yaml.SafeDumper):
    """Only to have a representer of its own."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def documents(settings: Settings, form: Form, runbook: str, labels: Labels = NO_LABELS) -> list[Mapping[str, Any]]:
    """One YAML document each."""
    if form == "prometheus":
        return [rules(settings, runbook, labels)]
    promised = [each._replace(labels=labels) for each in objectives(settings)]
    return [_sloth(promised)] if form == "sloth" else [_openslo(objective) for objective in promised]


def objectives(settings: Settings) -> list[Objective]:
    """Two of each class, and one of each kind of answers that has an objective."""
    targets = dict(zip(INDICATORS, (settings.slo.objective, settings.slo.scored_objective), strict=True))
    found = []
    for name, pipeline in settings.pipelines.items():
        of_events = product(pipeline.classes, INDICATORS)
        of_answers = product(pipeline.answer_objectives, INDICATORS[1:])
        found += [Objective(name, *which, targets[which[1]]) for which in chain(of_events, of_answers)]
    return found


def _sloth(promised: list[Objective]) -> Mapping[str, Any]:
    return {"version": "prometheus/v1", "service": "inferstream", "slos": [_sloth_slo(each) for each in promised]}


def _sloth_slo(objective: Objective) -> Mapping[str, Any]:
    good, valid = (f"sum(rate({counter}[{{{{.window}}}}]))" for counter in (objective.good(), objective.valid()))
    pages = objective.indicator == "answered"
    return {
        "name": objective.name,
        "objective": round(100 * objective.target, 9),
        "description": objective.description,
        "sli": {"events": {"error_query": f"{valid} - {good}", "total_query": valid}},
        "alerting": {
            "name": f"{objective.name}-burns",
            "page_alert": {"labels": {"severity": "page"}} if pages else {"disable": True},
            "ticket_alert": {"labels": {"severity": "ticket"}},
        },
    }


def _openslo(objective: Objective) -> Mapping[str, Any]:
    def source(counter: str) -> Mapping[str, Any]:
        return {"metricSource": {"type": "Prometheus", "spec": {"query": f"sum({counter})"}}}

    ratio = {"counter": True, "good": source(objective.good()), "total": source(objective.valid())}
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": objective.name},
        "spec": {
            "service": "inferstream",
            "description": objective.description,
            "indicator": {"metadata": {"name": objective.name}, "spec": {"ratioMetric": ratio}},
            "timeWindow": [{"duration": "30d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": objective.indicator, "target": objective.target}],
        },
    }
