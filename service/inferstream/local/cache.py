"""What is expensive to make is made once per machine, in the user's cache."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/inferstream`, by default under the home folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "inferstream"


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """`target`, made by `build` if it is not there whole. Safe against an interrupt and against a second process."""
    whole = target / ".whole"
    if whole.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(target.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if whole.exists():
            return target
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        build(target)
        whole.touch()
    return target
