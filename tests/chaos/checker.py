"""Whether a history keeps the service's promise. Pure; every way to break it has a name.

lost                 an acknowledged event below the committed offset has no outcome
duplicate            a second outcome under one id: none in exactly_once; in at_least_once only of what was in flight
                     when something was killed, frozen or cut off
phantom              an outcome or dead letter of no event, or in another partition than its event's
wrong_order          within a partition and SLO class the first outcome of an event left after that of a later event
                     with no earlier deadline (what a crash repeats are no first outcomes)
wrong_score          the answer is not what the answerer it names says of that event
commit_ahead         an offset was committed before an outcome below it was in its topic
commit_regress       an offset was committed below one committed before
aborted_visible      a reader of committed transactions saw what was aborted
stuck                events waited and nothing was committed for too long after everything was healed
dead_letter_missing  an outcome says `dead_lettered` and there is no dead letter
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tests.chaos.history import Fault, History, Place, Sent, Written

_EXAMPLES = 10
_CANNOT_REPEAT = ("triton",)
"""Faults that touch neither a worker nor its way to Kafka: they explain no second outcome."""


class Bounds(NamedTuple):
    """What is still right."""

    in_flight_events: int = 10_000
    """Events of a partition that may be taken and not yet committed."""
    settle_ms: int = 60_000
    """How long after its end a fault can still be why partitions change hands."""
    stuck_ms: int = 30_000
    clock_ms: int = 2
    """How far the clocks of two brokers on one machine may differ."""
    tolerance: float = 1e-5
    """Of a probability."""


class Findings(NamedTuple):
    """How often each anomaly was found, every name among them, and some examples."""

    counts: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]

    @property
    def is_clean(self) -> bool:
        return not any(self.counts.values())


def check(history: History, bounds: Bounds) -> Findings:
    """Look for every anomaly."""
    index = _Index(history, bounds)
    found = {name: list(look(index)) for name, look in _CHECKS.items()}
    return Findings(
        {name: len(texts) for name, texts in found.items()},
        {name: texts[:_EXAMPLES] for name, texts in found.items() if texts},
    )


class _Index:
    """The history from the sides the checks look at it."""

    def __init__(self, history: History, bounds: Bounds) -> None:
        self.history, self.bounds = history, bounds
        self.sent = {event.place: event for event in history.sent}
        self.outcomes: dict[Place, list[Written]] = defaultdict(list)
        for written in history.committed_view:
            place = history.place(written.outcome_id)
            if place is not None:
                self.outcomes[place].append(written)
        self.commits: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for commit in history.commits:
            self.commits[commit.partition].append((commit.at_ms, commit.offset))
        self.ends: dict[int, int] = defaultdict(int)
        for event in history.sent:
            self.ends[event.partition] = max(self.ends[event.partition], event.offset + 1)

    def final(self, partition: int) -> int:
        """The last committed offset."""
        commits = self.commits.get(partition)
        return commits[-1][1] if commits else 0

    def answered(self) -> Iterator[tuple[Sent, Written]]:
        """Every outcome of the committed view beside its event."""
        for place, written in self.outcomes.items():
            event = self.sent.get(place)
            if event is not None:
                for each in written:
                    yield event, each


def _lost(index: _Index) -> Iterator[str]:
    for place, event in index.sent.items():
        if place not in index.outcomes and event.offset < index.final(event.partition):
            yield f"{event.event_id} at {place} has no outcome"


def _duplicate(index: _Index) -> Iterator[str]:
    explains = _explanations(index)
    for place, written in index.outcomes.items():
        times = sorted(each.appended_ms for each in written)
        for again in range(1, len(written)):
            if index.history.exactly_once or not explains(place, times[0], times[again]):
                yield f"{written[again].outcome_id} has outcome {again + 1} at offset {written[again].offset}"


def _explanations(index: _Index) -> Callable[[Place, int, int], bool]:
    """Whether a fault explains a second outcome: the event was in flight then, neither settled before nor not begun."""
    bounds = index.bounds
    faults = [fault for fault in index.history.faults if not fault.kind.startswith(_CANNOT_REPEAT)]
    times = {partition: [at for at, _ in commits] for partition, commits in index.commits.items()}

    def committed_at(partition: int, at_ms: int) -> int:
        known = bisect_right(times.get(partition, []), at_ms)
        return index.commits[partition][known - 1][1] if known else 0

    def explains(fault: Fault, place: Place, first_ms: int, again_ms: int) -> bool:
        settled_ms = fault.ended_ms + bounds.settle_ms
        if again_ms < fault.began_ms or first_ms > settled_ms:
            return False
        partition, offset = place
        # A new owner repeats what is not committed yet; only who woke up writes what has been passed meanwhile.
        if again_ms > settled_ms and committed_at(partition, again_ms) > offset:
            return False
        before, latest = committed_at(partition, fault.began_ms - 1), committed_at(partition, settled_ms)
        return before <= offset < latest + bounds.in_flight_events

    return lambda place, first_ms, again_ms: any(explains(fault, place, first_ms, again_ms) for fault in faults)


def _phantom(index: _Index) -> Iterator[str]:
    history = index.history

    def is_event(place: Place | None) -> bool:
        return place is not None and (place in index.sent or place in history.unacknowledged)

    for written in history.uncommitted_view:
        place = history.place(written.outcome_id)
        if not is_event(place):
            yield f"{written.outcome_id} is the outcome of no event"
        elif place is not None and place[0] != written.partition:
            yield f"{written.outcome_id} lies in partition {written.partition}"
    for outcome_id in history.letters:
        if not is_event(history.place(outcome_id)):
            yield f"{outcome_id} is the dead letter of no event"


def _wrong_order(index: _Index) -> Iterator[str]:
    lanes: dict[tuple[int, str], list[tuple[int, Sent]]] = defaultdict(list)
    for place, written in index.outcomes.items():
        event = index.sent.get(place)
        if event is not None:
            lanes[event.partition, event.slo_class].append((written[0].offset, event))
    for (partition, slo_class), lane in lanes.items():
        front = _Front()
        for _, event in sorted(lane, key=lambda each: each[0]):
            if front.forbids(event):
                yield f"{event.event_id} at {event.place} ({slo_class}) left after a later event of {partition}"
            front.add(event)


class _Front:
    """Of what has left, the events that no other exceeds in both offset and deadline. Rarely more than one."""

    def __init__(self) -> None:
        self._events: list[Sent] = []

    def forbids(self, event: Sent) -> bool:
        """An event further back that had no earlier deadline left already."""
        return any(e.offset > event.offset and e.deadline_unix_ms >= event.deadline_unix_ms for e in self._events)

    def add(self, event: Sent) -> None:
        if not self.forbids(event):
            self._events = [
                e for e in self._events if e.offset > event.offset or e.deadline_unix_ms > event.deadline_unix_ms
            ]
            self._events.append(event)


def _wrong_score(index: _Index) -> Iterator[str]:
    for event, written in index.answered():
        why = _why_wrong(event, written, index.bounds.tolerance)
        if why is not None:
            yield f"{written.outcome_id} at offset {written.offset}: {why}"


def _why_wrong(event: Sent, written: Written, tolerance: float) -> str | None:
    if written.status == "expired":
        return None
    if (event.scores is None) != (written.status == "dead_lettered"):
        return f"{'poison' if event.scores is None else 'a good event'} became {written.status}"
    if event.scores is None:
        return None
    if written.event_id != event.event_id:
        return "it answers another event"
    kinds = {"scored": ("model",), "fallback": ("student", "rules")}.get(written.status, ())
    if written.answered_by not in kinds:
        return f"{written.status} by {written.answered_by}"
    wanted = event.scores[written.answered_by]
    if written.probability is None or not abs(written.probability - wanted) <= tolerance:
        return f"{written.answered_by} says {wanted}, the outcome {written.probability}"
    return None


def _commit_ahead(index: _Index) -> Iterator[str]:
    """Events without any outcome are lost or stuck: here it is about those that were answered too late."""
    answered: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for (partition, offset), written in index.outcomes.items():
        answered[partition].append((offset, min(each.appended_ms for each in written)))
    for partition, commits in index.commits.items():
        pairs = sorted(answered[partition])
        offsets = [offset for offset, _ in pairs]
        latest = list(accumulate((at for _, at in pairs), max))
        for at_ms, offset in commits:
            below = bisect_left(offsets, offset)
            if below and latest[below - 1] > at_ms + index.bounds.clock_ms:
                yield f"{offset} of partition {partition} was committed {latest[below - 1] - at_ms} ms too early"


def _commit_regress(index: _Index) -> Iterator[str]:
    for partition, commits in index.commits.items():
        highest = 0
        for at_ms, offset in commits:
            if offset < highest:
                yield f"{offset} of partition {partition} was committed at {at_ms} after {highest}"
            highest = max(highest, offset)


def _aborted_visible(index: _Index) -> Iterator[str]:
    final = {(written.partition, written.offset) for written in index.history.committed_view}
    every = {(written.partition, written.offset) for written in index.history.uncommitted_view}
    for place in (index.history.seen_live - final) | (final - every):
        yield f"the record at {place} was seen as committed and is not"


def _stuck(index: _Index) -> Iterator[str]:
    history, bounds = index.history, index.bounds
    for partition, end in index.ends.items():
        moved_ms, reached = history.healed_ms, 0
        for at_ms, offset in index.commits.get(partition, ()):
            if offset > reached:
                if at_ms - moved_ms > bounds.stuck_ms:
                    yield f"partition {partition} stood at {reached} for {at_ms - moved_ms} ms after healing"
                reached, moved_ms = offset, max(moved_ms, at_ms)
        if index.final(partition) < end:
            waited_ms = history.ended_ms - moved_ms
            yield f"partition {partition} stood at {index.final(partition)} of {end} for {waited_ms} ms at the end"


def _dead_letter_missing(index: _Index) -> Iterator[str]:
    for _, written in index.answered():
        if written.status == "dead_lettered" and written.outcome_id not in index.history.letters:
            yield f"{written.outcome_id} has no dead letter"


_CHECKS: Mapping[str, Callable[[_Index], Iterator[str]]] = {
    "lost": _lost,
    "duplicate": _duplicate,
    "phantom": _phantom,
    "wrong_order": _wrong_order,
    "wrong_score": _wrong_score,
    "commit_ahead": _commit_ahead,
    "commit_regress": _commit_regress,
    "aborted_visible": _aborted_visible,
    "stuck": _stuck,
    "dead_letter_missing": _dead_letter_missing,
}
ANOMALIES = tuple(_CHECKS)
