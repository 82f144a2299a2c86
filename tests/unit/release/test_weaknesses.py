"""What is made of the vulnerability service's answers: as pip-audit 2.10 gives them."""

from datetime import date
from typing import Any

import pytest
from release.weaknesses import Accepted, Unanswered, accepted, complaints

TODAY = date(2026, 11, 26)
USERS = {("thing", "1.0"): ["service/locks/runtime.txt"], ("other", "2.0"): ["service/locks/dev.txt"]}
WEAK = {"id": "PYSEC-2026-7", "aliases": ["CVE-2026-1234"], "fix_versions": ["1.1"], "description": "Bad."}


def answers(*weaknesses: dict[str, Any]) -> list[dict[str, Any]]:
    other = {"name": "other", "version": "2.0", "vulns": []}
    return [{"name": "thing", "version": "1.0", "vulns": list(weaknesses)}, other]


def test_nothing_known_is_nothing_to_see_to() -> None:
    assert complaints(USERS, answers(), [], TODAY) == []


def test_a_weakness_is_named_with_the_lock_and_the_version_that_mends_it() -> None:
    assert complaints(USERS, answers(WEAK), [], TODAY) == [
        "thing 1.0: PYSEC-2026-7, CVE-2026-1234, mended in 1.1; pinned by service/locks/runtime.txt"
    ]


def test_what_could_not_be_looked_up_is_a_failure() -> None:
    skipped = [answers()[0], {"name": "other", "skip_reason": "Dependency not found on PyPI"}]
    assert complaints(USERS, skipped, [], TODAY) == ["other 2.0: the service could not look it up"]
    assert complaints(USERS, answers()[:1], [], TODAY) == ["other 2.0: the service could not look it up"]


def test_a_service_that_knows_of_nothing_was_not_reached() -> None:
    skipped = [{"name": name, "skip_reason": "Dependency not found on PyPI"} for name, _ in USERS]
    with pytest.raises(Unanswered, match="knew of none of 2 packages"):
        complaints(USERS, skipped, [], TODAY)


@pytest.mark.parametrize("named", ["PYSEC-2026-7", "CVE-2026-1234"])
def test_an_accepted_weakness_passes_until_its_day(named: str) -> None:
    known = [Accepted("thing", named, "only its server is affected", expires=TODAY)]
    assert complaints(USERS, answers(WEAK), known, TODAY) == []
    (line,) = complaints(USERS, answers(WEAK), known, date(2026, 11, 27))
    assert line == f"accepted {named} of thing: only until 2026-11-26; decide anew"


def test_an_acceptance_covers_its_own_package_and_weakness_alone() -> None:
    known = [
        Accepted("other", "PYSEC-2026-7", "read", date(2027, 1, 1)),
        Accepted("thing", "X", "read", date(2027, 1, 1)),
    ]
    lines = complaints(USERS, answers(WEAK), known, TODAY)
    assert [line.split(":")[0] for line in lines] == [
        "thing 1.0",
        "accepted PYSEC-2026-7 of other",
        "accepted X of thing",
    ]


def test_what_is_accepted_here_has_a_reason_and_a_day() -> None:
    for entry in accepted():
        assert entry.reason
        assert isinstance(entry.expires, date)
