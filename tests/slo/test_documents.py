"""Rules, specs, dashboard, runbook and table of metrics: they parse, agree with each other and name what exists."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from tests.slo.expressions import unknown
from typer.testing import CliRunner

from inferstream.cli import app
from inferstream.errors import SettingsError
from inferstream.operate.monitoring.alerts import alerts
from inferstream.operate.monitoring.dashboard import as_json
from inferstream.operate.monitoring.metrics_table import as_markdown
from inferstream.operate.monitoring.slo import as_yaml, documents
from inferstream.settings import Settings, load
from inferstream.signals import STAGES, Signals

pytestmark = pytest.mark.timeout(1_200)  # the first one may have to make promtool

SERVICE = Path(__file__).parents[2] / "service"
RECORDED = re.compile(r"inferstream:\w+:\w+")


@pytest.fixture
def settings() -> Settings:
    return load(environ={"INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES": '{"gold": 20, "batch": 60000}'})


def expressions(dashboard: Any) -> list[str]:
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(found) > 40
    return [text.replace("$__rate_interval", "5m").replace("$pipeline", ".*") for text in found]


def check(promtool: Path, folder: Path, rules: str) -> str:
    (folder / "rules.yaml").write_text(rules)
    command = [str(promtool), "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_rules_are_ones_that_prometheus_loads(promtool: Path, tmp_path: Path, settings: Settings) -> None:
    assert check(promtool, tmp_path, as_yaml(documents(settings, "prometheus", "https://runbooks.example/r.md"))) == ""


def test_every_expression_of_the_dashboard_parses(promtool: Path, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(expressions(json.loads(as_json())))]
    assert check(promtool, tmp_path, yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]})) == ""


def test_the_dashboard_names_only_metrics_and_labels_that_there_are() -> None:
    for text in expressions(json.loads(as_json())):
        assert unknown(text) == [], text


def test_a_name_that_there_is_not_would_be_found() -> None:
    assert unknown("rate(inferstream_records_totl[5m])") == ["inferstream_records_totl"]
    assert unknown('sum by (topic) (inferstream_records_total{class="x"})') == [
        "inferstream_records_total{class}",
        "topic",
    ]


def test_the_rules_name_only_metrics_labels_and_recorded_series_that_there_are(settings: Settings) -> None:
    (made,) = documents(settings, "prometheus", "r")
    rules = [rule for group in made["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        assert set(RECORDED.findall(rule["expr"])) <= recorded
        if "record" in rule:
            assert unknown(rule["expr"]) == [], rule


def test_the_dashboard_follows_the_data_path() -> None:
    rows = [panel["title"] for panel in json.loads(as_json())["panels"] if panel["type"] == "row"]
    assert [row.partition(" ")[2] for row in rows if row[0].isdigit()] == list(STAGES)


def test_no_two_panels_are_in_one_place() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in json.loads(as_json())["panels"]]
    assert len(places) == len(set(places))
    assert all(x + width <= 24 for x, _, width, _ in places)


def test_the_files_are_what_the_commands_print() -> None:
    assert (SERVICE / "dashboards" / "inferstream.json").read_text() == as_json() + "\n", (
        "inferstream metrics --dashboard"
    )
    assert (SERVICE / "METRICS.md").read_text() == as_markdown() + "\n", "inferstream metrics --markdown"
    for family in Signals().families():
        assert f"`{family.name}" in as_markdown()


def test_objectives_of_a_streams_answers_are_among_them() -> None:
    streams = load(environ={"INFERSTREAM__PIPELINES__GENERATION__FIRST_ANSWER_MS": "250"})
    (slos,) = documents(streams, "sloth", "r")
    (first,) = [slo for slo in slos["slos"] if "first-answer" in slo["name"]]
    assert first["name"] == "generation-first-answer-scored"
    assert first["objective"] == 99
    assert 'slo_valid_total{pipeline="generation",slo_class="first-answer"}' in first["sli"]["events"]["total_query"]
    assert first["alerting"]["page_alert"] == {"disable": True}


@pytest.mark.parametrize("form", ["prometheus", "openslo", "sloth"])
def test_the_command_prints_what_is_checked_here(
    tmp_path: Path, form: Literal["prometheus", "openslo", "sloth"]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("slo: {objective: 0.995}\npipelines: {fraud: {slo_ms: 40, slo_classes: {gold: 20}}}\n")
    asked = ["slo", "-s", str(file), "--format", form, "--runbook", "https://r.example/"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout == as_yaml(documents(load(file, {}), form, "https://r.example/"))
    assert "gold" in done.stdout or "0.005" in done.stdout


def test_labels_of_ours_are_in_every_selector_and_on_what_is_made(settings: Settings) -> None:
    labels = {"namespace": "prod", "job": 'a "b"'}
    (made,) = documents(settings, "prometheus", "r", labels)
    for rule in (rule for group in made["groups"] for rule in group["rules"]):
        names = re.findall(r"inferstream[_:][\w:]+", rule["expr"])
        assert len(re.findall(r'inferstream[_:][\w:]+\{job="a \\"b\\"",namespace="prod"[,}]', rule["expr"])) == len(
            names
        )
        assert rule["labels"].items() >= labels.items()
    (sloth,) = documents(settings, "sloth", "r", labels)
    assert all('namespace="prod",pipeline' in slo["sli"]["events"]["total_query"] for slo in sloth["slos"])


@pytest.mark.parametrize("given", ["namespace", "=prod", "a-b=c", "namespace="])
def test_a_label_that_is_none_is_refused_in_a_line(given: str) -> None:
    done = CliRunner().invoke(app, ["slo", "--label", given])
    assert isinstance(done.exception, SettingsError)
    assert "write NAME=VALUE" in str(done.exception)


def test_every_alert_has_its_section_in_the_runbook_and_none_is_left_over(settings: Settings) -> None:
    sections = set(re.findall(r"^## (\w+)$", (SERVICE / "RUNBOOK.md").read_text(), re.MULTILINE))
    assert sections == {alert.name for alert in alerts(settings)}
    (made,) = documents(settings, "prometheus", "https://runbooks.example/RUNBOOK.md")
    for rule in made["groups"][1]["rules"]:
        assert rule["annotations"]["runbook_url"] == f"https://runbooks.example/RUNBOOK.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_links_of_the_runbook_lead_to_sections() -> None:
    text = (SERVICE / "RUNBOOK.md").read_text()
    anchors = {name.lower() for name in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= anchors


def test_each_class_has_two_objectives_in_every_form(settings: Settings) -> None:
    names = {f"fraud-{c}-{i}" for c in ("default", "gold", "batch") for i in ("answered", "scored")}
    (sloth,) = documents(settings, "sloth", "r")
    assert {slo["name"] for slo in sloth["slos"]} == names
    assert {slo["objective"] for slo in sloth["slos"]} == {99.9, 99.0}
    pages = {slo["name"] for slo in sloth["slos"] if not slo["alerting"]["page_alert"].get("disable")}
    assert pages == {name for name in names if name.endswith("answered")}
    openslo = documents(settings, "openslo", "r")
    assert {slo["metadata"]["name"] for slo in openslo} == names
    for slo in openslo:
        ratio = slo["spec"]["indicator"]["spec"]["ratioMetric"]
        for side in ("good", "total"):
            assert unknown(ratio[side]["metricSource"]["spec"]["query"]) == []


def test_the_lag_that_is_told_is_beyond_the_longest_slo(settings: Settings) -> None:
    (lags,) = [alert for alert in alerts(settings) if alert.name == "InferstreamLags"]
    assert lags.expression.endswith("> 120")
