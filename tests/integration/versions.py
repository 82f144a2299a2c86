"""A model repository of its own with several versions of the fraud model, sound and broken, and the commands on it."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.conftest import Bench

from inferstream.local.stack import shipped_models
from inferstream.operate.site import opened

SOUND, OTHER, NAN, BROKEN = "1", "2", "3", "4"
"""The shipped model; another sound one (the student); one whose answers are no numbers; one that does not load."""


def repository(folder: Path) -> Path:
    """Version 1 is served from the start, whatever else is there."""
    models = shipped_models()
    shutil.copytree(models / "fraud", folder / "fraud", ignore=shutil.ignore_patterns("__pycache__"))
    own = folder / "fraud"
    with (own / "config.pbtxt").open("a") as config:
        config.write("version_policy { specific { versions: 1 } }\n")
    for version in (OTHER, NAN, BROKEN):
        shutil.copytree(own / SOUND, own / version)
    shutil.copy(models / "fraud_student" / "1" / "model.onnx", own / OTHER / "model.onnx")
    _change(own / NAN, "self.run(joined)", "[np.full((len(joined[0]), 1), np.nan, 'f4')]")
    _change(
        own / BROKEN,
        "options = onnxruntime",
        "raise RuntimeError('its weights are missing')\n    options = onnxruntime",
    )
    return folder


def _change(version: Path, before: str, after: str) -> None:
    code = (version / "model.py").read_text()
    assert before in code
    (version / "model.py").write_text(code.replace(before, after, 1))


class Done:
    """What a command said; its exit code."""

    def __init__(self, process: "subprocess.CompletedProcess[str]") -> None:
        self.code = process.returncode
        self.out, self.errors = process.stdout, process.stderr

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON."""
        document: dict[str, Any] = json.loads(self.out)
        return document


async def models(bench: Bench, *arguments: str, **environ: str) -> Done:
    """`inferstream models …` with the settings of the bench."""

    def run() -> Done:
        # At low priority, since elsewhere it runs on another machine than the service.
        command = ["nice", "-n", "15", sys.executable, "-m", "inferstream", "models", *arguments]
        env = {**bench.environ, **environ}
        return Done(subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False))

    return await asyncio.to_thread(run)


async def state(bench: Bench) -> tuple[list[str], str]:
    """What the endpoint serves, and what is pinned."""
    async with opened(bench.settings, None) as site:
        (served,) = (await site.served()).values()
        return served, (await site.pin()).version
