"""What can go wrong with a measurement. Each is one line for the user; none leaves half-true figures behind."""

import difflib
from collections.abc import Iterable

from inferstream.errors import InferstreamError


class LoadTestError(InferstreamError):
    """A run could not be made; says what, where, and what to do."""


class ScenarioError(LoadTestError):
    """A scenario file, or what is asked of a scenario or for whom, is wrong."""

    exit_code = 2


class ContestantUnavailable(LoadTestError):
    """A contestant cannot be installed, started or used here."""

    exit_code = 4


class AccountingError(LoadTestError):
    """The books do not balance: a figure made of them would be a lie."""

    exit_code = 5


def hint(given: str, known: Iterable[str]) -> str:
    """The nearest right name, or all there are."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(names)}"
