"""The second model: another model or version on the server, asked before the student for what the first cannot answer.

It has a queue and a latency of its own. It is asked by the same policy, so only for events that have the time for it,
and its calls in flight are never more than its instances: when the first is overloaded, the same server likely is.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause
from inferstream.pipeline.infer import Missed
from inferstream.pipeline.interfaces import Model
from inferstream.policy.batcher import Batcher, Call, Plan
from inferstream.policy.reserve import Reserve


class Waiting(NamedTuple):
    """An event in the queue, and why the first model did not answer it. `deadline` is monotonic seconds."""

    deadline: float
    slo_class: str
    event: Event
    cause: Cause


class Second:
    """The queue in front of the second model, which is one of `models` for each endpoint."""

    def __init__(self, batcher: Batcher[Waiting], models: Sequence[Model], on_miss: Mapping[str, str]) -> None:
        self._batcher = batcher
        self._on_miss = on_miss
        self.models = models

    def __len__(self) -> int:
        """Events waiting."""
        return len(self._batcher)

    def add(self, missed: Missed) -> Missed:
        """Queue the events; give back those for the rest of the chain: none is ready, or their class wants it so."""
        if not any(model.is_ready for model in self.models):
            return missed
        wanted = [self._on_miss.get(event.slo_class) not in ("expire", "dead_letter") for event in missed.events]
        asked = [event for event, is_wanted in zip(missed.events, wanted, strict=True) if is_wanted]
        self._batcher.add(Waiting(event.deadline, event.slo_class, event, missed.cause) for event in asked)
        return Missed([e for e, is_wanted in zip(missed.events, wanted, strict=True) if not is_wanted], missed.cause)

    def next(self, now: float, reserve: Reserve) -> Plan[Waiting]:
        """As `Batcher.next`."""
        for number, model in enumerate(self.models):
            self._batcher.set_up(number, model.is_ready, model.instances, model.max_batch_size)
        self._batcher.keep(reserve.emit, reserve.fallback)
        return self._batcher.next(now)

    def done(self, call: Call[Waiting], now: float, was_answered: bool) -> None:
        """The call has ended."""
        self._batcher.done(call, now, was_answered)

    def drop(self, partitions: Collection[int]) -> None:
        """Forget the events of partitions that are no longer ours."""
        self._batcher.drop(lambda waiting: waiting.event.record.partition in partitions)


def by_cause(waiting: Sequence[Waiting]) -> list[Missed]:
    """The events again, those of a cause together."""
    parts: dict[Cause, list[Event]] = {}
    for one in waiting:
        parts.setdefault(one.cause, []).append(one.event)
    return [Missed(events, cause) for cause, events in parts.items()]
