"""Helm, the real one, and the schemas: fetched once per machine."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.helm.packages import NotInstalled, installed
from tests.helm.rendering import NAMES, Helm, Rendered, example
from tests.helm.schemas import MODULES, CustomKinds, Kinds
from tests.slo.conftest import promtool

__all__ = ["promtool"]


def _without(why: str) -> None:
    if "helm" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
        pytest.fail(f"{why}, and INFERSTREAM_REQUIRE says it must be there")
    pytest.skip(why)


@pytest.fixture(scope="session")
def packages() -> Path:
    """Folder with Helm's library and Kubernetes' schemas. Skips, or fails where INFERSTREAM_REQUIRE names `helm`."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        _without("Helm's library is pinned for Linux on x86-64 only")
    try:
        return installed()
    except NotInstalled as error:
        _without(str(error))
        raise


@pytest.fixture(scope="session")
def helm(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    """One for all tests."""
    running = Helm(packages, tmp_path_factory.mktemp("helm") / "log")
    yield running
    running.close()


@pytest.fixture(params=NAMES)
def rendered(request: pytest.FixtureRequest, helm: Helm) -> Rendered:
    """The chart with no values, and with those of each example."""
    return helm.render(example(request.param))


@pytest.fixture(scope="session")
def kinds(packages: Path) -> Callable[[str], Kinds]:
    """Kubernetes' own kinds by version."""
    known: dict[str, Kinds] = {}
    return lambda version: known.setdefault(version, Kinds(packages, version))


@pytest.fixture(scope="session")
def custom_kinds() -> CustomKinds:
    """Those of the operators; Go fetches their definitions."""
    if shutil.which("go") is None:
        _without("the definitions of custom kinds come as Go modules, and Go is not here")
    files: list[Path] = []
    for module, pattern in MODULES.items():
        done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=False)
        if done.returncode:
            _without(f"{module} cannot be had: {done.stdout[-300:]}{done.stderr[-300:]}")
        files += Path(json.loads(done.stdout)["Dir"]).glob(pattern)
    return CustomKinds(files)
