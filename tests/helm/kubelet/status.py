"""What the API server is told of a pod. Pure."""

from collections.abc import Sequence

from tests.helm.api import Object
from tests.helm.kubelet.container import Container
from tests.helm.kubelet.pod import Pod


def status(pod: Pod, host: str, now: str) -> Object:
    """The status of a pod now."""
    initialized = all(each.started.is_set() if each in pod.sidecars else each.exit_code == 0 for each in pod.initial)
    is_ready = initialized and all(each.is_ready for each in (*pod.sidecars, *pod.main))
    values = {"Initialized": initialized, "ContainersReady": is_ready, "Ready": is_ready}
    return {
        "phase": phase(pod),
        "hostIP": host,
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "conditions": _conditions(pod.pod.get("status", {}).get("conditions", []), values, now),
        "initContainerStatuses": [each.status() for each in pod.initial],
        "containerStatuses": [each.status() for each in pod.main],
    }


def phase(pod: Pod) -> str:
    """Pending, Running, Succeeded or Failed."""
    codes = [each.exit_code for each in pod.main]
    if pod.has_failed_to_start:
        return "Failed"
    if all(code is not None for code in codes):
        return "Failed" if any(codes) else "Succeeded"
    return "Running" if any(_was_started(each) for each in pod.main) else "Pending"


def _was_started(container: Container) -> bool:
    return "running" in container.state or container.exit_code is not None or container.restarts > 0


def _conditions(before: Sequence[Object], values: dict[str, bool], now: str) -> list[Object]:
    """Those of others stay; of ours it is kept since when they are what they are."""
    kept = [each for each in before if each["type"] not in values]
    old = {each["type"]: each for each in before}
    for name, value in values.items():
        said = str(value)
        since = old[name]["lastTransitionTime"] if name in old and old[name]["status"] == said else now
        kept.append({"type": name, "status": said, "lastTransitionTime": since})
    return kept
