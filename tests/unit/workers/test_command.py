"""`inferstream run` with and without workers."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from inferstream.cli import app
from inferstream.settings import Settings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a command would have started: a number of workers, or the service itself."""
    seen: list[object] = []

    async def supervise(_: Settings, count: int, command: Sequence[str]) -> int:
        seen.append(count)
        return 0

    class App:
        def __init__(self, settings: Settings) -> None:
            pass

        async def run(self) -> int:
            seen.append("service")
            return 0

    monkeypatch.setattr("inferstream.workers.supervisor.supervise", supervise)
    monkeypatch.setattr("inferstream.app.App", App)
    return seen


def test_one_worker_is_the_service_in_one_process(started: list[object]) -> None:
    assert CliRunner().invoke(app, ["run"]).exit_code == 0
    assert started == ["service"]


def test_the_option_goes_over_the_setting(started: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERSTREAM__WORKERS", "3")
    for arguments in ([], ["--workers", "2"], ["--workers", "1"]):
        assert CliRunner().invoke(app, ["run", *arguments]).exit_code == 0
    assert started == [3, 2, "service"]


def test_no_workers_are_too_few(started: list[object]) -> None:
    assert CliRunner().invoke(app, ["run", "--workers", "0"]).exit_code == 2
    assert started == []


def test_the_help_tells_of_workers_and_not_of_how_they_are_started() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"]).output.split()
    assert "--workers" in shown
    assert "--worker" not in shown


def test_the_parent_loads_nothing_of_the_data_path() -> None:
    code = "import sys, inferstream.workers.supervisor; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"aiokafka", "grpc", "onnxruntime", "numpy"} & set(loaded) == set()
    assert "aiohttp" in loaded
