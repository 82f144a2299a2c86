"""Which partitions bring so much poison that they have to wait. Sans-IO; instants are seconds of one clock.

A partition is free, held or on probation. Too many dead letters hold it. After a pause that doubles with every failure
some events are let through: if they are good it is free again, else it is held. Only poison counts, which is about the
events themselves; what a model missed is not.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

_MOST_DOUBLINGS = 6  # with a pause of a minute: an hour and four minutes
_JUDGED_AFTER = 5  # the ratio is judged once a fifth of the window was seen
_HELD = "held"
_FREE = "free"


class Limit(NamedTuple):
    """How much poison is too much, and when to try again."""

    ratio: float
    """More than this share of `window` among the last `window` events."""
    window: int
    in_a_row: int
    """More than so many one after the other; 0: any number."""
    probe_after: float
    """Seconds until the first probe."""
    probe_events: int
    """Events that a probe lets through."""


class Step(Enum):
    """What has to be done about a partition."""

    HOLD = "hold"
    LIFT = "lift"


class Quarantine:
    """The partitions of one pipeline. A partition that was never observed is free."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._partitions: dict[int, _Partition] = {}

    @property
    def partitions(self) -> Collection[int]:
        """Held or on probation."""
        return [number for number, each in self._partitions.items() if each.due is not None or each.probe is not None]

    def observe(self, partition: int, poison: Sequence[bool], now: float) -> Step | None:
        """Events of a partition were answered, in this order."""
        return self._each(partition, [(is_poison, 1) for is_poison in poison], now)

    def observe_good(self, partition: int, count: int, now: float) -> Step | None:
        """As `observe`, with no poison among them."""
        return self._each(partition, [(False, count)], now)

    def took(self, partition: int, count: int) -> bool:
        """Events were taken. True: the partition is on probation and that was enough; take no more."""
        each = self._partitions.get(partition)
        if each is None or each.probe is None:
            return False
        each.probe.taken += count
        return each.probe.taken >= self._limit.probe_events

    def due(self, now: float) -> list[int]:
        """Partitions whose pause is over: they are on probation from now on."""
        due = [number for number, each in self._partitions.items() if each.due is not None and each.due <= now]
        for number in due:
            self._partitions[number].due = None
            self._partitions[number].probe = _Probe()
        return due

    def next_due(self) -> float | None:
        """When the next pause ends."""
        return min((each.due for each in self._partitions.values() if each.due is not None), default=None)

    def hold(self, partition: int, now: float) -> None:
        """Hold it whatever was observed: somebody else found it so."""
        each = self._partition(partition)
        each.probe = None
        each.due = now + self._limit.probe_after

    def probe_again(self, partition: int, now: float) -> bool:
        """It was assigned anew. True: it is quarantined; a probe that was under way begins afresh."""
        each = self._partitions.get(partition)
        if each is None:
            return False
        if each.probe is not None:
            each.probe, each.due = None, now
        return each.due is not None

    def lift(self, partition: int) -> bool:
        """Free it and forget what it brought. False: it was free."""
        each = self._partitions.get(partition)
        if each is None or (each.due is None and each.probe is None):
            return False
        del self._partitions[partition]
        return True

    def reason(self, partition: int) -> str:
        """Why it was held, for people."""
        each = self._partitions.get(partition)
        return each.reason if each is not None else ""

    def _partition(self, number: int) -> "_Partition":
        each = self._partitions.get(number)
        if each is None:
            each = self._partitions[number] = _Partition(self._limit)
        return each

    def _each(self, partition: int, runs: Sequence[tuple[bool, int]], now: float) -> Step | None:
        each = self._partition(partition)
        if each.probe is not None:
            return each.judge_probe(runs, now)
        if each.due is not None:
            return None  # taken before it was held: answered, and already judged
        for is_poison, count in runs:
            if each.exceeds(is_poison, count):
                each.fail(now)
                return Step.HOLD
        return None


class _Probe:
    """Events let through, answered, and poison among these."""

    __slots__ = ("answered", "poison", "taken")

    def __init__(self) -> None:
        self.taken = self.answered = self.poison = 0


class _Partition:
    """`due` is set while it is held, `probe` while it is on probation."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._window = _Window(limit.window)
        self._in_a_row = 0
        self._failures = 0
        self.due: float | None = None
        self.probe: _Probe | None = None
        self.reason = ""

    def exceeds(self, is_poison: bool, count: int) -> bool:
        """Count these; whether that was too much."""
        limit, window = self._limit, self._window
        window.add(is_poison, count)
        if window.seen >= limit.window:
            self._failures = 0  # it was good for long enough: the next pause is a short one again
        self._in_a_row = self._in_a_row + count if is_poison else 0
        if limit.in_a_row and self._in_a_row > limit.in_a_row:
            self.reason = f"{self._in_a_row} dead letters in a row"
        elif window.seen * _JUDGED_AFTER >= limit.window and window.poison > limit.ratio * limit.window:
            self.reason = f"{window.poison} dead letters among the last {min(window.seen, limit.window)} events"
        else:
            return False
        return True

    def judge_probe(self, runs: Sequence[tuple[bool, int]], now: float) -> Step | None:
        """Poison in the share of the limit passes; more fails at once."""
        limit, probe = self._limit, self.probe
        if probe is None:
            raise ValueError("no probe is under way")
        probe.answered += sum(count for _, count in runs)
        probe.poison += sum(count for is_poison, count in runs if is_poison)
        if probe.poison > limit.ratio * limit.probe_events:
            self.reason = f"{probe.poison} dead letters among {probe.answered} events of a probe"
            self.fail(now)
            return Step.HOLD
        if probe.answered < limit.probe_events:
            return None
        self.probe = None
        self._window, self._in_a_row = _Window(limit.window), 0
        return Step.LIFT

    def fail(self, now: float) -> None:
        """Held, for twice as long as the last time."""
        self.probe = None
        self.due = now + self._limit.probe_after * 2 ** min(self._failures, _MOST_DOUBLINGS)
        self._failures += 1


class _Window:
    """The last `size` events as runs of good and bad ones, so that a good slice costs one step."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._runs: deque[tuple[bool, int]] = deque()
        self._held = 0
        self.seen = 0
        self.poison = 0

    def add(self, is_poison: bool, count: int) -> None:
        """Append a run and let go of what is older than the window."""
        self.seen += count
        self._held += count
        self.poison += count if is_poison else 0
        if self._runs and self._runs[-1][0] == is_poison:
            count += self._runs.pop()[1]
        self._runs.append((is_poison, count))
        while self._held > self._size:
            oldest, length = self._runs.popleft()
            gone = min(length, self._held - self._size)
            self._held -= gone
            self.poison -= gone if oldest else 0
            if length > gone:
                self._runs.appendleft((oldest, length - gone))


_MOST_DIGITS = 18


class Held(NamedTuple):
    """What the note of a quarantined partition says."""

    since_unix_ms: int
    reason: str


def held_note(since_unix_ms: int, reason: str) -> str:
    """The note that says a partition is held: it outlives the process, and commands read it."""
    return f"{_HELD} {since_unix_ms} {reason}"


def free_note() -> str:
    """The note that says it is not."""
    return _FREE


def read_notes(notes: Mapping[int, str]) -> dict[int, Held]:
    """The partitions whose notes say held."""
    found = {}
    for partition, note in notes.items():
        word, _, rest = note.partition(" ")
        since, _, reason = rest.partition(" ")
        if word == _HELD and since.isascii() and since.isdigit() and len(since) <= _MOST_DIGITS:
            found[partition] = Held(int(since), reason)
    return found
