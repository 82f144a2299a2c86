"""A dependency that may not be shipped is named."""

from typing import Any

import pytest
from release.licences import Rules, complaints

RULES = Rules(frozenset({"MIT", "Apache-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"}), {})


def bill(expression: str | None, acknowledgement: str = "declared") -> dict[str, Any]:
    licence = (
        {} if expression is None else {"licenses": [{"expression": expression, "acknowledgement": acknowledgement}]}
    )
    return {"components": [{"name": "thing", "version": "1.0", **licence}]}


@pytest.mark.parametrize(
    "expression",
    ["MIT", "MIT AND Apache-2.0", "(MIT OR Apache-2.0) AND MIT", "GPL-2.0-only WITH Classpath-exception-2.0"],
)
def test_allowed_ones_pass(expression: str) -> None:
    assert complaints(bill(expression), RULES) == []


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("AGPL-3.0-only", "AGPL-3.0-only"),
        ("MIT AND (Apache-2.0 OR SSPL-1.0)", "SSPL-1.0"),
        ("GPL-2.0-only", "GPL-2.0-only"),
        ("GPL-3.0-only OR AGPL-3.0-only", "AGPL-3.0-only, GPL-3.0-only"),
    ],
)
def test_others_are_refused_by_name(expression: str, named: str) -> None:
    (line,) = complaints(bill(expression), RULES)
    assert line.startswith(f"thing 1.0: {named} may not be shipped")


def test_one_without_a_licence_is_refused_by_name() -> None:
    (line,) = complaints(bill(None), RULES)
    assert line.startswith("thing 1.0: no licence is known")


def test_what_a_person_read_goes_once_the_package_says_it_itself() -> None:
    stated = RULES._replace(stated={"thing": "MIT"})
    assert complaints(bill("MIT", "concluded"), stated) == []
    assert complaints(bill("MIT", "declared"), stated) == [
        "thing: stated in licences.toml for nothing; remove it there"
    ]
