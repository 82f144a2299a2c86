"""What the chart makes is what Kubernetes takes, and pods are as careful as they can be."""

import re
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from tests.helm.rendering import NAMES, Helm, Object, Rendered, component, container, containers, example
from tests.helm.schemas import CustomKinds, Kinds

from inferstream.settings import WebSettings
from inferstream.web import WebServer

OLDEST, NEWEST = "1.29.0", "1.37.0"
NEEDS_NEWEST = {"image-volume"}
OWN_GROUPS = ("apps/", "batch/", "policy/", "networking.k8s.io/", "v1")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_takes_every_object(
    helm: Helm, kinds: Callable[[str], Kinds], custom_kinds: CustomKinds, name: str, version: str
) -> None:
    if version == OLDEST and name in NEEDS_NEWEST:
        assert any("needs Kubernetes 1.35" in line for line in helm.lint(example(name), OLDEST))
        return
    assert helm.lint(example(name), version) == []
    for found in helm.render(example(name)).objects:
        of = kinds(version) if found["apiVersion"].startswith(OWN_GROUPS) else custom_kinds
        assert of.wrong(found) == [], f"{found['kind']} {found['metadata']['name']}"


def test_a_wrong_object_would_be_noticed(helm: Helm, kinds: Callable[[str], Kinds], custom_kinds: CustomKinds) -> None:
    rendered = helm.render(example("secured"))
    rendered.workload["spec"]["replica"] = 2
    assert kinds(NEWEST).wrong(rendered.workload)
    scaled = rendered.one("ScaledObject")
    scaled["spec"]["scaleTargetRf"] = {}
    assert custom_kinds.wrong(scaled)


def test_no_pod_may_do_more_than_it_must(rendered: Rendered) -> None:
    for _, pod in rendered.pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in containers(pod):
            context = each["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert each["resources"]["limits"]["memory"] == each["resources"]["requests"]["memory"]
            assert "cpu" not in each["resources"]["limits"]
    for account in rendered.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_every_mount_has_a_volume_and_every_volume_a_mount(helm: Helm) -> None:
    apart = {"triton": {"mode": "service"}}  # with the shipped models, as no example has it
    for _, pod in [pod for values in (*map(example, NAMES), apart) for pod in helm.render(values).pods()]:
        mounted = {mount["name"] for each in containers(pod) for mount in each["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_pods_are_given_the_time_the_drain_takes(rendered: Rendered, tmp_path: Path) -> None:
    drain_seconds = rendered.settings(tmp_path).drain_timeout_ms / 1000
    tritons = [each for each in containers(rendered.service) if each["name"] == "triton"]
    for triton in tritons:
        drain_seconds += int(argument(triton, "--exit-timeout-secs"))
    assert rendered.service["terminationGracePeriodSeconds"] >= drain_seconds + 1


def test_a_longer_drain_gets_a_longer_grace(helm: Helm) -> None:
    short, long = (
        helm.render({"config": {"drain_timeout_ms": ms}}).service["terminationGracePeriodSeconds"]
        for ms in (10_000, 60_001)
    )
    assert long - short == 51


async def test_probes_ask_for_what_the_service_answers(rendered: Rendered, tmp_path: Path) -> None:
    class Well:
        def why_not_live(self) -> None: ...
        def why_not_ready(self) -> None: ...

    async def metrics() -> str:
        return ""

    service = container(rendered.service, "service")
    probes = [service[kind]["httpGet"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
    ports = {port["name"]: port["containerPort"] for port in service["ports"]}
    assert ports["http"] == rendered.settings(tmp_path).web.port
    server = WebServer(WebSettings(host="127.0.0.1", port=0), Well(), metrics, "text/plain")
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            for probe in probes:
                assert probe["port"] == "http"
                async with session.get(f"http://127.0.0.1:{server.port}{probe['path']}") as answer:
                    assert answer.status == 200
    finally:
        await server.stop()


def test_a_start_that_takes_all_it_may_is_waited_for(rendered: Rendered, tmp_path: Path) -> None:
    settings = rendered.settings(tmp_path)
    probe = container(rendered.service, "service")["startupProbe"]
    start_ms = settings.kafka.start_timeout_ms + settings.triton.start_timeout_ms
    assert probe["periodSeconds"] * probe["failureThreshold"] > start_ms / 1000


def test_pods_are_spread_over_zones_and_nodes_unless_told_otherwise(helm: Helm) -> None:
    rendered = helm.render({})
    labels = rendered.workload["spec"]["template"]["metadata"]["labels"]
    spread = rendered.service["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for each in spread:
        assert (each["maxSkew"], each["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
        assert each["labelSelector"]["matchLabels"].items() <= labels.items()
    own = [{"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]
    assert helm.render({"topologySpreadConstraints": own}).service["topologySpreadConstraints"] == own


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicaCount": 1}, "WARNING: one pod only"),
        ({"replicaCount": 2}, "Say kafka.partitions"),
        ({"replicaCount": 2, "triton": {"mode": "service"}}, "WARNING: several pods share one Triton"),
        (
            {"workload": {"kind": "StatefulSet"}, "config": {"kafka": {"session_timeout_ms": 20_000}}},
            "session_timeout_ms, 20 s",
        ),
        ({}, "NOTE: no alerts"),
    ],
)
def test_what_an_installation_lacks_is_said_when_it_is_made(helm: Helm, values: Object, said: str) -> None:
    assert said in notes(helm, values)


def test_an_installation_that_lacks_nothing_is_told_how_to_look_at_it(helm: Helm) -> None:
    rules = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    text = notes(helm, {"replicaCount": 3, "kafka": {"partitions": 12}, "metrics": rules})
    assert not re.search("WARNING|NOTE", text)
    assert "helm test r" in text
    assert "inferstream audit --since 10m" in text


def notes(helm: Helm, values: Object) -> str:
    """What Helm prints at last."""
    (text,) = [text for name, text in helm.render(values).files.items() if name.endswith("NOTES.txt")]
    return text


def test_selectors_find_their_pods_and_no_others(rendered: Rendered) -> None:
    pods = [metadata for metadata, _ in rendered.pods()]
    for owner in rendered.of("Deployment") + rendered.of("StatefulSet"):
        assert {component(pod) for pod in pods if selects(owner["spec"]["selector"], pod)} == {component(owner)}
    for found in rendered.of("PodDisruptionBudget"):
        (only,) = {component(pod) for pod in pods if selects(found["spec"]["selector"], pod)}
        assert only == ("triton" if found["metadata"]["name"].endswith("-triton") else "service")


def test_every_pod_is_under_a_network_policy(helm: Helm) -> None:
    for name in ("default", "service", "static", "secured"):
        rendered = helm.render(example(name))
        policies = [policy["spec"]["podSelector"] for policy in rendered.of("NetworkPolicy")]
        for pod, _ in rendered.pods():
            assert sum(selects(policy, pod) for policy in policies) == 1, (name, component(pod))


def test_the_network_policy_lets_through_what_the_settings_name(helm: Helm) -> None:
    policy = helm.render(example("secured")).one("NetworkPolicy")["spec"]
    assert open_ports(policy["egress"]) == {53, 9092, 9093, 9094, 4317, 443}
    assert policy["ingress"][0]["from"] == example("secured")["networkPolicy"]["metricsFrom"]
    policy = helm.render(example("static")).one("NetworkPolicy")["spec"]
    assert open_ports(policy["egress"]) == {53, 9092, 9001, 9002}
    assert open_ports(policy["ingress"]) == {9090}


def test_only_the_service_its_check_and_a_switch_reach_tritons_pods(helm: Helm) -> None:
    rendered = helm.render(example("service"))
    policy = rendered.one("NetworkPolicy", "-triton")["spec"]
    (calls,) = [rule for rule in policy["ingress"] if rule["ports"][0]["port"] == 8001]
    pods = [metadata for metadata, _ in rendered.pods()]
    assert {component(pod) for pod in pods if selects(calls["from"][0]["podSelector"], pod)} == {
        "service",
        "check",
        "switch",
    }
    assert policy["egress"] == []


def test_all_objects_can_be_told_to_be_of_the_release(rendered: Rendered) -> None:
    for found in rendered.objects:
        if not found["metadata"]["name"].endswith("-extra"):
            assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "r"


def test_names_fit_however_long_the_release_is_called(helm: Helm) -> None:
    values = example("secured") | {"triton": {"mode": "service"}}
    del values["config"]["triton"]
    for found in helm.render(values, name="r" * 53).objects:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", found["metadata"]["name"])
        if found["kind"] == "StatefulSet":  # its pods have the label controller-revision-hash: NAME-0123456789
            assert len(found["metadata"]["name"]) <= 63 - len("-0123456789")


def test_no_optional_object_is_there_unasked(helm: Helm) -> None:
    kinds = {found["kind"] for found in helm.render({}).objects}
    assert kinds == {"ConfigMap", "Deployment", "NetworkPolicy", "Pod", "PodDisruptionBudget", "ServiceAccount"}
    off = {found["kind"] for found in helm.render(example("image-volume")).objects}
    assert off == {"ConfigMap", "Deployment"}


def test_an_image_is_named_by_its_digest_if_there_is_one(helm: Helm) -> None:
    digest = example("gpu")["image"]["digest"]
    assert container(helm.render(example("gpu")).service, "service")["image"] == f"inferstream@{digest}"
    assert container(helm.render({"image": {"tag": "9"}}).service, "service")["image"] == "inferstream:9"


def test_the_check_is_the_service_s_own_pod_with_another_word(rendered: Rendered) -> None:
    for check in rendered.of("Pod"):
        assert check["metadata"]["annotations"]["helm.sh/hook"] == "test"
        one, other = container(check["spec"], "check"), container(rendered.service, "service")
        assert (one["args"], other["args"]) == (["check"], ["run"])
        assert one["image"] == other["image"]
        assert one["volumeMounts"] == other["volumeMounts"]
        assert check["spec"].get("initContainers") == rendered.service.get("initContainers")


def test_changed_settings_make_new_pods(helm: Helm) -> None:
    one, other = (
        helm.render({"config": {"workers": workers}}).workload["spec"]["template"]["metadata"]["annotations"]
        for workers in (1, 2)
    )
    assert one["checksum/settings"] != other["checksum/settings"]


def test_a_new_pod_gets_the_time_that_its_start_may_take(helm: Helm) -> None:
    """A rollout that is only slow must not be told as failed."""
    for seconds in (300, 1_200):
        rendered = helm.render({"triton": {"startupSeconds": seconds}})
        probe = container(rendered.service, "service")["startupProbe"]
        start = seconds + probe["periodSeconds"] * probe["failureThreshold"]
        assert rendered.workload["spec"]["progressDeadlineSeconds"] >= start + 300


def test_a_topics_job_of_other_topics_is_another_job(helm: Helm) -> None:
    values = {"kafka": {"partitions": 4, "topicsJob": {"enabled": True}}}
    (first,) = helm.render(values).of("Job")
    (same,) = helm.render(values).of("Job")
    pipeline = {"input_topic": "else"}
    (other,) = helm.render(values | {"config": {"pipelines": {"fraud": pipeline}}}).of("Job")
    assert first["metadata"]["name"] == same["metadata"]["name"] != other["metadata"]["name"]
    labelled = [values | {"commonLabels": {"team": "a"}}, values | {"podAnnotations": {"a": "b"}}]
    assert (
        len(
            {each["metadata"]["name"] for v in labelled for each in helm.render(v).of("Job")}
            | {first["metadata"]["name"]}
        )
        == 3
    )
    assert first["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "topics", "--partitions", "4", "--replication", "3", "--timeout", "60",
    ]  # fmt: skip


def test_a_job_switches_a_model_with_the_key_and_reaches_kafka_and_every_triton(helm: Helm) -> None:
    values = {
        "triton": {
            "mode": "service",
            "replicas": 2,
            "control": {"existingSecret": "triton-key"},
            "switchJob": {"version": "2", "pipeline": "fraud"},
        },
        "config": {"triton": {"model_control": "explicit"}, "pipelines": {"fraud": {}, "trees": {}}},
    }
    rendered = helm.render(values)
    (job,) = rendered.of("Job")
    pod = job["spec"]["template"]
    (switch,) = pod["spec"]["containers"]
    assert switch["args"] == ["models", "switch", "2", "--pipeline", "fraud"]
    assert {"name": "triton-control", "mountPath": "/etc/triton-control", "readOnly": True} in switch["volumeMounts"]
    assert "initContainers" not in pod["spec"]
    of_pods, of_triton = rendered.of("NetworkPolicy")
    assert selects(of_pods["spec"]["podSelector"], pod["metadata"])
    (asked, _) = of_triton["spec"]["ingress"]
    assert selects(asked["from"][0]["podSelector"], pod["metadata"])
    (other,) = helm.render(
        values | {"triton": values["triton"] | {"switchJob": {"version": "3", "pipeline": "fraud"}}}
    ).of("Job")
    assert other["metadata"]["name"] != job["metadata"]["name"]
    assert helm.render(values | {"triton": values["triton"] | {"switchJob": {"version": ""}}}).of("Job") == []


def argument(each: Object, name: str) -> str:
    (found,) = [given for given in each["args"] if given.startswith(f"{name}=")]
    return str(found.partition("=")[2])


def selects(selector: Object, pod: Object) -> bool:
    labels = pod["labels"]
    matches = selector.get("matchLabels", {}).items() <= labels.items()
    assert all(each["operator"] == "In" for each in selector.get("matchExpressions", []))
    return matches and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def open_ports(rules: list[Object]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}
