"""The one error tree. Every message says what is wrong, where, and what to do.

Adapters map foreign exceptions to these at their boundary, so that nothing above an adapter ever sees a
Kafka or gRPC exception. `exit_code` is what the command line ends with when the error reaches it.
"""

from collections.abc import Sequence
from typing import Any


def how_to_install(extra: str) -> str:
    """What to do where an extra is missing. The package is on no index, so it is installed from its clone."""
    return f'pip install ".[{extra}]" in the clone of inferstream'


class InferstreamError(Exception):
    """Something a user or operator can mend; shown as one line, never as a stack trace."""

    exit_code = 1


class SettingsError(InferstreamError):
    """The settings are wrong: an unknown key, a bad value, a task that cannot be loaded."""

    exit_code = 2


class ContractMismatch(InferstreamError):
    """The world does not fit the settings: a missing topic, too few partitions, a model of another shape."""

    exit_code = 3


class Unavailable(InferstreamError):
    """A broker or model server did not answer in the time it was given."""

    exit_code = 4


class LoginRefused(Unavailable):
    """A broker does not let us in: a mistake in the settings at the start, an outage that may heal afterwards."""

    exit_code = 2


class ModelError(InferstreamError):
    """A model did not answer a batch. `cause` is a value of `events.outcome.Cause`: it becomes a metric label."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class RecordsRefused(InferstreamError):
    """The broker takes other records but not these: too large for their topic, as a rule."""

    def __init__(self, message: str, records: Sequence[Any]) -> None:
        super().__init__(message)
        self.records = records
        """The very objects that were handed over."""


class Fenced(InferstreamError):
    """Another process is the writer of our partition now: we were away for longer than the group waits."""

    exit_code = 4
