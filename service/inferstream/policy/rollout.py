"""Which keys another model gets, and when a canary has done so much worse than the model that it is stopped."""

from collections import deque
from hashlib import blake2b
from math import sqrt
from typing import Literal, NamedTuple

_JUDGED_AFTER = 5  # a canary is judged once a fifth of the window was seen
_STANDARD_ERRORS = 4  # it is looked at after every call, so chance has many tries
_HASHES = 2**32

Fate = Literal["answered", "failed", "late"]
"""What came of asking a model: an answer; an error, garbage or a refusal; no answer in the time there was."""


class Split:
    """A share of all keys: the same ones wherever and whenever it is asked, and others for each purpose."""

    def __init__(self, purpose: str, share: float) -> None:
        self._purpose = purpose.encode()
        self._below = int(share * _HASHES)

    def takes(self, key: bytes) -> bool:
        """Whether the key is one of them."""
        digest = blake2b(key, digest_size=4, person=self._purpose).digest()
        return int.from_bytes(digest, "big") < self._below


class StopRule:
    """Compares what became of the last events of a canary with those of the model. Once stopped, it stays so.

    Only what goes beyond the model's own share, and beyond chance, counts: a server that fails for both is not the
    canary's fault.
    """

    def __init__(self, max_excess: float, window: int) -> None:
        self._max_excess = max_excess
        self._least = window // _JUDGED_AFTER
        self._canary, self._model = _Recent(window), _Recent(window)
        self.why: str | None = None
        """Why the canary is stopped; None while it is not."""

    def model_did(self, fate: Fate, events: int) -> None:
        """What came of so many events that were the model's."""
        self._model.add(fate, events)

    def canary_did(self, fate: Fate, events: int) -> None:
        """What came of so many events that were the canary's; may stop it."""
        self._canary.add(fate, events)
        if self.why is not None or self._canary.seen < self._least:
            return
        fates: tuple[Fate, Fate] = ("failed", "late")
        for fate in fates:
            ours, theirs = self._canary.share(fate), self._model.share(fate)
            if ours - theirs > self._max_excess + _chance(self._canary, self._model, fate):
                seen = self._canary.seen
                self.why = f"{ours:.1%} of its last {seen} events {fate}, {theirs:.1%} of the model's"
                return

    def resume(self) -> None:
        """It may go on, and what it did before is forgotten."""
        self.why = None
        self._canary.clear()


def _chance(one: "_Recent", other: "_Recent", fate: Fate) -> float:
    """How far apart the shares of two that are alike may well be: some standard errors of their difference."""
    share = (one.count(fate) + other.count(fate)) / (one.seen + other.seen)
    return _STANDARD_ERRORS * sqrt(share * (1 - share) * (1 / one.seen + 1 / max(1, other.seen)))


class _Run(NamedTuple):
    fate: Fate
    events: int


class _Recent:
    """What became of the last `window` events, in runs."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._runs: deque[_Run] = deque()
        self._counts: dict[Fate, int] = {"answered": 0, "failed": 0, "late": 0}
        self.seen = 0

    def add(self, fate: Fate, events: int) -> None:
        """Append, and forget what is older than the window."""
        self._runs.append(_Run(fate, events))
        self._counts[fate] += events
        self.seen += events
        while self.seen > self._window:
            oldest = self._runs.popleft()
            gone = min(oldest.events, self.seen - self._window)
            self._counts[oldest.fate] -= gone
            self.seen -= gone
            if oldest.events > gone:
                self._runs.appendleft(_Run(oldest.fate, oldest.events - gone))

    def count(self, fate: Fate) -> int:
        """Events that went so."""
        return self._counts[fate]

    def share(self, fate: Fate) -> float:
        """Of the events that were seen; 0 if none was."""
        return self._counts[fate] / self.seen if self.seen else 0.0

    def clear(self) -> None:
        """Forget everything."""
        self._runs.clear()
        self._counts = {"answered": 0, "failed": 0, "late": 0}
        self.seen = 0
