"""What is known of an event's way when its outcome is acknowledged: enough to tell where the time went, and no payload.

Instants are nanoseconds since the epoch, each taken from the monotonic clock and moved to the wall by one difference,
so that they never contradict each other.
"""

from typing import NamedTuple

import msgspec

from inferstream.events.outcome import Answerer, Cause, Status
from inferstream.events.trace_context import Context

MOST_LINKS = 128


class Kept(NamedTuple):
    """The span of an event whose trace is kept; its parent, where a producer began the trace; and why it is kept."""

    context: Context
    parent: Context | None
    reason: str


class Call(msgspec.Struct):
    """The span of a call to the model, in a trace of its own, and the events of it whose traces are kept."""

    context: Context
    rows: int
    server: str = ""
    """host:port it was made to."""
    members: list[Context] = []
    is_told: bool = False
    """It was handed on to be exported."""

    def join(self, member: Context) -> None:
        """One more, of so many that are linked."""
        if len(self.members) < MOST_LINKS:
            self.members.append(member)


class Timeline(NamedTuple):
    """The way of one event."""

    kept: Kept
    call: Call | None
    pipeline: str
    group: str
    input_topic: str
    output_topic: str
    partition: int
    offset: int
    body_bytes: int
    slo_class: str
    status: Status
    cause: Cause | None
    stage: str
    """Where it ended, if not at its outcome: of a dead letter."""
    answerer: Answerer | None
    attempts: int
    is_in_time: bool
    slack_ms: float
    """Left of its deadline when the outcome was acknowledged; less than 0: missed by so much."""
    taken_ns: int
    asked_ns: int
    answered_ns: int
    emitted_ns: int
    acknowledged_ns: int
