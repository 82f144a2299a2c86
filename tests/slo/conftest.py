"""promtool, the real one: made once per machine with Go."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from inferstream.local.cache import build_once, cache_folder

_VERSION = "0.316.0"  # as a Go module; released as 3.16.0
_MODULE = "github.com/prometheus/prometheus"


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The command. Skips, or fails where INFERSTREAM_REQUIRE names it, without Go."""
    folder = cache_folder() / f"promtool-{_VERSION}"
    if not (folder / ".whole").exists() and shutil.which("go") is None:
        why = "promtool is made with Go, which is not here"
        if "promtool" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
            pytest.fail(f"{why}, and INFERSTREAM_REQUIRE says it must be there")
        pytest.skip(why)
    return build_once(folder, _build) / "promtool"


def _build(target: Path) -> None:
    """In a module of its own: what Prometheus' replaces keeps `go install` from doing it. Without service discovery."""
    package = f"{_MODULE}/cmd/promtool"
    for command in (
        ["go", "mod", "init", "promtool"],
        ["go", "get", f"{package}@v{_VERSION}"],
        ["go", "build", "-tags", "remove_all_sd", "-ldflags", "-s -w", "-o", "promtool", package],
    ):
        done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"promtool could not be made: `{' '.join(command)}`: {done.stderr[-500:]}")
