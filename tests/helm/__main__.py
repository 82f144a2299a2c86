"""Writes what the chart renders, by default and with each example, for tools that read manifests: … FOLDER."""

import sys
from pathlib import Path

import yaml
from tests.helm.packages import installed
from tests.helm.rendering import NAMES, Helm, example


def write(folder: Path) -> None:
    """One file for each example."""
    folder.mkdir(parents=True, exist_ok=True)
    helm = Helm(installed(), folder / "helm.log")
    try:
        for name in NAMES:
            (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(helm.render(example(name)).objects))
    finally:
        helm.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
