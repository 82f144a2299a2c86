"""How outcomes reach the output topic: what `emit` hands over, and what it hears back.

Two ways: here at least once, where offsets follow the acknowledged outcomes; in `transact` exactly once.
"""

import asyncio
from collections import deque
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

import msgspec

from inferstream.errors import RecordsRefused
from inferstream.events.envelope import Event, Lane
from inferstream.pipeline.interfaces import OutRecord, Sink
from inferstream.pipeline.outcomes import Route


class Part(msgspec.Struct, gc=False):
    """Decided events of one lane, in order, an outcome each, and dead letters of some (by their place in the part)."""

    lane: Lane
    events: list[Event]
    outcomes: list[OutRecord]
    letters: dict[int, OutRecord]
    emitted_at: float


class Told(Protocol):
    """Who hears what became of a part: each event of it once, in one of these ways, or never if it is nobody's."""

    def written(self, events: list[Event], emitted_at: float) -> None:
        """All that was written for these events is acknowledged."""

    def refused(self, events: list[Event]) -> None:
        """The broker does not take what was written for these events; something smaller must be."""

    def failed(self, error: BaseException) -> None:
        """Nothing can be written any more."""


class Delivery(Protocol):
    """Takes parts. Never blocks."""

    def max_record_bytes(self, topic: str) -> int:
        """Largest record (`OutRecord.size_bytes`) the topic takes."""

    def deliver(self, part: Part, told: Told) -> None:
        """Write the part."""


class AtLeastOnce:
    """Every part goes to the sink at once, on the partition of the same number; one with dead letters after those.

    An outcome that says `dead_lettered` would stand alone if we died before its dead letter was written: another
    process may find the event too late, and nobody keeps it. What comes behind such a part in its lane waits.
    """

    def __init__(self, sink: Sink, route: Route) -> None:
        self._sink = sink
        self._route = route
        self._lanes: dict[Lane, deque[_Held]] = {}

    def max_record_bytes(self, topic: str) -> int:
        return self._sink.max_record_bytes(topic)

    def deliver(self, part: Part, told: Told) -> None:
        lane = self._lanes.get(part.lane)
        if lane is None and not part.letters:
            self._write(part, told, frozenset())
            return
        letters = self._send_letters(part) if part.letters else None
        if lane is None:
            lane = self._lanes[part.lane] = deque()
        lane.append(_Held(part, told, letters))
        if letters is not None:
            letters.add_done_callback(lambda done: self._go_on(part.lane))

    def _send_letters(self, part: Part) -> "asyncio.Future[None]":
        target = part.lane[0] % self._route.dead_letter_partitions
        return self._sink.send(self._route.dead_letter_topic, target, list(part.letters.values()))

    def _go_on(self, lane: Lane) -> None:
        """Write what waits for no dead letter any more."""
        held = self._lanes.get(lane)
        while held and (held[0].letters is None or held[0].letters.done()):
            part, told, letters = held.popleft()
            refused = None if letters is None else _refused(letters, told)
            if refused is None and letters is not None:
                return  # the pipeline ends
            self._write(part, told, refused or frozenset())
        if not held:
            self._lanes.pop(lane, None)

    def _write(self, part: Part, told: Told, refused: AbstractSet[int]) -> None:
        """The outcomes of a part, but for those of events whose dead letter the broker does not take."""
        events, outcomes, emitted_at = part.events, part.outcomes, part.emitted_at
        if refused:
            told.refused([events[place] for place, letter in part.letters.items() if id(letter) in refused])
            kept = [p for p in range(len(events)) if p not in part.letters or id(part.letters[p]) not in refused]
            events, outcomes = [events[place] for place in kept], [outcomes[place] for place in kept]
            if not events:
                return
        sent = self._sink.send(self._route.output_topic, part.lane[0], outcomes)
        sent.add_done_callback(lambda done: _tell(told, events, outcomes, emitted_at, done))


class _Held(NamedTuple):
    """A part that waits for dead letters: its own, or those of a part before it in its lane."""

    part: Part
    told: Told
    letters: "asyncio.Future[None] | None"


def _refused(sent: "asyncio.Future[None]", told: Told) -> AbstractSet[int] | None:
    """Identities of the records that the broker does not take; None: nothing can be written any more."""
    if sent.cancelled():
        return None
    error = sent.exception()
    if error is None:
        return frozenset()
    if isinstance(error, RecordsRefused):
        return frozenset(map(id, error.records))
    told.failed(error)
    return None


def _tell(
    told: Told, events: list[Event], outcomes: list[OutRecord], emitted_at: float, sent: "asyncio.Future[None]"
) -> None:
    refused = _refused(sent, told)
    if refused is None:
        return
    written = [e for e, o in zip(events, outcomes, strict=True) if id(o) not in refused] if refused else events
    if written:
        told.written(written, emitted_at)
    if refused:
        told.refused([e for e, o in zip(events, outcomes, strict=True) if id(o) in refused])
