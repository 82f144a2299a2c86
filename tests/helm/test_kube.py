"""The chart on a real API server: `make kube`.

By CONTROL_PLANE (see control_plane.py) pods are faked, so that they are ready as soon as they are scheduled; on a
cluster of your own nothing is waited for, since its nodes have no image of ours.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from tests.helm.api import Api, ApiError, Object, connected
from tests.helm.control_plane import NoControlPlane, running
from tests.helm.rendering import NAMES, Cluster, Helm, Refused, example

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_SECONDS = 60
VALUES: Object = {
    "replicaCount": 3,
    "config": {"kafka": {"bootstrap_servers": "kafka:9092"}, "triton": {"url": "triton:8001"}},
    "triton": {"mode": "external"},
}
NATIVE = [name for name in NAMES if name != "secured"]  # that one is of kinds that operators bring
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
KINDS = {
    "api/v1": ("configmaps", "pods", "secrets", "serviceaccounts", "services"),
    "apis/apps/v1": ("deployments", "replicasets", "statefulsets"),
    "apis/batch/v1": ("jobs",),
    "apis/policy/v1": ("poddisruptionbudgets",),
    "apis/networking.k8s.io/v1": ("networkpolicies",),
}
T = TypeVar("T")


class Site(NamedTuple):
    """A namespace of our own that takes restricted pods only."""

    api: Api
    helm: Helm
    cluster: Cluster
    is_faked: bool

    def path(self, kind: str, name: str = "", group: str = "api/v1") -> str:
        return f"{group}/namespaces/{self.cluster.namespace}/{kind}{'/' * bool(name)}{name}"

    async def helm_act(self, action: str, values: Object | None = None, **options: Any) -> Any:
        """Raises Refused."""
        if self.is_faked and action != "uninstall":
            options = {"wait": "watcher", "timeout": _SECONDS, **options}
        return await asyncio.to_thread(self.helm.act, self.cluster, action, values, **options)

    async def pods(self) -> list[Object]:
        return await self.api.items(self.path("pods"), labelSelector="app.kubernetes.io/component=service")


def _without(why: str) -> None:
    if "kube" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
        pytest.fail(f"{why}, and INFERSTREAM_REQUIRE says it must be there")
    pytest.skip(why)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """INFERSTREAM_KUBECONFIG's, else CONTROL_PLANE's. KUBECONFIG alone is not taken: slow tests must touch no cluster
    just because a shell is set to it; `make kube` hands it on.
    """
    if given := os.environ.get("INFERSTREAM_KUBECONFIG"):
        yield Path(given)
        return
    try:
        with running(tmp_path_factory.mktemp("kube"), nodes=3) as kubeconfig:
            yield kubeconfig
    except NoControlPlane as error:
        _without(str(error))


@pytest.fixture
async def site(kubeconfig: Path, helm: Helm) -> AsyncIterator[Site]:
    async with connected(kubeconfig) as api:
        name = f"inferstream-{secrets.token_hex(4)}"
        await api.create(
            "api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}},
        )
        nodes = await api.items("api/v1/nodes")
        is_faked = any("kwok.x-k8s.io/node" in node["metadata"].get("annotations", {}) for node in nodes)
        site = Site(api, helm, Cluster(kubeconfig, name), is_faked)
        try:
            await _seen(lambda: api.items(site.path("serviceaccounts")), "the namespace has its service account")
            await _seen(lambda: api.items(site.path("configmaps")), "the namespace has the authority's certificate")
            yield site
        finally:
            await api.delete(f"api/v1/namespaces/{name}")


async def _seen(look: Callable[[], Awaitable[T]], what: str) -> T:
    for _ in range(_SECONDS * 5):
        if found := await look():
            return found
        await asyncio.sleep(0.2)
    pytest.fail(f"not within {_SECONDS} s: {what}")


def _only_faked(site: Site) -> None:
    if not site.is_faked:
        pytest.skip("the pods of this cluster are not faked: they would need an image, Kafka and Triton")


async def test_a_release_is_installed_upgraded_rolled_back_and_taken_away(site: Site) -> None:
    def settings_of(release: Object) -> str:
        text: str = release["data"]["settings.yaml"]
        return text

    config_map = site.path("configmaps", "r-inferstream")
    before = await _everything(site)
    await site.helm_act("install", VALUES)
    first = settings_of(await site.api.get(config_map))
    assert "kafka:9092" in first
    if site.is_faked:
        assert len(await site.pods()) == 3
    old = {pod["metadata"]["name"] for pod in await site.pods()}

    changed = {**VALUES, "config": {**VALUES["config"], "log": {"level": "debug"}}}
    await site.helm_act("upgrade", changed)
    assert "debug" in settings_of(await site.api.get(config_map))
    if site.is_faked:
        names = {pod["metadata"]["name"] for pod in await site.pods() if "deletionTimestamp" not in pod["metadata"]}
        assert not names & old, "changed settings are read at the start only, so every pod is replaced"

    await site.helm_act("rollback", version=1)
    assert settings_of(await site.api.get(config_map)) == first

    await site.helm_act("uninstall", wait="watcher" if site.is_faked else None, timeout=_SECONDS)

    async def is_as_before() -> bool:
        return await _everything(site) == before

    await _seen(is_as_before, "the namespace holds what it held before")


@pytest.fixture
async def scaled_objects(site: Site) -> AsyncIterator[None]:
    """The kind that KEDA brings, without KEDA; never on a cluster that is somebody's."""
    _only_faked(site)
    path, name = "apis/apiextensions.k8s.io/v1/customresourcedefinitions", "scaledobjects.keda.sh"
    shape = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": shape}}
    names = {"plural": "scaledobjects", "singular": "scaledobject", "kind": "ScaledObject"}
    spec = {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    await site.api.create(path, {**kind, "metadata": {"name": name}, "spec": spec})
    try:
        yield
    finally:
        await site.api.delete(f"{path}/{name}")


@pytest.mark.usefixtures("scaled_objects")
async def test_a_release_that_runs_keeps_its_pods_when_an_autoscaler_takes_over(site: Site) -> None:
    """Without a number in the Deployment the server would make it one pod."""
    deployment = site.path("deployments", "r-inferstream", "apis/apps/v1")
    await site.helm_act("install", VALUES)
    scaling = {"mode": "keda", "maxReplicas": 6, "slo": {"prometheusAddress": "http://prometheus:9090"}}
    scaled = {**VALUES, "autoscaling": scaling, "kafka": {"partitions": 6}}
    await site.helm_act("upgrade", scaled)
    assert (await site.api.get(deployment))["spec"]["replicas"] == 3
    await site.helm_act("upgrade", {**scaled, "autoscaling": {**scaling, "minReplicas": 4}})
    assert (await site.api.get(deployment))["spec"]["replicas"] == 4


async def _everything(site: Site) -> set[str]:
    """Names of all objects of the kinds that the chart makes, and of those that follow from them."""
    return {
        f"{kind}/{each['metadata']['name']}"
        for group, kinds in KINDS.items()
        for kind in kinds
        for each in await site.api.items(site.path(kind, group=group))
    }


@pytest.mark.parametrize("name", NATIVE)
async def test_every_example_is_taken_as_it_is_by_the_server(site: Site, name: str) -> None:
    """Warnings of the server, defaults it sets, fields it drops: none of them changes what the chart says."""
    objects = site.helm.render(example(name)).objects
    for found in sorted(objects, key=lambda each: each["kind"] != "ServiceAccount"):  # pods need theirs
        group = found["apiVersion"]
        prefix = f"api/{group}" if group == "v1" else f"apis/{group}"
        kind = found["kind"].lower()
        plural = kind[:-1] + "ies" if kind.endswith("y") else kind + "s"
        found["metadata"].pop("namespace", None)
        path = f"{prefix}/namespaces/{site.cluster.namespace}/{plural}?fieldValidation=Strict"
        taken = await site.api.create(path, found)
        lost = _lost(found.get("spec", {}), taken.get("spec", {}), found["kind"])
        assert lost == []


def _lost(given: Any, taken: Any, path: str) -> list[str]:
    """What the server has not kept; what it adds is its own affair."""
    if isinstance(given, dict):
        pairs = [(value, (taken or {}).get(key), f"{path}.{key}") for key, value in given.items()]
        return [each for value, kept, where in pairs if value not in ({}, []) for each in _lost(value, kept, where)]
    if isinstance(given, list):
        if not isinstance(taken, list) or len(given) > len(taken):
            return [path]
        pairs = [(value, kept, f"{path}[{n}]") for n, (value, kept) in enumerate(zip(given, taken, strict=False))]
        return [each for value, kept, where in pairs for each in _lost(value, kept, where)]
    return [] if str(given) == str(taken) else [f"{path}: {given} became {taken}"]


async def test_a_restricted_namespace_takes_our_pods_and_refuses_careless_ones(site: Site) -> None:
    pod = site.helm.render(VALUES).service
    for name in ("default", "gpu", "service"):
        for _, careful in site.helm.render(example(name)).pods():
            await _try_pod(site, careful)
    pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(ApiError, match=r"violates PodSecurity.*allowPrivilegeEscalation"):
        await _try_pod(site, pod)


async def _try_pod(site: Site, spec: Object) -> None:
    spec = {**spec, "serviceAccountName": "default"}
    new = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": spec}
    await site.api.create(site.path("pods") + "?dryRun=All", new)


async def test_a_quota_is_kept_and_says_so(site: Site) -> None:
    """Requests and limits are all said, else a quota would refuse every pod."""
    await _limit(site, {"requests.cpu": "2", "requests.memory": "3Gi", "limits.memory": "3Gi", "pods": "10"})
    await site.helm_act("install", VALUES, wait=None)

    async def refusals() -> list[Object]:
        events = await site.api.items(site.path("events"))
        return [e for e in events if e["reason"] == "FailedCreate" and "exceeded quota: small" in e["message"]]

    await _seen(refusals, "the third pod is refused")
    assert len(await site.pods()) == 2


async def _limit(site: Site, hard: dict[str, str]) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}
    await site.api.create(site.path("resourcequotas"), quota)

    async def is_counted() -> bool:
        return "used" in (await site.api.get(site.path("resourcequotas", "small"))).get("status", {})

    await _seen(is_counted, "the quota is counted")


async def test_a_drain_takes_one_pod_at_a_time(site: Site) -> None:
    _only_faked(site)
    await site.helm_act("install", VALUES)
    pods = [pod["metadata"]["name"] for pod in await site.pods()]
    budget = site.path("poddisruptionbudgets", "r-inferstream", "apis/policy/v1")

    async def may_go() -> bool:
        return bool((await site.api.get(budget))["status"].get("disruptionsAllowed") == 1)

    await _seen(may_go, "the budget lets one go")
    await _limit(site, {"pods": "2"})  # nobody comes for who is gone
    await _evict(site, pods[0])
    with pytest.raises(ApiError, match="disruption budget") as refused:
        await _evict(site, pods[1])
    assert refused.value.status == 429

    await site.api.delete(site.path("resourcequotas", "small"))
    await _seen(may_go, "another pod has come for the first")
    await _evict(site, pods[1])
    names = {pod["metadata"]["name"] for pod in await site.pods()}
    assert pods[2] in names


async def _evict(site: Site, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    await site.api.create(site.path("pods", f"{name}/eviction"), body)


async def test_the_wrong_value_is_named_and_nothing_is_changed(site: Site) -> None:
    with pytest.raises(Refused, match="replicaCont"):
        await site.helm_act("install", {**VALUES, "replicaCont": 3})
    assert await site.pods() == []
    await site.helm_act("install", VALUES, wait=None)
    with pytest.raises(Refused, match=r"slo_ms.*integer"):
        await site.helm_act("upgrade", {**VALUES, "config": {"pipelines": {"fraud": {"slo_ms": "fast"}}}})
    with pytest.raises(Refused, match=r"these values cannot go together(.|\n)*config.triton.url"):
        await site.helm_act("upgrade", {**VALUES, "config": {}})
    history = await asyncio.to_thread(site.helm.act, site.cluster, "history")
    assert [each["status"] for each in history] == ["deployed"]


async def test_the_check_of_a_release_is_a_pod_that_runs_once(site: Site) -> None:
    _only_faked(site)
    await site.helm_act("install", VALUES)
    await asyncio.to_thread(site.helm.act, site.cluster, "test", timeout=_SECONDS)
    check = await site.api.get(site.path("pods", "r-inferstream-check"))
    assert check["spec"]["containers"][0]["args"] == ["check"]
    assert check["status"]["phase"] == "Succeeded"
