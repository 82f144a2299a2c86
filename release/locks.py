"""Reads the locks: what is pinned, to which version, with which hashes."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RUNTIME = ROOT / "service" / "locks" / "runtime.txt"
_FOLDERS = ("service/locks", "tests/helm", "loadtest/peers")
_PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[[^]]*])?==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>.+?))?\s+--hash")


class Pin(NamedTuple):
    """One line of a lock. `marker` says on which machines it holds, and is empty where it does on all of them."""

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]


def pins(lock: Path) -> list[Pin]:
    """All that `lock` pins, in its order. ValueError for a line that pins nothing, or that no hash follows."""
    found = []
    for line in lock.read_text().replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin, hashes = _PIN.match(line), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
        if pin is None or not hashes:
            raise ValueError(f"{lock.name}: {line[:60].strip()!r} must be NAME==VERSION with hashes; resolve it anew")
        name = re.sub(r"[-_.]+", "-", pin["name"]).lower()
        found.append(Pin(name, pin["version"], pin["marker"] or "", tuple(sorted(hashes))))
    return found


def all_locks() -> list[Path]:
    """Every lock of the repository: the service's, and those of tests and peers."""
    found = (path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.txt"))
    return sorted(path for path in found if "--hash=sha256:" in path.read_text())
