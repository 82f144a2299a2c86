"""Which events share the next call to the model, when it is sent, and which events the model can no longer make.

Eager: a call is made when a backend frees, with what waits; nothing lingers for its own sake. While one batch is
computed the next is on its way (one more in flight than there are instances), sent just before the backend frees,
so that it grows until then; when that is, is computed anew at each answer.

The earliest deadline goes first, across SLO classes and within one. An event that would not make it in a batch of
the size the load asks for is missed at once (window drop): waiting for the oldest that is just feasible would make
batches tiny and every later event late. What is missed is the fallback's while it still has time.
"""

import math
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

from inferstream.policy.instances import Instances
from inferstream.policy.latency import LatencyModel

_PROBE_SECONDS = 0.2  # a backend that seems too slow for every event is tried again this often
_LOOK_AGAIN_SECONDS = 0.01  # while no endpoint is up
_PATIENCE = 10  # times the estimate of a call that nobody's deadline ends …
_LEAST_PATIENCE_SECONDS = 2.0  # … and at least this: a server that forgot it must not keep its instance from others
_SUPPLY_CALLS = 2  # full ones, for every instance
_SUPPLY_SHARE = 0.05  # of the shortest SLO
_ROUNDING = 1e-9
_BY_DEADLINE, _FREES_AT = attrgetter("deadline"), attrgetter("frees_at")


class Waiting(Protocol):
    """What the batcher looks at. Seconds of the monotonic clock."""

    @property
    def deadline(self) -> float: ...
    @property
    def slo_class(self) -> str: ...


E = TypeVar("E", bound=Waiting)


class SloClass(NamedTuple):
    """Events of a kind: how long they have, what share of every batch is theirs when they wait, may they be late."""

    name: str
    slo_seconds: float
    reserved_share: float = 0.0
    is_scored_late: bool = False


class Limits(NamedTuple):
    """What a call may be. `overhead` are the seconds of a call outside the backend.

    `ahead` calls are on their way while every instance computes; 0 leaves a backend that is not ours alone its pauses,
    as one that others share gets in any case. With `lets_go` an event that cannot wait longer leaves its call, which
    goes on for the others; else a call ends with the first of them.
    """

    max_rows: int
    overhead: float = 0.0007
    ahead: int = 1
    lets_go: bool = False


class Call(NamedTuple, Generic[E]):
    """A batch to be sent now to an endpoint.

    `deadline` is that of the event that ends the call, the first or the last of those that may not be late. Where some
    may, it is when the call is given up.
    """

    number: int
    endpoint: int
    events: list[E]
    deadline: float


class Plan(NamedTuple, Generic[E]):
    """What to do now: make this call, answer these without the model, and ask again at `wake_at` at the latest.

    Those `let_go` are in a call that is under way, and are to be answered without it too.
    """

    call: Call[E] | None
    missed: list[E]
    wake_at: float | None
    let_go: Sequence[E] = ()


class Batcher(Generic[E]):
    """Queues by SLO class in front of endpoints."""

    def __init__(
        self, classes: Sequence[SloClass], latency: LatencyModel, limits: Limits, instances: Sequence[int] = (1,)
    ) -> None:
        self._latency = latency
        self._limits = limits
        self._queues = {c.name: _Queue[E](c) for c in classes}
        self._order = sorted(self._queues.values(), key=lambda queue: not queue.is_scored_late)
        self._has_one_class = len(self._order) == 1
        self._endpoints = [Instances(latency, n, limits.ahead) for n in instances]
        self._max_rows = limits.max_rows
        self._waiting = 0
        self._under_way: dict[int, deque[E]] = {}  # by call: those that may leave it, by deadline
        self._numbers = 0
        self._rows = 1
        self._probed_at = self._sent_at = float("-inf")
        self._reserve = 0.01
        self._fallback = 0.002

    def __len__(self) -> int:
        """Events waiting."""
        return self._waiting

    @property
    def safety(self) -> float:
        """What the last batch was planned with, over what one like it takes on average."""
        return self._latency.estimate(self._rows) / self._latency.mean(self._rows)

    @property
    def busy(self) -> tuple[float, float]:
        """Seconds that answered batches were expected to take, and that they took, in sum."""
        return self._latency.expected_seconds, self._latency.actual_seconds

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return sum(endpoint.in_flight for endpoint in self._endpoints)

    def is_supplied(self, now: float) -> bool:
        """Enough waits for the next calls, and so little that what comes after it can wait for it without harm.

        What waits here has cooled down in the processor's caches when its turn comes, and fills memory. A model that
        does not get on is no reason to wait: then others may have to answer.
        """
        full = sum(len(endpoint) for endpoint in self._endpoints if endpoint.is_up) * self._max_rows
        if not full or self._waiting < _SUPPLY_CALLS * full:
            return False
        harmless = _SUPPLY_SHARE * min(queue.slo_seconds for queue in self._order)
        clears_in = self._waiting / full * self._latency.estimate(self._max_rows)
        return clears_in < harmless and now - self._sent_at < harmless

    def keep(self, reserve: float, fallback: float) -> None:
        """Seconds kept of every budget: for an outcome to be acknowledged, and for the chain to answer a batch."""
        self._reserve, self._fallback = reserve, fallback

    def set_up(
        self, endpoint: int, is_up: bool, instances: int | None = None, max_rows: int = 0, is_shared: bool = False
    ) -> None:
        """An endpoint went away or came back, with so many instances of the model, which takes so many rows at most
        (0: any number), and which others ask too or not."""
        one = self._endpoints[endpoint]
        one.set_up(is_up, instances)
        one.ahead = 0 if is_shared else self._limits.ahead
        one.max_rows = max_rows or self._limits.max_rows

    def add(self, events: Iterable[E]) -> None:
        """Events join the queue of their class, by deadline; among equal ones in the order given."""
        slo_class, queue = "", self._order[0].events
        for event in events:
            if event.slo_class is not slo_class:
                slo_class = event.slo_class
                queue = self._queues[slo_class].events
            if queue and event.deadline < queue[-1].deadline:
                insort(queue, event, key=_BY_DEADLINE)
            else:
                queue.append(event)
        self._waiting = sum([len(each.events) for each in self._order])

    def give_up(self) -> list[E]:
        """All that waits, which somebody else is to answer."""
        events = [event for queue in self._order for event in queue.events]
        self.drop(lambda event: True)
        return events

    def drop(self, is_gone: "Predicate[E]") -> None:
        """Forget the waiting events that somebody else answers now."""
        for queue in self._order:
            queue.events = deque(event for event in queue.events if not is_gone(event))
        for number, events in self._under_way.items():
            self._under_way[number] = deque(event for event in events if not is_gone(event))
        self._waiting = sum(len(queue.events) for queue in self._order)

    def next(self, now: float) -> Plan[E]:
        """What to do now. Ask again while events wait and there is a call in the answer."""
        let_go = self._let_go(now) if self._under_way else ()
        plan = self._next(now) if self._waiting else Plan(None, [], None)
        if not self._under_way:
            return plan
        wake_at = min(self._lets_go_at(), math.inf if plan.wake_at is None else plan.wake_at)
        return Plan(plan.call, plan.missed, wake_at if wake_at < math.inf else None, let_go)

    def _next(self, now: float) -> Plan[E]:
        up = [endpoint for endpoint in self._endpoints if endpoint.is_up]
        missed = self._overdue(now, is_hopeful=bool(up))
        if not self._waiting:
            return Plan(None, missed, None)
        free = [endpoint for endpoint in up if endpoint.has_room]
        if not free:
            return Plan(None, missed, self._overdue_at() if up else min(self._overdue_at(), now + _LOOK_AGAIN_SECONDS))
        endpoint = min(free, key=_FREES_AT) if len(free) > 1 else free[0]
        frees_at, overhead = endpoint.frees_at, self._limits.overhead
        send_at = frees_at - overhead - endpoint.slack()
        self._max_rows = min(self._limits.max_rows, endpoint.max_rows)
        if now < send_at:  # just in time: let the batch grow
            return Plan(None, missed, min(send_at, self._overdue_at()))
        start = max(now + overhead / 2, frees_at)
        backends = sum(len(e) for e in up)
        planned = self._latency.estimate
        if self._waiting and endpoint.is_idle(now) and self._waiting <= self._target(self._tightest(), backends):
            planned = self._latency.mean  # nobody else is kept waiting by a call that comes to nothing: it is tried
        missed += self._drop_window(start, backends, planned)
        events = self._take(start, backends) if self._waiting else self._probe(missed, now)
        if not events:
            return Plan(None, missed, None)
        self._numbers += 1
        self._rows = len(events)
        self._sent_at = now
        endpoint.sent(self._numbers, len(events), now + overhead / 2)
        deadline = self._gives_up_at(events, start)
        if self._limits.lets_go:
            strict = [event for event in events if not self._queues[event.slo_class].is_scored_late]
            self._under_way[self._numbers] = deque(strict if self._has_one_class else sorted(strict, key=_BY_DEADLINE))
        return Plan(
            Call(self._numbers, self._endpoints.index(endpoint), events, deadline),
            missed,
            now if self._waiting else None,
        )

    def answered(self, call: Call[E]) -> None:
        """None of its events needs to be let go any more."""
        self._under_way.pop(call.number, None)

    def done(self, call: Call[E], now: float, was_answered: bool) -> None:
        """The call has ended. One that was given up tells that the backend takes at least that long."""
        self.answered(call)
        self._endpoints[call.endpoint].ended(call.number, now - self._limits.overhead / 2, was_answered)
        if was_answered:
            self._probed_at = float("-inf")  # what was learned may be enough, or else the next answer

    def _let_go(self, now: float) -> list[E]:
        """Take out what is under way and must be answered without the model now, for its answer to be in time."""
        gone: list[E] = []
        by = now + self._reserve + self._fallback
        for events in self._under_way.values():
            while events and events[0].deadline <= by:
                gone.append(events.popleft())
        return gone

    def _lets_go_at(self) -> float:
        heads = [events[0].deadline for events in self._under_way.values() if events]
        return min(heads, default=math.inf) - self._reserve - self._fallback

    def _overdue(self, now: float, is_hopeful: bool) -> list[E]:
        """Take out what the fallback must have now.

        While no endpoint is up, half of the time is enough to hope; what may be scored late hopes until its deadline.
        """
        missed: list[E] = []
        for queue in self._order:
            kept = self._reserve + self._fallback
            if not is_hopeful:
                kept = 0.0 if queue.is_scored_late else max(kept, queue.slo_seconds / 2)
            elif queue.is_scored_late:
                continue
            while queue.events and queue.events[0].deadline - kept <= now:
                missed.append(queue.events.popleft())
        self._waiting -= len(missed)
        return missed

    def _overdue_at(self) -> float:
        """When the next event becomes overdue."""
        heads = [q.events[0].deadline for q in self._order if q.events and not q.is_scored_late]
        return min(heads, default=float("inf")) - (self._reserve + self._fallback)

    def _drop_window(self, start: float, backends: int, planned: Callable[[int], float]) -> list[E]:
        """Take out, earliest deadline first, what would not make it in a batch as large as the load asks for.

        `planned` are the seconds of one, by rows. What has a share of its own is in every call, and no call is larger
        than the tightest class allows.
        """
        missed: list[E] = []
        by = start + self._after()
        waiting = self._waiting
        tightest = self._tightest()
        for queue in self._order:
            target = self._target(tightest if queue.reserved_share else queue.slo_seconds, backends)
            queue.is_behind = False
            while queue.events and queue.events[0].deadline < by + planned(min(target, waiting)):
                if queue.is_scored_late:
                    queue.is_behind = True
                    waiting -= len(queue.events)  # they do not bound the call, but fill it
                    break
                missed.append(queue.events.popleft())
                waiting -= 1
        self._waiting -= len(missed)
        return missed

    def _after(self) -> float:
        """What must be left when the backend has computed: for the way back, the fallback if it fails, the outcome."""
        return self._limits.overhead / 2 + self._fallback + self._reserve

    def _tightest(self) -> float:
        """The shortest SLO of what waits."""
        return min(queue.slo_seconds for queue in self._order if queue.events)

    def _target(self, slo_seconds: float, backends: int) -> int:
        """Rows per call at full load: an event that just missed one call must make the next."""
        budget = slo_seconds - self._limits.overhead / 2 - self._after()
        rows = self._latency.most_rows_on_average(budget / (1 + 1 / backends))
        return min(max(1, rows), self._max_rows)

    def _take(self, start: float, backends: int) -> list[E]:
        """As many as the earliest of them allows: first the reserved shares, then by deadline."""
        heads = [q.events[0].deadline for q in self._order if q.events and not q.is_behind]
        if heads:
            rows = self._latency.most_rows(min(heads) - start - self._after())
        else:  # all are late: only what comes meanwhile has a deadline to keep
            rows = min(self._target(q.slo_seconds, backends) for q in self._order)
        size = max(1, min(self._max_rows, self._waiting, rows))
        if self._has_one_class:
            queue = self._order[0].events
            taken = [queue.popleft() for _ in range(size)]
        else:
            taken = self._take_reserved(size)
            while len(taken) < size:
                queues = [queue for queue in self._order if queue.events]
                first = min(queues, key=lambda q: (q.is_behind, q.events[0].deadline))
                taken.append(first.events.popleft())
        self._waiting -= len(taken)
        return taken

    def _take_reserved(self, size: int) -> list[E]:
        """What the classes with a share of their own are owed of a batch of this size."""
        taken: list[E] = []
        for queue in self._order:
            # Rounded up, and less later for it: of calls of a row or two a share must not be all.
            queue.owed = queue.owed + queue.reserved_share * size if queue.events else 0.0
            own = min(len(queue.events), max(0, math.ceil(queue.owed - _ROUNDING)), size - len(taken))
            queue.owed = min(1.0, queue.owed - own)
            taken += [queue.events.popleft() for _ in range(own)]
        return taken

    def _gives_up_at(self, events: list[E], start: float) -> float:
        """The deadline of a call."""
        if self._has_one_class and not self._order[0].is_scored_late:
            return events[-1 if self._limits.lets_go else 0].deadline  # its queue is by deadline
        strict = [e.deadline for e in events if not self._queues[e.slo_class].is_scored_late]
        if strict and not self._limits.lets_go:
            return min(strict)
        if len(strict) == len(events):
            return max(strict)
        patience = max(_LEAST_PATIENCE_SECONDS, _PATIENCE * self._latency.estimate(len(events)))
        return max([start + patience, *strict, min(e.deadline for e in events)])

    def _probe(self, missed: list[E], now: float) -> list[E]:
        """Nothing is feasible: now and then one event is sent all the same, else a recovery is never seen."""
        if not missed or now - self._probed_at < _PROBE_SECONDS:
            return []
        self._probed_at = now
        return [missed.pop()]


class Predicate(Protocol[E]):  # type: ignore[misc]
    """Says of an event whether it is meant."""

    def __call__(self, event: E, /) -> bool: ...


class _Queue(Generic[E]):
    """The waiting events of a class, by deadline. It `is_behind` if its head will be scored late."""

    def __init__(self, slo_class: SloClass) -> None:
        self.slo_seconds = slo_class.slo_seconds
        self.reserved_share = slo_class.reserved_share
        self.is_scored_late = slo_class.is_scored_late
        self.is_behind = False
        self.owed = 0.0
        """Rows of its share that it was not given yet; below 0 it was given more."""
        self.events: deque[E] = deque()
