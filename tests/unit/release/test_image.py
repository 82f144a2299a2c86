"""The build stage of the image, run line by line in a folder where no engine is: what it makes starts and is bare."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from release import wheel
from release.locks import ROOT, RUNTIME, pins

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_DOCKERFILE = ROOT / "service" / "Dockerfile"


def runs(stage: str) -> list[str]:
    """The shell commands of a stage's RUN lines."""
    return [run.replace("\\\n", " ") for run in re.findall(r"^RUN ((?:.*\\\n)*.*)$", stage, re.MULTILINE)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for the root of the build stage, after its last line."""
    root = tmp_path_factory.mktemp("image")
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    wheel.build(ROOT, root / "dist")
    with tarfile.open(next((root / "dist").glob("*.tar.gz"))) as archive:
        archive.extractall(root, filter="data")
    (source,) = root.glob("inferstream-*")
    stage = _DOCKERFILE.read_text().partition("\nFROM ")[2].partition("\nFROM ")[0]
    environ = {**os.environ, "PATH": f"{root / 'bin'}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for command in runs(stage):
        here = re.sub(r"(?<![\w.])/(build|opt|wheels)\b", rf"{root}/\1", command)
        subprocess.run(["sh", "-euc", here], cwd=source, env=environ, check=True, capture_output=True)
    return root


def test_it_has_the_runtime_lock_and_the_service_and_no_installer(image: Path) -> None:
    python = image / "opt" / "inferstream" / "bin" / "python"
    names = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    done = subprocess.run([python, "-I", "-c", names], capture_output=True, text=True, check=True)
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in done.stdout.split()}
    assert "inferstream" in installed
    assert installed - {"inferstream"} <= {pin.name for pin in pins(RUNTIME)}
    assert not {"pip", "setuptools", "wheel", "hatchling"} & installed


def test_the_service_in_it_starts(image: Path) -> None:
    command = image / "opt" / "inferstream" / "bin" / "inferstream"
    done = subprocess.run([command, "settings"], cwd=image, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bootstrap_servers" in done.stdout


def test_it_carries_its_bill_of_materials(image: Path) -> None:
    (found,) = (image / "opt").rglob("*.dist-info/sboms/*.cdx.json")
    assert found.read_bytes() == (ROOT / "service" / "locks" / "inferstream.cdx.json").read_bytes()
