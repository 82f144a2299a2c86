"""Batcher: eager, earliest deadline first, bounded; what the model cannot make is handed out while there is time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferstream.policy.batcher import Batcher, Call, Limits, Plan, SloClass
from inferstream.policy.latency import LatencyModel

ALPHA, BETA = 0.001, 0.0001
DEFAULT = SloClass("default", 0.05)


class Item(NamedTuple):
    """An event, as far as the batcher is concerned."""

    number: int
    deadline: float
    slo_class: str = "default"


def batcher(
    *classes: SloClass,
    max_rows: int = 64,
    instances: Sequence[int] = (1,),
    alpha: float = ALPHA,
    overhead: float = 0,
    lets_go: bool = False,
) -> Batcher[Item]:
    """Believes in 1 ms a call and 0.1 ms a row; keeps 10 ms for the outcome and 2 ms for the fallback."""
    limits = Limits(max_rows, overhead=overhead, lets_go=lets_go)
    return Batcher(classes or (DEFAULT,), LatencyModel(alpha, BETA), limits, instances)


def items(count: int, deadline: float = 0.05, slo_class: str = "default", first: int = 0) -> list[Item]:
    """So many events with one deadline."""
    return [Item(first + number, deadline, slo_class) for number in range(count)]


def sent(plan: Plan[Item]) -> Call[Item]:
    """The call that is to be made."""
    assert plan.call is not None
    return plan.call


def numbers(events: Sequence[Item]) -> list[int]:
    """Which events these are."""
    return [event.number for event in events]


def test_what_waits_is_sent_at_once() -> None:
    """Nothing lingers: one event is a batch when the backend is free."""
    waiting = batcher()
    waiting.add(items(1))
    plan = waiting.next(0.0)
    assert numbers(sent(plan).events) == [0]
    assert (sent(plan).endpoint, sent(plan).deadline, plan.missed, plan.wake_at) == (0, 0.05, [], None)
    assert (len(waiting), waiting.in_flight) == (0, 1)
    assert waiting.next(0.0) == Plan(None, [], None)


def test_the_second_call_is_sent_just_before_the_backend_frees() -> None:
    """Until then the batch grows; the wake-up is a tenth of the first batch's time ahead, for it may be quicker."""
    waiting = batcher()
    waiting.add(items(10))
    waiting.next(0.0)  # 2 ms
    waiting.add(items(1, first=10))
    plan = waiting.next(0.0001)
    assert plan.call is None
    assert plan.wake_at == pytest.approx(0.002 - 0.0002)
    waiting.add(items(1, first=11))
    assert numbers(sent(waiting.next(plan.wake_at or 0)).events) == [10, 11]


def test_one_call_more_than_instances_is_under_way() -> None:
    """A third one would only wait at the server, where it does not grow; it is asked for when one has ended."""
    waiting = batcher()
    calls = []
    for number in range(2):
        waiting.add(items(1, first=number))
        calls.append(sent(waiting.next(0.0 if number == 0 else 0.001)))
    waiting.add(items(1, first=2))
    plan = waiting.next(0.0011)
    assert plan.call is None
    assert plan.wake_at == pytest.approx(0.05 - 0.012)  # when the event is overdue
    waiting.done(calls[0], 0.0012, was_answered=True)
    assert waiting.in_flight == 1
    assert sent(waiting.next(0.0022)).number == 3


def test_an_early_answer_frees_the_backend() -> None:
    """When it will be free is computed anew at each answer."""
    waiting = batcher()
    waiting.add(items(64))
    call = sent(waiting.next(0.0))  # believed to take 7.4 ms
    waiting.add(items(1, first=64))
    assert waiting.next(0.004).call is None
    waiting.done(call, 0.004, was_answered=True)
    assert numbers(sent(waiting.next(0.004)).events) == [64]


def test_a_call_given_up_keeps_its_backend_busy() -> None:
    """Nobody waits for it, but it is computed: the next one is not sent on top of it."""
    waiting = batcher()
    waiting.add(items(64))
    call = sent(waiting.next(0.0))
    waiting.done(call, 0.002, was_answered=False)
    waiting.add(items(1, first=64))
    plan = waiting.next(0.002)
    assert waiting.in_flight == 0
    assert plan.call is None
    assert plan.wake_at is not None
    assert 0.005 < plan.wake_at < 0.0074


def test_a_batch_is_as_large_as_its_earliest_deadline_allows() -> None:
    """Rows beyond that would make the first one late."""
    waiting = batcher(SloClass("default", 0.02), max_rows=512)
    target = int((0.008 / 2 - ALPHA) / BETA)
    waiting.add(items(1, deadline=0.012 + 1.25 * (ALPHA + BETA * (target + 3)) + 1e-9))
    waiting.add(items(400, deadline=1.0, first=1))
    assert len(sent(waiting.next(0.0)).events) == target + 3


def test_the_earliest_deadline_goes_first_within_a_class() -> None:
    """Events with equal deadlines keep their order."""
    waiting = batcher(max_rows=3)
    waiting.add([Item(0, 3.0), Item(1, 1.0), Item(2, 2.0), Item(3, 1.0), Item(4, 3.0)])
    call = sent(waiting.next(0.0))
    assert numbers(call.events) == [1, 3, 2]
    assert call.deadline == 1.0


def test_the_earliest_deadline_goes_first_across_classes() -> None:
    """No class has priority but by its deadlines."""
    waiting = batcher(SloClass("a", 1.0), SloClass("b", 1.0), max_rows=3)
    waiting.add([Item(0, 0.5, "a"), Item(1, 0.4, "b"), Item(2, 0.6, "b"), Item(3, 0.7, "a")])
    assert numbers(sent(waiting.next(0.0)).events) == [1, 0, 2]


def test_a_reserved_share_is_in_every_batch() -> None:
    """Rounded up, while the class has events waiting, though all of another's deadlines are earlier."""
    waiting = batcher(SloClass("a", 1.0), SloClass("b", 1.0, reserved_share=0.25), max_rows=10)
    waiting.add(items(100, 0.5, "a") + items(4, 0.9, "b", first=100))
    now, shares = 0.0, []
    for _ in range(3):
        call = sent(waiting.next(now))
        shares.append(sum(event.slo_class == "b" for event in call.events))
        assert len(call.events) == 10
        now += 0.002
        waiting.done(call, now, was_answered=True)
    assert shares == [3, 1, 0]


def test_what_would_be_late_in_a_full_batch_is_missed_at_once() -> None:
    """Window drop: a small batch for the oldest would make all others late too."""
    waiting = batcher(max_rows=512)
    target = int((0.038 / 2 - ALPHA) / BETA)
    needed = 0.012 + 1.25 * (ALPHA + BETA * target)
    waiting.add(items(2, needed - 1e-6) + items(target, needed + 1e-6, first=2))
    plan = waiting.next(0.0)
    assert numbers(plan.missed) == [0, 1]
    assert numbers(sent(plan).events) == list(range(2, target + 2))


def test_the_same_event_is_sent_when_few_wait() -> None:
    """There is no full batch to wait for."""
    waiting = batcher(max_rows=512)
    waiting.add(items(2, 0.012 + 1.3 * (ALPHA + 2 * BETA) + 1e-6))
    assert len(sent(waiting.next(0.0)).events) == 2


def test_an_idle_backend_is_tried_with_what_calls_take_on_average() -> None:
    """It has nothing to lose; a busy one is planned with what calls seldom exceed, and only probed."""
    due = 0.012 + 1.1 * (ALPHA + 2 * BETA)
    idle = batcher()
    idle.add(items(2, due))
    assert (numbers(idle.next(0.0).missed), idle.in_flight) == ([], 1)
    busy = batcher()
    busy.add(items(1, 1.0, first=7))
    sent(busy.next(0.0))
    free_at = ALPHA + BETA
    busy.add(items(2, free_at + due))
    assert numbers(busy.next(free_at).missed) == [0]


def test_what_may_be_computing_for_others_is_not_idle() -> None:
    shared = batcher()
    shared.set_up(0, True, is_shared=True)
    shared.add(items(2, 0.012 + 1.1 * (ALPHA + 2 * BETA)))
    assert numbers(shared.next(0.0).missed) == [0]


def test_an_event_that_cannot_wait_longer_leaves_its_call_which_goes_on_for_the_others() -> None:
    waiting = batcher(lets_go=True)
    waiting.add([Item(0, 0.05), Item(1, 0.06)])
    plan = waiting.next(0.0)
    call = sent(plan)
    assert (numbers(call.events), call.deadline) == ([0, 1], 0.06)
    plan = waiting.next(0.001)
    assert list(plan.let_go) == []
    assert plan.wake_at == pytest.approx(0.05 - 0.012)
    plan = waiting.next(0.0381)
    assert (numbers(plan.let_go), plan.missed) == ([0], [])
    assert plan.wake_at == pytest.approx(0.06 - 0.012)
    assert waiting.in_flight == 1
    waiting.done(call, 0.04, was_answered=True)
    assert waiting.next(0.1) == Plan(None, [], None)


def test_once_a_call_is_answered_nobody_leaves_it() -> None:
    waiting = batcher(lets_go=True)
    waiting.add(items(2))
    waiting.answered(sent(waiting.next(0.0)))
    assert (waiting.next(0.06).let_go, waiting.in_flight) == ((), 1)


def test_events_of_partitions_that_are_gone_and_those_that_may_be_late_are_not_let_go() -> None:
    waiting = batcher(SloClass("strict", 0.05), SloClass("late", 0.05, is_scored_late=True), lets_go=True)
    waiting.add(items(2, slo_class="strict") + items(1, slo_class="late", first=2))
    assert len(sent(waiting.next(0.0)).events) == 3
    waiting.drop(lambda item: item.number == 0)
    assert numbers(waiting.next(0.04).let_go) == [1]


def test_overdue_events_are_handed_out_while_the_backend_is_frozen() -> None:
    """The fallback has its time and the outcome its reserve."""
    waiting = batcher()
    for number in range(2):
        waiting.add(items(1, 1.0, first=number))
        waiting.next(number * 0.001)
    waiting.add([Item(2, 0.05), Item(3, 0.06)])
    plan = waiting.next(0.002)
    assert plan.wake_at == pytest.approx(0.05 - 0.012)
    assert waiting.next(0.0379).missed == []
    assert numbers(waiting.next(0.0381).missed) == [2]
    assert numbers(waiting.next(0.05).missed) == [3]


def test_a_larger_reserve_hands_out_earlier() -> None:
    """The reserve is learned while the service runs."""
    waiting = batcher()
    waiting.keep(0.03, 0.002)
    waiting.add(items(1))
    assert numbers(waiting.next(0.019).missed) == [0]


def test_an_endpoint_that_is_down_gets_no_call() -> None:
    """The other one does; if all are down events wait for some of their time, and it is asked again soon."""
    waiting = batcher(instances=(1, 1))
    waiting.set_up(0, is_up=False)
    waiting.add(items(1))
    assert sent(waiting.next(0.0)).endpoint == 1
    waiting.set_up(1, is_up=False)
    waiting.add(items(1, 0.2, first=1))
    plan = waiting.next(0.1)
    assert plan.call is None
    assert plan.wake_at is not None
    assert 0.1 < plan.wake_at <= 0.188
    assert numbers(plan.missed) + numbers(waiting.next(0.188).missed) == [1]


def test_the_endpoint_that_is_free_first_is_called() -> None:
    """Two servers are filled in turn; one with two instances takes twice as many calls."""
    waiting = batcher(instances=(1, 2), max_rows=10)
    waiting.add(items(100, 1.0))
    calls = []
    for step in range(5):
        plan = waiting.next(0.002 * step / 3)
        if plan.call is not None:
            calls.append(plan.call.endpoint)
    assert calls[:3] == [0, 1, 1]


def test_more_instances_are_used_once_they_are_known() -> None:
    """The number is learned from the server when the batcher has been made already."""
    waiting = batcher(max_rows=1)
    waiting.set_up(0, is_up=True, instances=2)
    waiting.add(items(4, 1.0))
    assert waiting.next(0.0).call is not None
    assert waiting.next(0.0).call is not None
    assert waiting.in_flight == 2


def test_a_backend_that_others_share_gets_no_call_ahead() -> None:
    """It would queue behind theirs; what it held has been waiting for something better to come meanwhile."""
    waiting = batcher(max_rows=1)
    waiting.add(items(4, 1.0))
    waiting.set_up(0, True, is_shared=True)
    call = sent(waiting.next(0.0))
    assert waiting.next(0.00105).call is None
    waiting.set_up(0, True, is_shared=False)
    assert waiting.next(0.00105).call is not None
    waiting.set_up(0, True, is_shared=True)
    waiting.done(call, 0.0011, was_answered=True)
    assert waiting.next(0.0011).call is None


@pytest.mark.parametrize(
    ("most", "rows"), [((0, 0), (64, 64)), ((8, 0), (8, 64)), ((16, 8), (16, 8)), ((1_024, 1), (64, 1))]
)
def test_a_call_has_no_more_rows_than_the_model_it_is_for_takes(most: tuple[int, int], rows: tuple[int, int]) -> None:
    """The number is learned from each server; 0 is any number."""
    waiting = batcher(instances=(1, 1), max_rows=64)
    for endpoint, each in enumerate(most):
        waiting.set_up(endpoint, True, 1, each)
    waiting.add(items(200, 1.0))
    assert tuple(len(sent(waiting.next(0.0)).events) for _ in most) == rows


def test_a_share_of_small_calls_is_a_share_and_not_all() -> None:
    """Each is rounded up, so the next ones give less."""
    waiting = batcher(DEFAULT, SloClass("slow", 5.0, 0.1), max_rows=1)
    waiting.add([*items(300, 0.9), *items(300, 5.0, "slow", first=1_000)])
    classes, now = [], 0.0
    for _ in range(100):
        call = sent(waiting.next(now))
        classes.append(call.events[0].slo_class)
        now += 0.002
        waiting.done(call, now, was_answered=True)
    assert classes.count("slow") == 10


def test_instances_that_are_added_are_used_under_load_and_those_taken_away_end_first() -> None:
    waiting = batcher(max_rows=1)
    waiting.add(items(40, 1.0))
    calls = [sent(waiting.next(0.0))]
    assert waiting.next(0.0).call is None
    waiting.set_up(0, True, 4)
    calls += [sent(waiting.next(0.0)) for _ in range(3)]
    assert waiting.next(0.0).call is None
    waiting.set_up(0, True, 1)
    for number, call in enumerate(calls):
        waiting.done(call, 0.001 * (number + 1), was_answered=True)
    waiting.set_up(0, True, 1)
    assert sent(waiting.next(0.1)).number == 5
    assert waiting.next(0.1).call is None


def test_all_that_waits_can_be_given_up_and_is_then_nobodys() -> None:
    waiting = batcher(DEFAULT, SloClass("slow", 5.0))
    waiting.add([*items(3), *items(2, 5.0, "slow", first=3)])
    assert numbers(waiting.give_up()) == [0, 1, 2, 3, 4]
    assert (len(waiting), waiting.next(0.0)) == (0, Plan(None, [], None))


def test_what_would_be_late_is_judged_by_calls_as_large_as_the_model_takes() -> None:
    """In calls of 4 the queue's head makes it, in one of 64 it would not."""
    waiting = batcher(max_rows=64)
    waiting.set_up(0, True, 1, 4)
    waiting.add(items(64, 0.0145))
    plan = waiting.next(0.0)
    assert (len(sent(plan).events), plan.missed) == (4, [])


def test_a_backend_that_seems_too_slow_is_tried_now_and_then() -> None:
    """One event in 0.2 s goes to the model all the same; once it is answered the next follows at once."""
    waiting = batcher(alpha=1.0)
    waiting.add(items(3))
    plan = waiting.next(0.0)
    call = sent(plan)
    assert len(call.events) == 1
    assert len(plan.missed) == 2
    waiting.done(call, 0.038, was_answered=False)
    waiting.add(items(1, 2.25))
    plan = waiting.next(2.2)
    waiting.done(sent(plan), 2.21, was_answered=True)
    waiting.add(items(1, 2.3))
    assert waiting.next(2.22).call is not None


def test_it_is_not_tried_more_often() -> None:
    """Each such event costs the event its time."""
    waiting = batcher(alpha=1.0)
    waiting.add(items(1))
    waiting.done(sent(waiting.next(0.0)), 0.001, was_answered=False)
    sent_at = []
    for step in range(1, 1_200):
        now = 1.3 + step / 1000
        waiting.add(items(1, now + 0.05))
        plan = waiting.next(now)
        if plan.call is not None:
            sent_at.append(now)
            waiting.done(plan.call, now, was_answered=False)
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(sent_at))


def test_dropped_events_are_forgotten() -> None:
    """Somebody else answers them; the others stay in order."""
    waiting = batcher()
    waiting.add(items(6))
    waiting.drop(lambda event: event.number % 2 == 0)
    assert len(waiting) == 3
    assert numbers(sent(waiting.next(0.0)).events) == [1, 3, 5]


PATIENT = SloClass("patient", 0.05, is_scored_late=True)


def test_events_that_may_be_late_are_never_missed() -> None:
    """They are scored when there is time, however late it is."""
    waiting = batcher(PATIENT)
    waiting.add(items(3, 0.05, "patient"))
    plan = waiting.next(7.0)
    assert plan.missed == []
    assert len(sent(plan).events) == 3


def test_a_call_of_events_that_may_be_late_is_given_up_when_it_takes_far_longer_than_calls_do() -> None:
    """A server may forget a call: its instance must not be kept from all others, nor a slow model be cut short."""
    waiting = batcher(PATIENT)
    waiting.add(items(1, 0.05, "patient"))
    assert 9.0 <= sent(waiting.next(7.0)).deadline < 9.1
    slow = batcher(PATIENT, alpha=1.0)
    slow.add(items(1, 0.05, "patient"))
    assert 17.0 <= sent(slow.next(7.0)).deadline < 24.0
    early = batcher(PATIENT)
    early.add(items(1, 60.0, "patient"))
    assert sent(early.next(7.0)).deadline == 60.0


def test_events_that_may_be_late_wait_for_an_endpoint_until_their_deadline() -> None:
    """While none is up it is asked again and again, not never; then the fallback answers: an outage has no end."""
    waiting = batcher(PATIENT)
    waiting.set_up(0, is_up=False)
    waiting.add(items(1, 7.5, "patient"))
    plan = waiting.next(7.0)
    assert (plan.call, plan.missed) == (None, [])
    assert plan.wake_at is not None
    assert 7.0 < plan.wake_at < 7.1
    assert numbers(waiting.next(7.5).missed) == [0]


def test_late_events_fill_what_the_others_leave() -> None:
    """Those that can be in time go first, are not missed for a backlog of late ones, and set the call's deadline."""
    waiting = batcher(DEFAULT, PATIENT)
    waiting.add(items(1_000, 0.01, "patient") + items(5, 1.05, first=1_000))
    plan = waiting.next(1.0)
    assert plan.missed == []
    assert numbers(sent(plan).events)[:5] == [1_000, 1_001, 1_002, 1_003, 1_004]
    assert len(sent(plan).events) == 64
    assert sent(plan).deadline == 1.05


def test_a_backlog_of_late_events_leaves_room_for_who_comes_next() -> None:
    """A call of late events only is no larger than the tightest class can wait for."""
    waiting = batcher(DEFAULT, SloClass("patient", 10.0, is_scored_late=True), max_rows=10_000)
    waiting.add(items(5_000, 0.01, "patient"))
    call = sent(waiting.next(20.0))
    assert ALPHA + BETA * len(call.events) <= 0.038 / 2 + 1e-9


FULL = 64 * 2  # two calls of 64 rows for one instance; 7.4 ms each, with a little for chance


def supplied(waiting: Batcher[Item], count: int, deadline: float = 60.0, at: float = 0.0) -> bool:
    """Whether so many are enough, when a call was just made."""
    waiting.add(items(1, deadline))
    assert waiting.next(0.0).call
    waiting.add(items(count, deadline))
    return waiting.is_supplied(at)


@pytest.mark.parametrize(
    ("count", "slo", "is_supplied"),
    [
        pytest.param(FULL - 1, 60.0, False, id="less than two calls"),
        pytest.param(FULL, 60.0, True, id="two calls, and time"),
        pytest.param(FULL, 0.05, False, id="two calls take long, against this SLO"),
        pytest.param(64 * 200, 20.0, False, id="so much waits that others could come too late"),
    ],
)
def test_no_more_is_wanted_while_the_next_calls_wait_and_nobody_is_in_a_hurry(
    count: int, slo: float, is_supplied: bool
) -> None:
    """Two full calls for every instance, made in a twentieth of the SLO."""
    waiting = batcher(SloClass("default", slo))
    assert supplied(waiting, count, slo) is is_supplied


def test_the_shortest_slo_says_who_is_in_a_hurry() -> None:
    """An event of a class with little time may be among those that are not taken yet."""
    waiting = batcher(SloClass("default", 60.0), SloClass("quick", 0.02))
    assert not supplied(waiting, FULL)


def test_a_model_that_does_not_get_on_is_not_waited_for() -> None:
    """What is in Kafka may soon have to be answered by others."""
    waiting = batcher(SloClass("default", 60.0))
    assert supplied(waiting, FULL, at=2.9)
    assert not waiting.is_supplied(3.1)


def test_more_is_wanted_for_more_instances_and_while_nobody_computes() -> None:
    """What waits may have to be answered by others than the model: that must see it."""
    waiting = batcher(SloClass("default", 60.0), instances=(1, 1))
    assert not supplied(waiting, FULL)
    waiting.set_up(0, is_up=False)
    assert waiting.is_supplied(0.0)
    waiting.set_up(1, is_up=False)
    assert not waiting.is_supplied(0.0)


@dataclass
class World:
    """A batcher with everything that can happen to it, and the rules that hold throughout."""

    batcher: Batcher[Item]
    max_rows: int
    instances: list[int]
    up: list[bool]
    now: float = 0.0
    count: int = 0
    waiting: dict[int, Item] = field(default_factory=dict)
    under_way: list[Call[Item]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    wake_at: float = math.inf

    def add(self, classes: list[tuple[str, float]]) -> None:
        """Events come in."""
        new = [Item(self.count + n, self.now + left, name) for n, (name, left) in enumerate(classes)]
        self.count += len(new)
        self.waiting |= {event.number: event for event in new}
        self.batcher.add(new)
        self.plan()

    def end(self, which: int, was_answered: bool) -> None:
        """A call ends."""
        if self.under_way:
            self.batcher.done(self.under_way.pop(which % len(self.under_way)), self.now, was_answered)
            self.plan()

    def set_up(self, which: int, is_up: bool) -> None:
        """An endpoint comes or goes."""
        self.up[which % len(self.up)] = is_up
        self.batcher.set_up(which % len(self.up), is_up)
        self.plan()

    def sleep(self, seconds: float) -> None:
        """Time passes; the batcher is asked when it wants to be."""
        until = self.now + seconds
        while self.wake_at < until:
            self.now = max(math.nextafter(self.now, math.inf), self.wake_at)
            self.plan()
        self.now = until

    def plan(self) -> None:
        """Do what is to be done now."""
        while True:
            plan = self.batcher.next(self.now)
            for event in plan.missed:
                if self.is_patient(event):
                    assert not any(self.up), "there is a model to wait for"
                    assert event.deadline <= self.now, "there is time to wait for one"
                else:
                    assert self.now <= event.deadline - 0.01 + 1e-9, "missed too late for the fallback"
                self.leave(event)
            if plan.call is None:
                break
            self.call(plan.call)
        self.wake_at = math.inf if plan.wake_at is None else plan.wake_at
        assert self.wake_at > self.now - 1e-9
        assert len(self.batcher) == len(self.waiting)
        assert self.batcher.in_flight == len(self.under_way)
        assert not self.waiting or self.wake_at < math.inf or any(self.up)

    def call(self, call: Call[Item]) -> None:
        """A call is made."""
        assert 1 <= len(call.events) <= self.max_rows
        assert self.up[call.endpoint]
        self.under_way.append(call)
        at_endpoint = sum(c.endpoint == call.endpoint for c in self.under_way)
        assert at_endpoint <= self.instances[call.endpoint] + 1
        deadlines = [event.deadline for event in call.events if not self.is_patient(event)]
        assert call.deadline == min(deadlines) if deadlines else call.deadline >= self.now + 2.0
        for event in call.events:
            self.leave(event)
            same = [e for e in self.waiting.values() if e.slo_class == event.slo_class]
            chosen = {e.number for e in call.events}
            assert all((event.deadline, event.number) < (e.deadline, e.number) for e in same if e.number not in chosen)

    def leave(self, event: Item) -> None:
        """An event is nobody's twice."""
        assert self.waiting.pop(event.number) is event
        self.gone.append(event.number)

    @staticmethod
    def is_patient(event: Item) -> bool:
        """Whether it may be late."""
        return event.slo_class == "patient"


NAMES = st.sampled_from(["a", "b", "patient"])
STEPS = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(NAMES, st.floats(0.02, 0.1)), min_size=1, max_size=12)),
    st.tuples(st.just("sleep"), st.floats(0, 0.03)),
    st.tuples(st.just("end"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("set_up"), st.integers(0, 1), st.booleans()),
)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=30), st.integers(1, 9), st.lists(st.integers(1, 2), min_size=1, max_size=2), st.data())
def test_whatever_happens_the_rules_hold(
    steps: list[tuple[str, ...]], max_rows: int, instances: list[int], data: st.DataObject
) -> None:
    """Each event goes once; by deadline and then first in, first out; within the bounds; never missed too late."""
    share = data.draw(st.sampled_from([0.0, 0.3]))
    classes = (SloClass("a", 0.02), SloClass("b", 0.1, share), SloClass("patient", 0.05, is_scored_late=True))
    waiting = batcher(
        *classes, max_rows=max_rows, instances=instances, overhead=data.draw(st.sampled_from([0, 0.0007]))
    )
    world = World(waiting, max_rows, instances, [True] * len(instances))
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    for endpoint in range(len(instances)):
        world.set_up(endpoint, is_up=True)
    while world.waiting or world.under_way:
        world.sleep(0.01)
        world.end(0, was_answered=True)
    assert sorted(world.gone) == list(range(world.count))


@given(st.lists(st.floats(0.0125, 2), min_size=1, max_size=200))
def test_a_frozen_backend_makes_nobody_late(left: list[float]) -> None:
    """Nothing is ever answered: what was not sent is handed out while there is time, with no other call to ask."""
    world = World(batcher(), 64, [1], [True])
    world.add([("default", seconds) for seconds in left])
    world.sleep(3)
    assert not world.waiting


@given(st.lists(st.integers(0, 40), max_size=100), st.sets(st.integers(0, 100)))
def test_drop_forgets_what_it_is_told(deadlines: list[int], gone: set[int]) -> None:
    """And nothing else."""
    waiting = batcher(max_rows=200)
    waiting.add([Item(number, 1 + deadline) for number, deadline in enumerate(deadlines)])
    waiting.drop(lambda event: event.number in gone)
    kept = sorted((1 + deadline, n) for n, deadline in enumerate(deadlines) if n not in gone)
    assert len(waiting) == len(kept)
    plan = waiting.next(0.0)
    assert numbers(plan.call.events if plan.call else []) == [n for _, n in kept]
