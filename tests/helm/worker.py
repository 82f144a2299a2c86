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
        where = {"name": question["name"], "namespace": "prod"}
        return {"files": helm.Chart.load(chart).render(question["values"], **where)}
    except helm.HelmError as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    main(*sys.argv[1:])
