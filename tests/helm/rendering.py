"""The chart as Helm renders it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from inferstream.settings import Settings, load

CHART = Path(__file__).parents[2] / "helm" / "inferstream"
EXAMPLES = sorted(CHART.glob("ci/*-values.yaml"))
Object = dict[str, Any]
_END_SECONDS = 3.0


def example(name: str) -> Object:
    """Values of `ci/`; of the name `default` none."""
    found: Object = {} if name == "default" else yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return found


NAMES = ["default", *(file.name.removesuffix("-values.yaml") for file in EXAMPLES)]


class Rendered:
    """All objects of one rendering."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        texts = [text for name, text in files.items() if not name.endswith(".txt")]
        self.objects: list[Object] = [found for text in texts for found in yaml.safe_load_all(text) if found]

    def of(self, kind: str) -> list[Object]:
        """All of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, ending: str = "inferstream") -> Object:
        """The only one of that kind whose name ends so."""
        (found,) = [found for found in self.of(kind) if found["metadata"]["name"].endswith(ending)]
        return found

    @property
    def workload(self) -> Object:
        """The service's Deployment or StatefulSet."""
        (found,) = [f for f in self.of("Deployment") + self.of("StatefulSet") if component(f) == "service"]
        return found

    @property
    def service(self) -> Object:
        """Its pod."""
        pod: Object = self.workload["spec"]["template"]["spec"]
        return pod

    def pods(self) -> Iterator[tuple[Object, Object]]:
        """Metadata and specification of every pod there may be."""
        for found in self.objects:
            if found["kind"] == "Pod":
                yield found["metadata"], found["spec"]
            elif found["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield found["spec"]["template"]["metadata"], found["spec"]["template"]["spec"]

    @cached_property
    def settings_text(self) -> str:
        """The file that the service reads."""
        (text,) = [f["data"]["settings.yaml"] for f in self.of("ConfigMap") if "settings.yaml" in f["data"]]
        return str(text)

    def settings(self, folder: Path) -> Settings:
        """What the service makes of it and of its variables, secrets filled in."""
        file = folder / "settings.yaml"
        file.write_text(self.settings_text)
        env = self.service["containers"][0]["env"]
        environ = {each["name"]: each.get("value") or _filled_in(each["valueFrom"]) for each in env}
        return load(file, {name: value for name, value in environ.items() if name.startswith("INFERSTREAM__")})


def _filled_in(source: Object) -> str:
    return "r-inferstream-0" if "fieldRef" in source else "name=secret"


def component(found: Object) -> str:
    """What an object or pod is part of."""
    labels = found.get("metadata", found).get("labels", {})
    return str(labels.get("app.kubernetes.io/component", ""))


def containers(pod: Object) -> list[Object]:
    """Those that start the pod too."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def container(pod: Object, name: str) -> Object:
    """The one of that name."""
    (found,) = [each for each in containers(pod) if each["name"] == name]
    return found


class Cluster(NamedTuple):
    """Where a release is, on a real API server."""

    kubeconfig: Path
    namespace: str
    release: str = "r"


class Refused(Exception):
    """What Helm says instead of rendering."""


class Helm:
    """Helm, from its library at `packages`."""

    def __init__(self, packages: Path, log: Path) -> None:
        command = [sys.executable, "-I", str(Path(__file__).with_name("worker.py")), str(packages), str(CHART)]
        self._log = log
        with log.open("w") as to:
            self._worker = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=to, text=True
            )

    def render(self, values: Object, name: str = "r") -> Rendered:
        """Raises Refused."""
        said = self._ask({"values": values, "name": name})
        if "refused" in said:
            raise Refused(said["refused"])
        return Rendered(said["files"])

    def lint(self, values: Object, kube_version: str) -> list[str]:
        """What a strict `helm lint` finds, what the chart itself refuses too: the linter only logs that."""
        before = len(self._log.read_text().splitlines())
        errors = list(self._ask({"lint": kube_version, "values": values})["errors"])
        logged = self._log.read_text().splitlines()[before:]
        return errors + [line for line in logged if "fail message=" in line]

    def act(self, cluster: Cluster, action: str, values: Object | None = None, **options: Any) -> Any:
        """`install`, `upgrade`, `rollback`, `uninstall` … the release. Blocks. Raises Refused."""
        where = {"kubeconfig": str(cluster.kubeconfig), "namespace": cluster.namespace, "name": cluster.release}
        said = self._ask({"action": action, "values": values, "options": options, **where})
        if "refused" in said:
            raise Refused(said["refused"])
        return said["done"]

    def close(self) -> None:
        """End it, whatever it does."""
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.close()
        try:
            self._worker.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # it waits for a cluster
            self._worker.kill()
            self._worker.wait()
        self._worker.stdout.close()

    def _ask(self, question: Object) -> Object:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps(question) + "\n")
        self._worker.stdin.flush()
        line = self._worker.stdout.readline()
        if not line:
            raise RuntimeError(f"Helm ended: {self._log.read_text()[-500:]}")
        said: Object = json.loads(line)
        return said
