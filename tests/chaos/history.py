"""What a run of chaos leaves behind: all that the checker and the figures are computed from."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

Place = tuple[int, int]
"""Partition and offset."""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """An event of the input topic. `scores`: what each kind of answerer must say of it; None: it is poison."""

    partition: int
    offset: int
    event_id: str
    slo_class: str
    deadline_unix_ms: int
    scores: Mapping[str, float] | None

    @property
    def place(self) -> Place:
        return self.partition, self.offset


class Written(msgspec.Struct, frozen=True, gc=False):
    """An outcome as it lies in the output topic; `appended_ms` is the broker's clock."""

    partition: int
    offset: int
    appended_ms: int
    outcome_id: str
    status: str
    event_id: str | None = None
    answered_by: str | None = None
    probability: float | None = None


class Committed(msgspec.Struct, frozen=True, gc=False):
    """An offset the group committed, at the time the coordinator took it."""

    at_ms: int
    partition: int
    offset: int


class Fault(msgspec.Struct, frozen=True):
    """Something the nemesis did, until it was healed."""

    kind: str
    victim: str
    began_ms: int
    ended_ms: int


class History(msgspec.Struct, frozen=True):
    """One run. Views and commits are in the order of their logs."""

    group: str
    topic: str
    exactly_once: bool
    sent: Sequence[Sent]
    """Acknowledged to the producer."""
    unacknowledged: AbstractSet[Place]
    """In the input topic although the producer never heard of it: may have an outcome, need not."""
    committed_view: Sequence[Written]
    """What a reader of committed transactions finds in the output topic at the end."""
    uncommitted_view: Sequence[Written]
    seen_live: AbstractSet[Place]
    """Places in the output topic that a reader of committed transactions saw while the run went on."""
    letters: AbstractSet[str]
    """Outcome ids of the dead letters."""
    commits: Sequence[Committed]
    faults: Sequence[Fault]
    healed_ms: int
    ended_ms: int

    def place(self, outcome_id: str) -> Place | None:
        """Where the event of this outcome lies; None if no event of ours has such an id."""
        prefix = f"{self.group}/{self.topic}/"
        partition, _, offset = outcome_id.removeprefix(prefix).partition("/")
        if outcome_id.startswith(prefix) and partition.isdigit() and offset.isdigit():
            return int(partition), int(offset)
        return None
