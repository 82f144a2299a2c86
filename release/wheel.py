"""Builds the wheel and the sdist twice and compares them: python -m release.wheel FOLDER.

The second build is of the unpacked sdist, in another folder, time zone and umask, from files of another age. What
differs then would make it impossible to check a published wheel by building it.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from release.locks import ROOT


class BuildError(Exception):
    """It does not build, or not twice the same."""


def build(
    source: Path, into: Path, *, umask: int = 0o022, environ: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """Wheel and sdist of `source`, by file name; they are left in `into`. The date in them is SOURCE_DATE_EPOCH's, or
    else hatchling's fixed one. Raises BuildError.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into)]
    surroundings = {**os.environ, **(environ or {})}
    done = subprocess.run(
        command, cwd=source, umask=umask, env=surroundings, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{source.name} does not build: {done.stderr[-500:].strip()}")
    return {path.name: path.read_bytes() for path in sorted(into.iterdir())}


def build_twice(into: Path) -> dict[str, bytes]:
    """Wheel and sdist of this tree, left in `into`, which must be empty. BuildError if a second build differs."""
    into.mkdir(parents=True, exist_ok=True)
    if left := sorted(path.name for path in into.iterdir()):
        raise BuildError(f"{into} must be empty, and has {left[0]}: empty it, or name another folder")
    first = build(ROOT, into)
    with tempfile.TemporaryDirectory() as folder:
        source = _unpacked(next(into.glob("*.tar.gz")), Path(folder))
        elsewhere = {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
        second = build(source, Path(folder) / "again", umask=0o077, environ=elsewhere)
    compare(first, second)
    return first


def compare(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> None:
    """Raises BuildError, naming the files that are not in both builds, or not the same."""
    if differing := sorted(name for name in {*first, *second} if first.get(name) != second.get(name)):
        raise BuildError(f"built twice, these differ: {', '.join(differing)}")


def _unpacked(sdist: Path, into: Path) -> Path:
    """The folder in `sdist`, its files of this moment."""
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    (source,) = into.iterdir()
    for path in source.rglob("*"):
        os.utime(path)
    return source


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m release.wheel FOLDER")
    try:
        made = build_twice(Path(sys.argv[1]))
    except BuildError as error:
        sys.exit(str(error))
    for name, content in made.items():
        print(f"{sha256(content).hexdigest()}  {name}")
    print(f"built twice in two places: {len(made)} of {len(made)} files are the same")
