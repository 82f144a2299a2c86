"""Helm in a process of its own, so that what it brings is nobody else's: a question a line, an answer a line, JSON."""

import importlib
import json
import sys
from typing import Any


def main(packages: str, chart: str) -> None:
    """Until the questions end."""
    sys.path.insert(0, packages)
    helm = importlib.import_module("helm_python")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(helm, chart, json.loads(line))) + "\n")
        sys.stdout.flush()


def answer(helm: Any, chart: str, question: dict[str, Any]) -> dict[str, Any]:
    """The rendered files by name, or what Helm says instead; with `lint` what Helm finds."""
    try:
        if version := question.get("lint"):
            return {"errors": helm.lint(chart, question["values"], strict=True, kube_version=version)["errors"]}
        if action := question.get("action"):
            return {"done": act(helm, chart, action, question)}
        where = {"name": question["name"], "namespace": "prod"}
        return {"files": helm.Chart.load(chart).render(question["values"], **where)}
    except helm.HelmError as error:
        return {"refused": str(error)}


def act(helm: Any, chart: str, action: str, question: dict[str, Any]) -> Any:
    """On a cluster: what it has a release do, and what Helm gives back."""
    with helm.Config(kubeconfig_path=question["kubeconfig"], namespace=question["namespace"]) as cluster:
        given = [chart] if action in ("install", "upgrade") else []
        values = [question["values"]] if given else []
        return getattr(cluster, action)(*given, question["name"], *values, **question["options"])


if __name__ == "__main__":
    main(*sys.argv[1:])
