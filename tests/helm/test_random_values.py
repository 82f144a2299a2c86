"""Whatever values are given: the chart refuses them in words of its own, or what it makes holds together."""

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.helm.rendering import Helm, Object, Refused, Rendered, container, containers
from tests.helm.schemas import CustomKinds, Kinds
from tests.helm.test_objects import NEWEST, OWN_GROUPS

from inferstream.settings import Settings

PROBED = {"/livez", "/readyz"}  # what the service answers: test_objects
_CRASH = re.compile(r"nil pointer|wrong type|can't evaluate|error calling|<no value>|parse error|invalid memory|panic")
_NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?", fullmatch=True)
_SECRETS = st.sampled_from(["", "login", "a-secret"])


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    """A dictionary with any of these."""
    return st.fixed_dictionaries({}, optional=parts)


_CLASS = st.fixed_dictionaries({"slo_ms": st.integers(1, 9_999)}, optional={"reserved_share": st.floats(0, 0.3)})
_CLASSES = st.dictionaries(
    _NAMES.filter(lambda name: name != "default"), st.integers(1, 3_600_000) | _CLASS, max_size=2
)
_PIPELINES = st.dictionaries(
    _NAMES,
    some(
        slo_ms=st.integers(1, 3_600_000),
        on_miss=st.sampled_from(["fallback", "expire", "dead_letter"]),
        slo_classes=_CLASSES,
        input_topic=_NAMES,
        batching=some(max_batch_size=st.integers(1, 1_024), max_queued=st.integers(1, 9_999)),
    ),
    max_size=3,
)
_KAFKA_SETTINGS = some(
    bootstrap_servers=st.sampled_from(["kafka:9092", "a:9093,b:9094", "kafka"]),
    security_protocol=st.sampled_from(["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"]),
    sasl_mechanism=st.sampled_from(["SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"]),
    session_timeout_ms=st.integers(10_000, 60_000),
)
_VALUES = some(
    replicaCount=st.integers(1, 5),
    fullnameOverride=st.just("") | _NAMES,
    commonLabels=st.dictionaries(_NAMES, _NAMES, max_size=2),
    podLabels=st.dictionaries(_NAMES, _NAMES, max_size=1),
    workload=some(kind=st.sampled_from(["Deployment", "StatefulSet"])),
    config=some(
        pipelines=_PIPELINES,
        kafka=_KAFKA_SETTINGS,
        drain_timeout_ms=st.integers(1_000, 600_000),
        workers=st.integers(1, 8),
        web=some(port=st.integers(1_024, 65_535), page=st.booleans()),
        telemetry=some(otlp=st.just({"endpoint": "http://otel:4317"})),
        triton=some(url=st.just("triton:8001"), model_control=st.sampled_from(["none", "explicit"])),
    ),
    kafka=some(
        partitions=st.integers(0, 12),
        topicsJob=some(enabled=st.booleans()),
        sasl=some(existingSecret=_SECRETS),
        tls=some(
            existingSecret=_SECRETS, certKey=st.sampled_from(["", "tls.crt"]), keyKey=st.sampled_from(["", "tls.key"])
        ),
    ),
    triton=some(
        mode=st.sampled_from(["sidecar", "service", "external"]),
        replicas=st.integers(1, 3),
        control=some(existingSecret=_SECRETS),
        switchJob=some(version=st.sampled_from(["", "2"])),
        gpu=some(count=st.integers(0, 2)),
        exitTimeoutSeconds=st.integers(1, 60),
        models=some(source=st.sampled_from(["shipped", "pvc"]), claimName=st.sampled_from(["", "models"])),
    ),
    autoscaling=some(
        mode=st.sampled_from(["none", "keda"]),
        minReplicas=st.integers(1, 3),
        maxReplicas=st.integers(1, 12),
        slo=some(prometheusAddress=st.sampled_from(["", "http://prometheus:9090"])),
    ),
    shutdown=some(marginSeconds=st.integers(1, 60)),
    networkPolicy=some(enabled=st.booleans()),
    podDisruptionBudget=some(enabled=st.booleans()),
    metrics=some(podMonitor=some(enabled=st.booleans()), prometheusRule=some(enabled=st.booleans())),
)


@given(values=_VALUES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_refused_in_words_or_make_a_release_that_holds_together(
    helm: Helm, kinds: Callable[[str], Kinds], custom_kinds: CustomKinds, values: Object
) -> None:
    rendered, refused = _rendered(helm, values)
    event("refused" if rendered is None else "rendered")
    assert not _CRASH.search(refused), refused
    if rendered is None:
        return
    for found in rendered.objects:
        of = kinds(NEWEST) if found["apiVersion"].startswith(OWN_GROUPS) else custom_kinds
        assert of.wrong(found) == [], f"{found['kind']} {found['metadata']['name']}"
    with TemporaryDirectory() as folder:
        said = rendered.settings(Path(folder))
    _secrets_are_mounted(rendered, values)
    _the_end_is_waited_for(rendered, said)
    service = container(rendered.service, "service")
    assert {
        service[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    } == PROBED
    assert said.pipelines.keys() == (values.get("config", {}).get("pipelines") or {"fraud": {}}).keys()


def _rendered(helm: Helm, values: Object) -> tuple[Rendered | None, str]:
    """Or why not."""
    try:
        return helm.render(values), ""
    except Refused as refused:
        return None, str(refused)


def _secrets_are_mounted(rendered: Rendered, values: Object) -> None:
    """Those of the values, and every volume somewhere."""
    named = {
        values.get("kafka", {}).get("sasl", {}).get("existingSecret", ""),
        values.get("kafka", {}).get("tls", {}).get("existingSecret", ""),
        values.get("triton", {}).get("control", {}).get("existingSecret", ""),
    }
    volumes = {volume["secret"]["secretName"] for volume in rendered.service["volumes"] if "secret" in volume}
    assert volumes == named - {""}
    for _, pod in rendered.pods():
        mounted = {mount["name"] for each in containers(pod) for mount in each["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def _the_end_is_waited_for(rendered: Rendered, said: Settings) -> None:
    assert rendered.service["terminationGracePeriodSeconds"] > said.drain_timeout_ms / 1000
