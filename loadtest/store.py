"""The file of results: figures together with the machine and the commands they come from."""

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.calibration import Calibration
from loadtest.errors import ScenarioError
from loadtest.result import Run

_SLOS_MS = (20, 50, 100)


def machine() -> dict[str, Any]:
    """What figures depend on. To be asked before anything is started."""
    found = re.search(r"model name\s*: (.+)", _read("/proc/cpuinfo"))
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": found[1] if found else platform.machine(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def document(
    machine: Mapping[str, Any],
    commands: Sequence[str],
    calibration: Calibration | None,
    runs: Sequence[Run],
    *,
    grids: Mapping[str, Any] | None = None,
    unavailable: Mapping[str, str] | None = None,
    failed: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The whole file."""
    return {
        "machine": machine,
        "commands": list(commands),
        "calibration": None if calibration is None else _explained(calibration),
        "grids": dict(grids or {}),
        "unavailable": dict(unavailable or {}),
        "failed": list(failed),
        "runs": list(runs),
    }


def prepare(folder: Path) -> None:
    """The folder is there and can be written to. Raises ScenarioError, so that nothing is measured in vain."""
    trial = folder / "results.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ScenarioError(f"--out {folder} cannot be written to: {error.strerror}") from None


def save(folder: Path, content: Mapping[str, Any]) -> Path:
    """`results.json` in the folder, written whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "results.json"
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(file)
    return file


def _explained(calibration: Calibration) -> dict[str, Any]:
    capacity = {str(slo_ms): round(calibration.capacity_per_s(slo_ms), 1) for slo_ms in _SLOS_MS}
    return {
        "alpha_ms": round(calibration.alpha_ms, 4),
        "beta_ms": round(calibration.beta_ms, 5),
        "capacity_per_s": capacity,
    }


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:
        return ""
