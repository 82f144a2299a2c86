"""traces: which events leave one, and what is told of them when their outcomes are acknowledged.

Nothing is done per event but a look at its headers, where it has any. Spans are made of what is told by whoever
exports them, after the fact.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from inferstream.events import trace_context
from inferstream.events.envelope import Event
from inferstream.events.outcome import Status
from inferstream.events.timeline import Call, Kept, Timeline
from inferstream.pipeline.interfaces import Clock, Spans
from inferstream.pipeline.outcomes import Route
from inferstream.policy.sampling import Ratio, Reason, TokenBucket
from inferstream.signals import Signals

_WRONG: dict[Status, Reason] = {
    Status.EXPIRED: "slo_miss",
    Status.DEAD_LETTERED: "failed",
}


class Tracing(NamedTuple):
    """What the pipelines of a process share: which part of all traces is kept, the budget of all, and where they go."""

    ratio: float
    budget: TokenBucket
    spans: Spans


class Tracer(Protocol):
    """What the stages tell."""

    def taken(self, events: Sequence[Event]) -> None:
        """Events came in."""

    def call(self, events: Sequence[Event], server: str) -> Call | None:
        """These events are asked together, of the model at `server`: the call's span, if one of them is kept."""

    def decided(self, events: Sequence[Event], now: float) -> None:
        """Their outcomes are about to be written."""

    def written(self, events: Sequence[Event], emitted_at: float, now: float) -> None:
        """Their outcomes are acknowledged."""


class Traces:
    """Of one pipeline."""

    def __init__(self, route: Route, tracing: Tracing, clock: Clock, signals: Signals) -> None:
        self._route = route
        self._ratio = Ratio(tracing.ratio)
        self._budget = tracing.budget
        self._spans = tracing.spans
        self._clock = clock
        self._kept = partial(signals.traces.cell, route.pipeline)
        self._suppressed = partial(signals.suppressed_traces.cell, route.pipeline)

    def taken(self, events: Sequence[Event]) -> None:
        """Those sampled upstream are kept, and a share of the others."""
        unknown: list[Event] = []
        for event in events:
            given = event.record.headers
            if not given:
                unknown.append(event)
            elif trace_context.may_be_kept(given, self._ratio.below):
                self._look(event, unknown)
        for place in self._ratio.places(len(unknown)):
            self._keep([unknown[place]], "ratio")

    def _look(self, event: Event, unknown: list[Event]) -> None:
        parent = trace_context.read(event.record.headers)
        if parent is None:
            unknown.append(event)
        elif parent.is_sampled:
            self._keep([event], "head")
        elif self._ratio.takes(parent.trace_id):
            self._keep([event], "ratio")

    def call(self, events: Sequence[Event], server: str) -> Call | None:
        kept = [event.trace.context for event in events if event.trace is not None]
        if not kept:
            return None
        call = Call(trace_context.new_trace(), len(events), server)
        for context in kept:
            call.join(context)
        return call

    def decided(self, events: Sequence[Event], now: float) -> None:
        """What went wrong is kept too."""
        wrong: dict[Reason, list[Event]] = {}
        for event in events:
            if event.trace is None and (reason := _wrong(event, now)) is not None:
                wrong.setdefault(reason, []).append(event)
        for reason, these in wrong.items():
            self._keep(these, reason)

    def written(self, events: Sequence[Event], emitted_at: float, now: float) -> None:
        """Those that turn out to be late only now are kept now; all that is kept is told."""
        late = [e for e in events if e.trace is None and e.status is Status.SCORED and emitted_at <= e.deadline < now]
        if late:
            self._keep(late, "slo_miss")
        kept = [event for event in events if event.trace is not None and event.status is not None]
        if kept:
            difference = self._clock.unix_ms() / 1000 - self._clock.monotonic()
            for event in kept:
                self._spans.offer(self._timeline(event, event.trace, emitted_at, now, difference))  # type: ignore[arg-type]

    def _keep(self, events: Sequence[Event], reason: Reason) -> None:
        """As many as the budget has; the rest is counted."""
        given = self._budget.take(len(events), self._clock.monotonic())
        for event in events[:given]:
            parent = trace_context.read(event.record.headers)
            event.trace = Kept(trace_context.new_trace() if parent is None else parent.child(), parent, reason)
        if given:
            self._kept(reason).add(given)
        if given < len(events):
            self._suppressed(reason).add(len(events) - given)

    def _timeline(self, event: Event, kept: Kept, emitted_at: float, now: float, difference: float) -> Timeline:
        record, answer, verdict, route = event.record, event.provenance, event.verdict, self._route
        asked_at = emitted_at if answer is None else min(max(answer.asked_at, event.taken_at), emitted_at)
        answered_at = asked_at if answer is None else min(asked_at + answer.infer_us / 1e6, emitted_at)
        instants = (int((at + difference) * 1e9) for at in (event.taken_at, asked_at, answered_at, emitted_at, now))
        call = None if answer is None else answer.call
        if call is not None and kept.context not in call.members:
            call.join(kept.context)
        return Timeline(
            kept,
            call,
            route.pipeline,
            route.group,
            record.topic,
            route.output_topic,
            record.partition,
            record.offset,
            len(record.value or b""),
            event.slo_class,
            event.status or Status.EXPIRED,
            verdict.cause if verdict is not None else (answer.cause if answer is not None else None),
            verdict.stage if verdict is not None else "",
            None if answer is None else answer.answerer,
            event.attempts,
            now <= event.deadline and event.status is not Status.EXPIRED,
            (event.deadline - now) * 1e3,
            *instants,
        )


class NoTraces:
    """Tracing is off."""

    def taken(self, events: Sequence[Event]) -> None:
        """Nothing."""

    def call(self, events: Sequence[Event], server: str) -> Call | None:
        """None."""
        return None

    def decided(self, events: Sequence[Event], now: float) -> None:
        """Nothing."""

    def written(self, events: Sequence[Event], emitted_at: float, now: float) -> None:
        """Nothing."""


def _wrong(event: Event, now: float) -> Reason | None:
    """Why this event's trace is of interest, before its outcome is written."""
    if event.verdict is not None:
        return _WRONG[event.verdict.status]
    if event.provenance is not None and event.provenance.cause is not None:
        return "fallback"
    return "slo_miss" if now > event.deadline else None
