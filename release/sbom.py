"""The bill of materials of what the service is installed with, in CycloneDX: python -m release.sbom writes it.

Made of the runtime lock and of what the packages say of themselves. It has neither a time nor a serial number, so that
the same lock gives the same bytes; the wheel carries it (PEP 770).
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import licences
from release.locks import ROOT, RUNTIME, Pin, pins

BILL = ROOT / "service" / "locks" / "inferstream.cdx.json"


def text() -> str:
    """The bill as the file holds it."""
    return json.dumps(bill(), indent=1) + "\n"


def read() -> dict[str, Any]:
    """The bill that the file holds."""
    found: dict[str, Any] = json.loads(BILL.read_text())
    return found


def bill() -> dict[str, Any]:
    """The bill of the runtime lock. The packages' licences and needs are those of the versions installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins(RUNTIME)
    stated = licences.rules().stated
    itself: dict[str, Any] = {
        **_identity("application", project["name"], project["version"]),
        "licenses": [{"expression": project["license"], "acknowledgement": "declared"}],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"lifecycles": [{"phase": "pre-build"}], "component": itself},
        "components": [_component(pin, stated.get(pin.name)) for pin in locked],
        "dependencies": _graph(itself, project["dependencies"], locked),
    }


def _identity(kind: str, name: str, version: str) -> dict[str, str]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _component(pin: Pin, stated: str | None) -> dict[str, Any]:
    """One dependency. Its hashes are those of every file it may be installed from, one for each machine."""
    part: dict[str, Any] = _identity("library", pin.name, pin.version)
    if declared := licences.declared(pin.name):
        part["licenses"] = [{"expression": declared, "acknowledgement": "declared"}]
    elif stated:
        part["licenses"] = [{"expression": stated, "acknowledgement": "concluded"}]
    hashes = [{"alg": "SHA-256", "content": digest} for digest in pin.sha256]
    part["externalReferences"] = [{"type": "distribution", "url": part["purl"], "hashes": hashes}]
    if pin.marker:
        part["properties"] = [{"name": "inferstream:only-where", "value": pin.marker}]
    return part


def _graph(root: Mapping[str, str], needed: Iterable[str], locked: Iterable[Pin]) -> list[dict[str, Any]]:
    """What needs what, for any machine: of a requirement's marker only the extras count."""
    refs = {root["name"]: [root["bom-ref"]]}
    for pin in locked:
        refs.setdefault(pin.name, []).append(f"pkg:pypi/{pin.name}@{pin.version}")
    needs: dict[str, set[str]] = {name: set() for name in refs}
    extras: dict[str, set[str]] = {}  # those of each package that anything asks for
    waiting = [(root["name"], Requirement(line)) for line in needed]
    while waiting:
        user, requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in refs:
            continue  # needed on an older Python, or so, than those the lock is for
        needs[user].add(name)
        if name not in extras or requirement.extras - extras[name]:
            extras[name] = extras.get(name, set()) | requirement.extras
            waiting += [(name, line) for line in _requirements(name, extras[name])]
    return [
        {"ref": ref, "dependsOn": sorted(other for need in needs[name] for other in refs[need])}
        for name in sorted(refs)
        for ref in refs[name]
    ]


def _requirements(name: str, extras: set[str]) -> list[Requirement]:
    """What the installed package of this name requires, without and with those extras."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    found = [Requirement(line) for line in lines]
    of_extras = {line: set(re.findall(r'extra == "([^"]+)"', str(line.marker))) for line in found}
    return [line for line in found if not of_extras[line] or of_extras[line] & extras]


if __name__ == "__main__":
    BILL.write_text(text())
    print(f"{BILL.relative_to(ROOT)}: {len(json.loads(BILL.read_text())['components'])} components")
