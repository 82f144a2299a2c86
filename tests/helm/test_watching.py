"""Alerts, dashboard and scaling say what the code says."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.helm.rendering import Helm, Object, Rendered, example

from inferstream.operate.monitoring.alerts import rules
from inferstream.operate.monitoring.dashboard import as_json
from inferstream.settings import load

SLOW_CLASS = {"slo_ms": 50, "slo_classes": {"night": {"slo_ms": 3_600_000}, "gold": 20}}
SETTINGS: list[Object] = [
    {},
    {"slo": {"objective": 0.99999, "scored_objective": 0.5}},
    {"pipelines": {"a": {"slo_ms": 16_000}, "b": {"input_topic": "x", "output_topic": "y"}, "c": SLOW_CLASS}},
    {"pipelines": {"a": {"slo_ms": 86_400_000}}, "slo": {"objective": 0.9, "scored_objective": 0.987}},
]


@pytest.mark.parametrize("config", SETTINGS)
def test_the_rules_are_those_of_the_command(helm: Helm, tmp_path: Path, config: Object) -> None:
    runbook = "https://runbooks.example/RUNBOOK.md"
    watched = {"prometheusRule": {"enabled": True, "runbook": runbook}}
    rendered = helm.render({"config": config, "metrics": watched})
    expected = rules(rendered.settings(tmp_path), runbook, {"namespace": "prod"})
    assert by_content(rendered.one("PrometheusRule")["spec"]) == by_content(expected)


def test_only_series_of_the_release_count(helm: Helm, promtool: Path, tmp_path: Path) -> None:
    """Staging in the same Prometheus is well, so that nothing is absent; it is far behind: no reason for pods."""
    labels = {"job": "prod/r-inferstream", "namespace": "prod"}
    values = example("secured")
    values["metrics"] = {"prometheusRule": {"enabled": True}, "targetLabels": labels}
    rendered = helm.render(values)
    found = [rule for group in rendered.one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert by_content(rendered.one("PrometheusRule")["spec"]) == by_content(
        rules(rendered.settings(tmp_path), "RUNBOOK.md", labels)
    )
    assert all(rule["labels"].items() >= labels.items() for rule in found)
    (absent,) = [rule["expr"] for rule in found if rule.get("alert") == "InferstreamAbsent"]
    staging = {'inferstream_build_info{namespace="staging",job="staging/r-inferstream"}': "1x40"}
    mine = {'inferstream_build_info{namespace="prod",job="prod/r-inferstream"}': "1x40"}
    query = absent.replace("absent(", "count(absent(") + ")"
    assert measured(promtool, tmp_path, query, staging, 1) == ""
    assert measured(promtool, tmp_path, query, staging | mine, None) == ""


def test_the_rules_pass_prometheus_own_check(helm: Helm, promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(helm.render(example("secured")).one("PrometheusRule")["spec"]))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_that_of_the_command(helm: Helm) -> None:
    text = helm.render(example("secured")).one("ConfigMap", "-dashboard")["data"]["inferstream.json"]
    assert json.loads(text) == json.loads(as_json())


def test_the_monitor_finds_ports_that_the_pods_have(helm: Helm) -> None:
    rendered = helm.render(example("secured"))
    names = {
        port["name"]
        for _, pod in rendered.pods()
        for each in [*pod.get("initContainers", []), *pod["containers"]]
        for port in each.get("ports", [])
    }
    asked = {each["port"] for each in rendered.one("PodMonitor")["spec"]["podMetricsEndpoints"]}
    assert asked == {"http", "triton-metrics"} <= names


def test_an_autoscaler_decides_alone_and_never_beyond_the_partitions(helm: Helm) -> None:
    rendered = helm.render(example("secured"))
    assert "replicas" not in rendered.workload["spec"]
    scaled = rendered.one("ScaledObject")["spec"]
    assert scaled["maxReplicaCount"] <= example("secured")["kafka"]["partitions"]
    assert scaled["scaleTargetRef"] == {"kind": rendered.workload["kind"], "name": "r-inferstream"}
    down = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 300
    assert helm.render({}).workload["spec"]["replicas"] == 2


def test_lag_is_that_of_the_groups_in_the_settings(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(example("secured"))
    pipelines = rendered.settings(tmp_path).pipelines
    lag = [t for t in rendered.one("ScaledObject")["spec"]["triggers"] if t["type"] == "kafka"]
    assert {(t["metadata"]["consumerGroup"], t["metadata"]["topic"]) for t in lag} == {
        (pipeline.group or f"inferstream-{name}", pipeline.input_topic) for name, pipeline in pipelines.items()
    }
    for trigger in lag:
        assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha256", "enable")
        assert trigger["authenticationRef"]["name"] == rendered.one("TriggerAuthentication")["metadata"]["name"]


@pytest.mark.parametrize(
    ("rate", "behind", "queue_ms", "share"),
    [(0, 0, 0, 0.0), (1_000, 0, 2, 0.1), (1_000, 10, 2, 0.6), (1_000, 1_000, 0, 50.0)],
    ids=["no events", "queue", "both", "far behind"],
)
def test_pods_are_added_by_how_much_of_the_slo_the_wait_takes(
    helm: Helm, promtool: Path, tmp_path: Path, rate: int, behind: int, queue_ms: float, share: float
) -> None:
    """The tightest SLO is 20 ms. At 1,000 events a second each record behind is 1 ms of waiting."""
    minutes, labels = 10, '{namespace="prod",pipeline="cards",instance="a"'
    given = {
        'inferstream_behind_records{namespace="staging",pipeline="cards",instance="b"}': "1000000x40",
        f"inferstream_behind_records{labels}}}": f"{behind}x{minutes * 4}",
        f"inferstream_records_total{labels}}}": f"0+{rate * 15}x{minutes * 4}",
        f'inferstream_stage_seconds_sum{labels},stage="batch"}}': f"0+{rate * 15 * queue_ms / 1000}x{minutes * 4}",
        f'inferstream_stage_seconds_count{labels},stage="batch"}}': f"0+{rate * 15}x{minutes * 4}",
    }
    assert measured(promtool, tmp_path, slo_query(helm.render(example("secured"))), given, share) == ""


def test_a_service_that_is_gone_gives_no_share_rather_than_none(helm: Helm, promtool: Path, tmp_path: Path) -> None:
    query = slo_query(helm.render(example("secured")))
    assert measured(promtool, tmp_path, query, {'up{job="x"}': "1x40"}, None) == ""


def test_the_scaler_is_let_in_as_the_service_is(helm: Helm) -> None:
    values = example("secured")
    values["kafka"]["tls"] = {
        "existingSecret": "tls",
        "certKey": "tls.crt",
        "keyKey": "tls.key",
        "keyPasswordKey": "key-password",
    }
    given = helm.render(values).one("TriggerAuthentication")["spec"]["secretTargetRef"]
    assert {each["parameter"]: each["key"] for each in given} == {
        "username": "username",
        "password": "password",
        "ca": "ca.crt",
        "cert": "tls.crt",
        "key": "tls.key",
        "keyPassword": "key-password",
    }


def slo_query(rendered: Rendered) -> str:
    triggers = rendered.one("ScaledObject")["spec"]["triggers"]
    (trigger,) = [t for t in triggers if t["name"] == "cards-slo"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    return str(trigger["metadata"]["query"])


def measured(promtool: Path, folder: Path, query: str, series: dict[str, str], value: float | None) -> str:
    """What promtool has against the query's having that value (None: no value) after ten minutes."""
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    test = {
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": f"round({query}, 0.001)", "eval_time": "10m", "exp_samples": samples}],
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(test, width=10**9))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def by_content(given: Any) -> list[tuple[str, list[str]]]:
    """Rules in no order: pipelines come as they are written here, by name there."""
    return [(g["name"], sorted(json.dumps(rule, sort_keys=True) for rule in g["rules"])) for g in given["groups"]]


def test_the_rules_depend_on_nothing_else_in_the_settings() -> None:
    """What the chart's template does not follow would be a setting whose change shows in no rendered rule."""
    changed = load(environ={"INFERSTREAM__WORKERS": "3", "INFERSTREAM__TRITON__URL": "a:1"})
    assert rules(changed, "r") == rules(load(environ={}), "r")
