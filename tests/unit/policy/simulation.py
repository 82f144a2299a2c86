"""The batcher against a simulated backend: arrivals, service times and the network are drawn from one seed."""

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from inferstream.policy.batcher import Batcher, Call, Limits, SloClass
from inferstream.policy.latency import LatencyModel

_TAKE_SECONDS = 0.00025  # what arrives meanwhile is taken together, as a consumer does


class Item(NamedTuple):
    """An event, as far as the batcher is concerned."""

    number: int
    arrived: float
    deadline: float
    slo_class: str


class Backend(NamedTuple):
    """What the batcher does not know: true costs, noise, network time; `slower_by` a factor between two instants."""

    alpha: float
    beta: float
    noise: float = 0.08
    network: float = 0.0007
    slower_by: float = 1.0
    slower_at: float = 0.0
    faster_at: float = 0.0

    def seconds(self, rows: int, now: float, rng: random.Random) -> float:
        """How long this batch takes."""
        factor = self.slower_by if self.slower_at <= now < self.faster_at else 1.0
        return factor * (self.alpha + self.beta * rows) * max(0.3, rng.gauss(1, self.noise))

    def capacity(self, slo: float, max_rows: int = 512) -> float:
        """Rows per second in batches of which an event that just missed one makes the next."""
        rows = min(max_rows, int((slo / 2 - self.alpha) / self.beta))
        return rows / (self.alpha + self.beta * rows)


class Setup(NamedTuple):
    """What the batcher is told: seconds of reserve and fallback, rows of a call, the first guess at the backend.

    With `gives_up` an event in a call is the fallback's when its deadline less these is reached, and a call ends with
    the last of them; without `lets_go` it ends with the first, and all its events are the fallback's then. With
    `is_shared` it knows that others ask the same backend.
    """

    guess: tuple[float, float] = (0.001, 0.00002)
    reserve: float = 0.0
    fallback: float = 0.0005
    max_rows: int = 512
    gives_up: bool = False
    lets_go: bool = True
    is_shared: bool = False


class Phase(NamedTuple):
    """Arrivals at a rate until an instant."""

    until: float
    rate: float


@dataclass
class Result:
    """What became of the events. `scored`, by class and second of arrival, counts those in time."""

    sent: Counter[tuple[str, int]] = field(default_factory=Counter)
    scored: Counter[tuple[str, int]] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    missed_late: int = 0
    given_up: int = 0
    latencies: list[float] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    answers: list[tuple[float, int]] = field(default_factory=list)
    largest: int = 0


@dataclass
class Instance:
    """Computes one batch after the other, whoever sent it."""

    free_at: float = 0.0


class Simulation:
    """One endpoint with one instance behind a network, which several may share; time is a number."""

    def __init__(
        self,
        backend: Backend,
        classes: Sequence[SloClass],
        seed: int,
        setup: Setup | None = None,
        instance: Instance | None = None,
    ) -> None:
        self._setup = setup or Setup()
        self._backend = backend
        self._instance = instance or Instance()
        self._may_be_late = {kind.name: kind.is_scored_late for kind in classes}
        self._rng = random.Random(seed)
        self.latency = LatencyModel(*self._setup.guess)
        limits = Limits(self._setup.max_rows, lets_go=self._setup.gives_up and self._setup.lets_go)
        self.batcher: Batcher[Item] = Batcher(classes, self.latency, limits)
        self.batcher.keep(self._setup.reserve, self._setup.fallback)
        self.batcher.set_up(0, True, is_shared=self._setup.is_shared)
        self.result = Result()
        self._happenings: list[tuple[float, int, str, Any]] = []
        self._ids = itertools.count()
        self._wake_at = math.inf
        self._under_way: dict[int, list[Item]] = {}  # by call: those that it may still answer

    def run(self, arrivals: Iterable[Item]) -> Result:
        """All arrivals, and then until nothing is left."""
        self.begin(arrivals)
        while self.next_at < math.inf:
            self.step()
        return self.result

    def begin(self, arrivals: Iterable[Item]) -> None:
        """These will come."""
        self._arrivals = _takes(arrivals)
        self._next_take()

    @property
    def next_at(self) -> float:
        """When something happens next; inf if nothing is left."""
        return self._happenings[0][0] if self._happenings else math.inf

    def step(self) -> None:
        """What happens next."""
        now, _, what, payload = heapq.heappop(self._happenings)
        if what == "take":
            self.result.sent.update((item.slo_class, int(item.arrived)) for item in payload)
            self.batcher.add(payload)
            self._next_take()
        elif what == "compute":
            self._compute(payload, now)
        elif what == "answer":
            self._answer(payload, now)
        elif what == "give up":
            self._give_up(payload, now)
        elif now < self._wake_at:
            return  # a timer that was set anew meanwhile
        self._plan(now)

    def _at(self, when: float, what: str, payload: Any = None) -> None:
        heapq.heappush(self._happenings, (when, next(self._ids), what, payload))

    def _next_take(self) -> None:
        for when, items in self._arrivals:
            self._at(when, "take", items)
            return

    def _plan(self, now: float) -> None:
        while True:
            plan = self.batcher.next(now)
            for item in plan.missed:
                self._miss(item, now)
            self._let_go(plan.let_go, now)
            if plan.call is None:
                break
            self._send(plan.call, now)
        self._wake_at = math.inf
        if plan.wake_at is not None and plan.wake_at < math.inf:
            self._wake_at = max(plan.wake_at, math.nextafter(now, math.inf))
            self._at(self._wake_at, "wake")

    def _send(self, call: Call[Item], now: float) -> None:
        self.result.largest = max(self.result.largest, len(call.events))
        self._under_way[call.number] = call.events
        self._at(now + self._backend.network / 2, "compute", call)
        if self._setup.gives_up and call.deadline < math.inf:
            self._at(max(now, call.deadline - self._kept), "give up", call)

    @property
    def _kept(self) -> float:
        return self._setup.reserve + self._setup.fallback

    def _let_go(self, events: Sequence[Item], now: float) -> None:
        gone = set(events)
        for number in self._under_way if gone else ():
            self._under_way[number] = [item for item in self._under_way[number] if item not in gone]
        self.result.given_up += len(gone)
        for item in events:
            self._miss(item, now)

    def _compute(self, call: Call[Item], now: float) -> None:
        start = max(now, self._instance.free_at)
        self._instance.free_at = start + self._backend.seconds(len(call.events), start, self._rng)
        self._at(self._instance.free_at + self._backend.network / 2, "answer", call)

    def _answer(self, call: Call[Item], now: float) -> None:
        if call.number not in self._under_way:
            return  # given up; the backend did the work all the same
        events = self._under_way.pop(call.number)
        self.batcher.done(call, now, was_answered=True)
        self.result.answers.append((now, len(events)))
        for item in events:
            self.result.answered.append(item.number)
            if now + self._setup.reserve <= item.deadline:
                self.result.scored[item.slo_class, int(item.arrived)] += 1
                self.result.latencies.append(now - item.arrived)
            else:
                self.result.late[item.slo_class] += 1

    def _give_up(self, call: Call[Item], now: float) -> None:
        if call.number in self._under_way:
            events = self._under_way.pop(call.number)
            self.batcher.done(call, now, was_answered=False)
            self.result.given_up += len(events)
            for item in events:
                self._miss(item, now)

    def _miss(self, item: Item, now: float) -> None:
        self.result.missed += 1
        if not self._may_be_late[item.slo_class]:
            self.result.missed_late += now + self._setup.reserve > item.deadline + 1e-9
        self.result.answered.append(item.number)


def run_together(simulations: Sequence[Simulation]) -> None:
    """Those that have begun, until nothing is left of any."""
    while (first := min(simulations, key=lambda each: each.next_at)).next_at < math.inf:
        first.step()


def arrivals(phases: Sequence[Phase], kinds: Sequence[tuple[SloClass, float]], seed: int) -> Iterator[Item]:
    """Poisson arrivals; each event is of a class by its weight."""
    rng = random.Random(seed)
    classes, weights = [kind for kind, _ in kinds], [weight for _, weight in kinds]
    now = 0.0
    numbers = itertools.count()
    for until, rate in phases:
        while (now := now + rng.expovariate(rate)) < until:
            chosen = classes[0] if len(classes) == 1 else rng.choices(classes, weights)[0]
            yield Item(next(numbers), now, now + chosen.slo_seconds, chosen.name)
        now = until


def _takes(items: Iterable[Item]) -> Iterator[tuple[float, list[Item]]]:
    """An event that comes alone is taken at once, those soon after it together."""
    until, taken = 0.0, list[Item]()
    for item in items:
        if item.arrived >= until:
            if taken:
                yield until, taken
                taken = []
            yield item.arrived, [item]
            until = item.arrived + _TAKE_SECONDS
        else:
            taken.append(item)
    if taken:
        yield until, taken
