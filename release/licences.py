"""Which licence each dependency has, and whether it may be shipped."""

import re
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

_RULES = Path(__file__).with_name("licences.toml")


class Rules(NamedTuple):
    """Licences that may be shipped, and those that a person read for packages that state no expression, by name."""

    allowed: frozenset[str]
    stated: Mapping[str, str]


def rules() -> Rules:
    """What licences.toml says."""
    read = tomllib.loads(_RULES.read_text())
    return Rules(frozenset(read["allowed"]), read["stated"])


def declared(name: str) -> str | None:
    """The SPDX expression in the installed package's metadata; None where it has none, or is not installed here."""
    try:
        found = metadata.metadata(name).get_all("License-Expression")
    except metadata.PackageNotFoundError:
        return None
    return found[0] if found else None


def complaints(bill: Mapping[str, Any], by: Rules) -> list[str]:
    """What is wrong with the licences in a bill of materials; a line each, naming the package."""
    found, used = [], set()
    for component in bill["components"]:
        name, given = component["name"], component.get("licenses", [])
        if not given:
            found.append(f"{name} {component['version']}: no licence is known; read it, and state it in licences.toml")
            continue
        if given[0]["acknowledgement"] == "concluded":
            used.add(name)
        if forbidden := _named(given[0]["expression"]) - by.allowed:
            listed = ", ".join(sorted(forbidden))
            found.append(
                f"{name} {component['version']}: {listed} may not be shipped; replace it, or allow the licence"
            )
    found += [
        f"{name}: stated in licences.toml for nothing; remove it there" for name in sorted(by.stated.keys() - used)
    ]
    return found


def _named(expression: str) -> set[str]:
    """Every licence of an SPDX expression; one WITH an exception is one of its own."""
    return {term for part in re.split(r"\bAND\b|\bOR\b|[()]", expression) if (term := part.strip())}
