"""canary: another model answers the events of some keys instead of the model, until it does worse.

It has a queue and a latency of its own. What it does not answer goes to the model as if it had never been asked, so a
call has half of the time there is. When it fails or is late more often than the model (`policy.rollout`), all keys are
the model's again, until the process starts anew or `inferstream models canary --resume` says otherwise.
"""

from collections.abc import Collection, Mapping, Sequence

import structlog

from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause
from inferstream.pipeline.infer import Missed, Tried
from inferstream.pipeline.interfaces import Model
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.rollout.shadow import key_of
from inferstream.policy.batcher import Batcher, Call, Plan
from inferstream.policy.reserve import Reserve
from inferstream.policy.rollout import Fate, Split, StopRule
from inferstream.signals import Signals

log = structlog.get_logger()

_LATE: Mapping[Cause, Fate] = {Cause.MODEL_TIMEOUT: "late", Cause.PREDICTED_LATE: "late"}


class Canary:
    """The queue in front of the canary, which is one of `models` for each endpoint."""

    def __init__(
        self,
        route: Route,
        batcher: Batcher[Event],
        models: Sequence[Model],
        split: Split,
        rule: StopRule,
        signals: Signals,
    ) -> None:
        self._route = route
        self._batcher = batcher
        self._split = split
        self._rule = rule
        self._signals = signals
        self._log = log.bind(pipeline=route.pipeline)
        self.models = models
        signals.canary_stopped.cell(route.pipeline).read = lambda: rule.why is not None

    def __len__(self) -> int:
        """Events waiting."""
        return len(self._batcher)

    def take(self, events: list[Event]) -> list[Event]:
        """Queue those that are the canary's; give back the others."""
        if self._rule.why is not None or not any(model.is_ready for model in self.models):
            return events
        chosen = [self._split.takes(key_of(self._route, event)) for event in events]
        self._batcher.add(event for event, is_ours in zip(events, chosen, strict=True) if is_ours)
        return [event for event, is_ours in zip(events, chosen, strict=True) if not is_ours]

    def next(self, now: float, reserve: Reserve) -> Plan[Event]:
        """As `Batcher.next`; what is missed is the model's."""
        for number, model in enumerate(self.models):
            self._batcher.set_up(number, model.is_ready, model.instances, model.max_batch_size)
        self._batcher.keep(reserve.emit, reserve.fallback)
        if not any(model.is_ready for model in self.models):  # the model is up, and has not long to wait
            return Plan(None, self._batcher.give_up(), None)
        plan = self._batcher.next(now)
        if plan.missed:
            self._canary_did("late", len(plan.missed))
        return plan

    def done(self, call: Call[Event], tried: Tried, now: float) -> list[Event]:
        """A call of the canary's has ended; the events that it did not answer."""
        self._batcher.done(call, now, tried.was_answered)
        left: list[Event] = []
        for events, cause in tried.missed:
            self._canary_did(_fate(cause), len(events))
            left += events
        if answered := len(call.events) - len(left):
            self._canary_did("answered", answered)
        return left

    def model_did(self, events: int, tried: Tried) -> None:
        """A call to the model has ended, for so many events."""
        failed = len(tried.again) + sum(not event.is_let_go for event in tried.refused)
        if failed:
            self._rule.model_did("failed", failed)
        for part in tried.missed:
            self.model_missed(part)
        answered = events - failed - sum(len(part.events) for part in tried.missed)
        if answered:
            self._rule.model_did("answered", answered)

    def model_missed(self, missed: Missed) -> None:
        """The model does not answer these events."""
        self._rule.model_did(_fate(missed.cause), len(missed.events))

    def drop(self, partitions: Collection[int]) -> None:
        """Forget the events of partitions that are no longer ours."""
        self._batcher.drop(lambda event: event.record.partition in partitions)

    def resume(self) -> None:
        """It may go on if it was stopped."""
        if self._rule.why is not None:
            self._rule.resume()
            self._log.warning("canary_resumed")

    def _canary_did(self, fate: Fate, events: int) -> None:
        self._signals.canary_events.cell(self._route.pipeline, fate).add(events)
        was_stopped = self._rule.why is not None
        self._rule.canary_did(fate, events)
        if self._rule.why is not None and not was_stopped:
            remedy = f"mend it; then `inferstream models canary --resume --pipeline {self._route.pipeline}`"
            self._log.error("canary_stopped", reason=self._rule.why, remedy=remedy)


def _fate(cause: Cause) -> Fate:
    return _LATE.get(cause, "failed")
