"""Known weaknesses of what the locks pin, as pip-audit is told of them, less those that are accepted for a while.

What could not be looked up is a failure here, where pip-audit says that nothing was found: an audit that saw nothing is
no audit.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from release.locks import ROOT, pins

_ACCEPTED = Path(__file__).with_name("accepted.toml")
_PIP_AUDIT = (
    sys.executable,
    "-m",
    "pip_audit",
    "--disable-pip",
    "--no-deps",
    "--progress-spinner=off",
    "--format=json",
)

Package = tuple[str, str]  # name and version
Users = Mapping[Package, Sequence[str]]  # the locks that pin each package


class Unanswered(Exception):
    """The vulnerability service could not be asked."""


class Accepted(NamedTuple):
    """A weakness that does not matter here, until the day `expires`; `id` is any name the service has for it."""

    package: str
    id: str
    reason: str
    expires: date


def accepted() -> list[Accepted]:
    """What accepted.toml says. TypeError for an entry that lacks something, or has something else."""
    return [Accepted(**entry) for entry in tomllib.loads(_ACCEPTED.read_text()).get("accepted", [])]


def packages(locks: Iterable[Path]) -> Users:
    """Every package of every lock, for whatever machine, with the locks it is in."""
    users: dict[Package, list[str]] = {}
    for lock in locks:
        for pin in pins(lock):
            users.setdefault((pin.name, pin.version), []).append(lock.relative_to(ROOT).as_posix())
    return users


def ask(wanted: Iterable[Package], options: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What the service says of each package. `options` are pip-audit's, as `-s osv`. Raises Unanswered."""
    answers = []
    for batch in _one_version_each(wanted):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
            listed.writelines(f"{name}=={version}\n" for name, version in batch)
            listed.flush()
            command = [*_PIP_AUDIT, *options, "-r", listed.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            answers += json.loads(done.stdout)["dependencies"]
        except ValueError:
            last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
            raise Unanswered(f"the vulnerability service gave no answer: {last}") from None
    return answers


def _one_version_each(wanted: Iterable[Package]) -> list[list[Package]]:
    """The packages in lists that pip-audit takes: it refuses two versions of one package together."""
    batches: list[dict[str, str]] = []
    for name, version in sorted(wanted):
        batch = next((batch for batch in batches if name not in batch), None)
        if batch is None:
            batches.append(batch := {})
        batch[name] = version
    return [list(batch.items()) for batch in batches]


def complaints(users: Users, answers: Iterable[dict[str, Any]], known: Iterable[Accepted], today: date) -> list[str]:
    """What must be seen to, a line each. Raises Unanswered where the service knew of no package at all."""
    answered = {(answer["name"], answer["version"]): answer["vulns"] for answer in answers if "version" in answer}
    if not answered:
        raise Unanswered(
            f"the vulnerability service knew of none of {len(users)} packages: it was not reached. "
            "The index that pip is set to is asked; `-s osv` asks osv.dev instead"
        )
    found = [f"{name} {version}: the service could not look it up" for name, version in sorted(users.keys() - answered)]
    unused = {entry: f"accepted {entry.id} of {entry.package}: no lock has it any more; remove it" for entry in known}
    for package, weaknesses in sorted(answered.items()):
        for weakness in weaknesses:
            entry = next((entry for entry in unused if _covers(entry, package, weakness)), None)
            if entry is None:
                found.append(_described(package, weakness, users[package]))
            elif entry.expires < today:
                unused[entry] = f"accepted {entry.id} of {entry.package}: only until {entry.expires}; decide anew"
            else:
                unused[entry] = ""
    return found + [line for line in unused.values() if line]


def _covers(entry: Accepted, package: Package, weakness: Mapping[str, Any]) -> bool:
    return entry.package == package[0] and entry.id in (weakness["id"], *weakness["aliases"])


def _described(package: Package, weakness: Mapping[str, Any], locks: Sequence[str]) -> str:
    names = ", ".join((weakness["id"], *weakness["aliases"]))
    mended = f"mended in {' or '.join(weakness['fix_versions'])}" if weakness["fix_versions"] else "not mended yet"
    return f"{package[0]} {package[1]}: {names}, {mended}; pinned by {', '.join(locks)}"
