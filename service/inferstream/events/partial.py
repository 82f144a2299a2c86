"""A partial outcome: what came of an event's result so far, while its model goes on. Contract: `partial_outcome.v1`.

It is no outcome: the one outcome follows it, and holds all that the partial ones did.
"""

from typing import Any

import msgspec

from inferstream.events.outcome import Source

SCHEMA = "partial_outcome.v1"


class PartialOutcome(msgspec.Struct, gc=False, omit_defaults=True):
    """One of an event's partial outcomes, numbered by `part` from 0. `id` is that of the outcome that follows.

    `begin` counts the model's answers in the parts before this one; parts of a repetition may be cut otherwise.
    """

    id: str
    part: int
    begin: int
    pipeline: str
    task: str
    source: Source
    event_id: str | None = None
    result: Any = None
