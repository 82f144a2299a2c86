"""The batcher with the learned reserve on a busy machine, where everything around the model takes long, now and then.

Times as measured on two shared cores: an event is some milliseconds old when it is taken, a call takes longer than
the model computes, and an acknowledgement has a long tail.
"""

import math
import random
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from tests.unit.policy.simulation import Backend, Item, Phase, Setup, Simulation, arrivals

from inferstream.policy.batcher import Call, SloClass
from inferstream.policy.reserve import Reserve

SECONDS = 8.0
WARM_UP = 2.0
PACED = Backend(0.002226, 0.0005074, 0.05)
"""The load test's paced model."""
FALLBACK = 0.001
INTAKE = 0.003, 0.002
"""Seconds at least, and on average beyond that."""


class Drawn(NamedTuple):
    """Seconds of a log-normal distribution: the median, and the spread of the logarithm."""

    median: float
    spread: float

    def seconds(self, rng: random.Random) -> float:
        return rng.lognormvariate(math.log(self.median), self.spread)


CALL = Drawn(0.0012, 0.9)
ACKNOWLEDGEMENT = Drawn(0.0032, 0.55)


class BusyMachine(Simulation):
    """Counts what is acknowledged in time, of the model's answers and of all."""

    def __init__(self, slo: SloClass, seed: int) -> None:
        super().__init__(PACED, [slo], seed, Setup(gives_up=True))
        self._reserve = Reserve(slo.slo_seconds)
        self._machine = random.Random(seed + 1)
        self.sent = self.in_time = self.scored = 0

    def _plan(self, now: float) -> None:
        self.batcher.keep(self._reserve.emit, self._reserve.fallback)
        super()._plan(now)

    @property
    def _kept(self) -> float:
        return self._reserve.emit + self._reserve.fallback

    def _compute(self, call: Call[Item], now: float) -> None:
        start = max(now, self._instance.free_at)
        took = PACED.seconds(len(call.events), start, self._rng) + CALL.seconds(self._machine)
        self._instance.free_at = start + took
        self._at(start + took + PACED.network / 2, "answer", call)

    def _answer(self, call: Call[Item], now: float) -> None:
        if call.number in self._under_way:
            events = self._under_way.pop(call.number)
            self.batcher.done(call, now, was_answered=True)
            self._emit(events, now, is_scored=True)

    def _miss(self, item: Item, now: float) -> None:
        self._emit([item], now + FALLBACK, is_scored=False)

    def _emit(self, events: list[Item], now: float, is_scored: bool) -> None:
        took = ACKNOWLEDGEMENT.seconds(self._machine)
        self._reserve.acknowledged(took)
        for event in events:
            self.result.answered.append(event.number)
            if event.arrived >= WARM_UP:
                is_in_time = now + took <= event.deadline
                self.sent += 1
                self.in_time += is_in_time
                self.scored += is_in_time and is_scored


def taken(events: Iterable[Item], seed: int) -> list[Item]:
    """They are some milliseconds old when they are taken."""
    rng = random.Random(seed)
    late = [event._replace(arrived=event.arrived + INTAKE[0] + rng.expovariate(1 / INTAKE[1])) for event in events]
    return sorted(late, key=lambda event: event.arrived)


@pytest.mark.parametrize(
    ("slo_ms", "load", "scored", "in_time"),
    [
        (20, 0.5, 0.07, 0.985),
        (20, 1.0, 0.04, 0.985),
        (50, 0.5, 0.94, 0.999),
        (50, 1.0, 0.68, 0.998),
        (50, 2.0, 0.35, 0.998),
    ],
)
def test_a_busy_machine_leaves_the_model_what_it_can_and_nearly_all_are_in_time(
    slo_ms: int, load: float, scored: float, in_time: float
) -> None:
    slo = SloClass("default", slo_ms / 1000)
    rate = load * PACED.capacity(slo.slo_seconds)
    machine = BusyMachine(slo, seed=1)
    result = machine.run(taken(arrivals([Phase(SECONDS, rate)], [(slo, 1.0)], seed=2), seed=3))
    assert sorted(result.answered) == list(range(result.sent.total()))
    shares = machine.scored / machine.sent, machine.in_time / machine.sent
    assert shares[0] >= scored, shares
    assert shares[1] >= in_time, shares
