"""What happened, in order: shown when a seed fails, and hashed to prove that a seed runs the same way twice."""

from hashlib import blake2b
from typing import Any, NamedTuple


class Happening(NamedTuple):
    """Virtual second, who, what, and its particulars."""

    at: float
    who: str
    what: str
    facts: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.at:12.6f} {self.who:<10} {self.what} {' '.join(map(str, self.facts))}"


class History:
    """Grows by `note`."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []

    def note(self, at: float, who: str, what: str, *facts: Any) -> None:
        """Something happened."""
        self.happenings.append(Happening(at, who, what, facts))

    def digest(self) -> str:
        """The same for the same happenings at the same instants."""
        digest = blake2b(digest_size=16)
        for happening in self.happenings:
            digest.update(str(happening).encode())
        return digest.hexdigest()
