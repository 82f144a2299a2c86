"""emit: one outcome per event to the output topic, poison to the dead-letter topic as well.

An event is settled when the broker has acknowledged everything that was written for it; only then may its
offset pass. Whether a deadline was met is judged at that moment too.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

import structlog

from inferstream.errors import ContractMismatch
from inferstream.events.codecs import Codec
from inferstream.events.dead_letter import PRODUCERS
from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause, Status
from inferstream.pipeline.deliver import Delivery, Part
from inferstream.pipeline.interfaces import Clock
from inferstream.pipeline.observe.missed import miss
from inferstream.pipeline.observe.traces import Tracer
from inferstream.pipeline.outcomes import REFUSED, LetterWriter, OutcomeWriter, Route
from inferstream.policy.reserve import Reserve
from inferstream.signals import Count, Signals
from inferstream.tasks import Task

log = structlog.get_logger()

_NO_CAUSE = ""
_STATUSES = tuple(Status)


class Emit:
    """The stage: `part` takes decided events of one lane, in order. Never blocks."""

    def __init__(
        self,
        route: Route,
        task: Task,
        codec: Codec,
        delivery: Delivery,
        reserve: Reserve,
        clock: Clock,
        signals: Signals,
        traces: Tracer,
    ) -> None:
        self._route = route
        self._traces = traces
        self._outcomes = OutcomeWriter(route, task, codec)
        self._letters = LetterWriter(route)
        self._delivery = delivery
        self._reserve = reserve
        self._clock = clock
        self._counts = _Counts(route.pipeline, signals)
        self._pending: dict[int, int] = {}
        self._settled: Callable[[list[Event]], None] = lambda events: None
        self._stage = signals.stage.cell(route.pipeline, "emit")
        self._refused = signals.refused.cell(route.pipeline)
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def when_settled(self, settled: Callable[[list[Event]], None]) -> None:
        """Call this with events of one lane once everything written for them is acknowledged."""
        self._settled = settled

    def is_pending(self, partition: int) -> bool:
        """Something written for this partition's events is not acknowledged yet."""
        return self._pending.get(partition, 0) > 0

    def forget(self, partitions: Collection[int]) -> None:
        """Nobody waits any more for what was written for these partitions."""
        for partition in partitions:
            self._pending.pop(partition, None)

    def part(self, events: list[Event]) -> None:
        """Write the outcomes of these events (of one lane)."""
        now, now_ms = self._clock.monotonic(), int(self._clock.unix_ms())
        self._traces.decided(events, now)
        limit = self._delivery.max_record_bytes(self._route.output_topic)
        outcomes = self._outcomes.records(events, limit, now, now_ms)
        letters = {}
        if dead := [place for place, event in enumerate(events) if event.status is Status.DEAD_LETTERED]:
            limit = self._delivery.max_record_bytes(self._route.dead_letter_topic)
            letters = {place: self._letters.record(events[place], limit, now_ms) for place in dead}
            self._tell([events[place] for place in dead])
        partition = events[0].record.partition
        self._pending[partition] = self._pending.get(partition, 0) + len(events)
        self._delivery.deliver(Part(events[0].lane, events, outcomes, letters, now), self)

    def _tell(self, dead: list[Event]) -> None:
        """A line for all that are written together: where the first is, why, and how many there are."""
        first, verdict, trace = dead[0], dead[0].verdict, dead[0].trace
        if verdict is None:
            return
        ids = {} if trace is None else trace.context.ids()
        log.warning(
            "dead_letters",
            pipeline=self._route.pipeline,
            partition=first.record.partition,
            offset=first.record.offset,
            count=len(dead),
            cause=verdict.cause.value,
            stage=verdict.stage,
            detail=verdict.detail,
            **ids,
        )

    def written(self, events: list[Event], emitted_at: float) -> None:
        """From the delivery: acknowledged."""
        now = self._clock.monotonic()
        self._acknowledged(events)
        self._stage.observe(now - emitted_at, len(events))
        self._reserve.acknowledged(now - emitted_at)
        self._traces.written(events, emitted_at, now)
        self._counts.acknowledged(events, now, self._clock.unix_ms())
        self._settled(events)

    def refused(self, events: list[Event]) -> None:
        """From the delivery: the broker does not take these outcomes. They become dead letters, whose outcome is small.

        A record refused even then is smaller than any limit we know of: that is for people to mend.
        """
        if any(event.verdict is REFUSED for event in events):
            self.failed(
                ContractMismatch(
                    f"topic '{self._route.output_topic}' or '{self._route.dead_letter_topic}' refuses the smallest "
                    "record there is to write; raise its max.message.bytes"
                )
            )
            return
        self._acknowledged(events)
        self._refused.add(len(events))
        for event in events:
            event.verdict = REFUSED
        self.part(events)

    def _acknowledged(self, events: list[Event]) -> None:
        partition = events[0].record.partition
        self._pending[partition] = max(0, self._pending.get(partition, 0) - len(events))

    def failed(self, error: BaseException) -> None:
        """From the delivery: it is over."""
        if not self.failure.done():
            self.failure.set_exception(error)


class _Counts:
    """Counters of acknowledged outcomes, bound once per class and status."""

    def __init__(self, pipeline: str, signals: Signals) -> None:
        self._pipeline = pipeline
        self._signals = signals
        self._cells: dict[tuple[str, Status], tuple[Count, Count]] = {}

    def acknowledged(self, events: list[Event], now: float, now_ms: float) -> None:
        """The broker has the outcomes of these events (of one SLO class)."""
        answered = [event for event in events if event.status is not None]
        if not answered:
            return
        slo_class = events[0].slo_class
        late = [event for event in answered if now > event.deadline]
        unscored: list[Event] = []
        for status, count in _by_status(answered):
            outcomes, in_time = self._cell(slo_class, status)
            outcomes.add(count)
            if status is not Status.EXPIRED:
                in_time.add(count - sum([event.status is status for event in late]))
            if status is not Status.SCORED:
                of_status = [event for event in answered if event.status is status]
                self._why(slo_class, status, of_status)
                unscored += of_status
        if late or unscored:
            self._keep(late, unscored, now, now_ms)
        latency = self._signals.latency.cell(self._pipeline, slo_class)
        sent_ms: list[float] = [event.record.timestamp for event in answered]
        if min(sent_ms) < 0 or max(sent_ms) > now_ms:  # no timestamp, or a clock that is ahead: from when we took it
            ages_ms = ((now - event.taken_at) * 1000 for event in answered)
            sent_ms = [at if 0 <= at <= now_ms else now_ms - age for at, age in zip(sent_ms, ages_ms, strict=True)]
        latency.observe_each([(now_ms - at) / 1000 for at in sent_ms])

    def _keep(self, late: list[Event], unscored: list[Event], now: float, now_ms: float) -> None:
        """One of the late and one of the others, now and then, for people to look at."""
        misses = self._signals.misses
        found = [late[0]] if late and misses.wants(True, now) else []
        if unscored and misses.wants(False, now):
            found += [event for event in unscored if now <= event.deadline][:1]
        for event in found:
            misses.add(miss(event, self._pipeline, _cause(event), now, now_ms), now)

    def _why(self, slo_class: str, status: Status, events: list[Event]) -> None:
        """Count what kept the model from answering these."""
        pipeline, signals = self._pipeline, self._signals
        for cause, count in Counter([_cause(event) for event in events]).items():
            signals.causes.cell(pipeline, slo_class, status.value, cause).add(count)
        if status is Status.DEAD_LETTERED:
            for verdict in [event.verdict for event in events if event.verdict is not None]:
                signals.dead_letters.cell(pipeline, verdict.stage, verdict.cause.value).add()
                signals.poison.cell(pipeline, slo_class).add(verdict.cause in PRODUCERS)

    def _cell(self, slo_class: str, status: Status) -> tuple[Count, Count]:
        """Counters of outcomes and of those in time."""
        cells = self._cells.get((slo_class, status))
        if cells is None:
            labels = (self._pipeline, slo_class, status.value)
            cells = self._signals.outcomes.cell(*labels), self._signals.in_time.cell(*labels)
            self._cells[slo_class, status] = cells
        return cells


def _by_status(events: list[Event]) -> list[tuple[Status, int]]:
    """How many of each; by identity, since hashing an enum costs more than all the rest."""
    statuses = [event.status for event in events]
    return [(status, count) for status in _STATUSES if (count := statuses.count(status))]


def _cause(event: Event) -> str:
    cause: Cause | None = None
    if event.verdict is not None:
        cause = event.verdict.cause
    elif event.provenance is not None:
        cause = event.provenance.cause
    return cause.value if cause else _NO_CAUSE
