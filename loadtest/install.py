"""Installs peers, each in an environment of its own and only once: what they need must not meet what we need."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.errors import ContestantUnavailable
from loadtest.processes import ROOT

_ENVIRONMENTS = ROOT / ".venv-peers"
_BUILT = ("target", "build", "node_modules", "__pycache__")
_MINUTES = 20


def install(name: str, folder: Path, requirements: Path | None, build: Sequence[str] | None) -> Path:
    """The Python to start a peer with, after its environment and build are made. Raises ContestantUnavailable."""
    python = Path(sys.executable)
    if requirements is not None:
        environment = _ENVIRONMENTS / name
        python = environment / "bin" / "python"
        commands = [
            [sys.executable, "-m", "venv", "--clear", str(environment)],
            [
                *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--require-hashes", "--no-deps", "-r", str(requirements)),
            ],
        ]
        _once(name, environment / ".made", [requirements], commands)
    if build is not None:
        sources = [file for file in sorted(folder.rglob("*")) if file.is_file() and not _is_built(file, folder)]
        _once(name, _ENVIRONMENTS / f"{name}.built", sources, [build])
    return python


def _is_built(file: Path, folder: Path) -> bool:
    return any(part in _BUILT for part in file.relative_to(folder).parts)


def _once(name: str, stamp: Path, sources: Sequence[Path], commands: Sequence[Sequence[str]]) -> None:
    """Run the commands unless they have run for these sources already."""
    digest = hashlib.sha256(sys.version.encode())
    for source in sources:
        digest.update(source.name.encode() + source.read_bytes())
    if stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return
    for command in commands:
        _run(name, command)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest.hexdigest())


def _run(name: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=_MINUTES * 60,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContestantUnavailable(f"{name} cannot be installed: {error}") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
        raise ContestantUnavailable(f"{name} cannot be installed: {command[0]} says: {said[-1]}")
