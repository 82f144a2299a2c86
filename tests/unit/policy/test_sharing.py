"""A model that others ask too: how that is noticed, and what comes of knowing it."""

from collections.abc import Sequence

import pytest
from tests.unit.policy.simulation import Backend, Instance, Phase, Setup, Simulation, arrivals, run_together

from inferstream.policy.batcher import SloClass
from inferstream.policy.sharing import Sharing

SECONDS = 6
PACED = Backend(0.002226, 0.0005074, noise=0.1)
SLO = SloClass("default", 0.05)


def look(found: Sharing, sent: Sequence[int], computed: float) -> bool:
    """These calls begin and end, and then so many rows turn out to have been computed."""
    for rows in sent:
        found.sent(rows)
        found.ended(rows)
    found.computed(computed)
    return found.has_others


@pytest.mark.parametrize(
    ("sent", "computed", "has_others"),
    [
        ([50] * 40, 2_000, False),
        ([50] * 40, 2_100, False),  # counted a little later than we looked before
        ([50] * 40, 1_200, False),  # what was given up is not counted
        ([50] * 40, 2_700, True),
        ([50] * 40, 6_000, True),
        ([1], 300, True),
        ([], 6_000, False),  # it asks nothing, so it shares nothing
    ],
)
def test_others_are_there_where_more_was_computed_than_we_sent(
    sent: list[int], computed: float, has_others: bool
) -> None:
    assert look(Sharing(), sent, computed) == has_others


def test_those_who_leave_are_forgotten_at_the_next_look() -> None:
    found = Sharing()
    assert look(found, [100], 1_000)
    assert not look(found, [100], 100)


def test_a_call_that_is_under_way_at_a_look_is_ours_at_the_next_one_too() -> None:
    found = Sharing()
    for _ in range(16):
        found.sent(64)
    found.computed(0)
    for _ in range(16):
        found.ended(64)
    assert not look(found, [1], 16 * 64 + 1)
    assert look(found, [1], 16 * 64 + 1), "once"


def goodput(processes: int, load: float, is_shared: bool) -> float:
    """What all of them score in time, as a share of what the backend can do."""
    capacity, instance = PACED.capacity(SLO.slo_seconds, 256), Instance()
    setup = Setup(reserve=0.006, fallback=0.002, max_rows=256, gives_up=True, is_shared=is_shared)
    simulations = [Simulation(PACED, [SLO], seed, setup, instance) for seed in range(processes)]
    for seed, simulation in enumerate(simulations, 100):
        simulation.begin(arrivals([Phase(SECONDS, load * capacity / processes)], [(SLO, 1.0)], seed))
    run_together(simulations)
    return sum(simulation.result.scored.total() for simulation in simulations) / SECONDS / capacity


@pytest.mark.parametrize(
    ("processes", "load", "least"),
    [(2, 0.8, 0.76), (2, 1.2, 0.82), (2, 2.0, 0.85), (3, 0.8, 0.67), (3, 1.2, 0.72), (3, 2.0, 0.74)],
)
def test_who_knows_of_others_wastes_less_of_the_backend(processes: int, load: float, least: float) -> None:
    """How much less depends on what those waste who do not know: what is left is held by itself."""
    knowing = goodput(processes, load, is_shared=True)
    assert knowing > goodput(processes, load, is_shared=False) + 0.005
    assert knowing > least


def test_three_at_twice_the_load_get_what_taking_turns_leaves_them() -> None:
    """Of an event that just missed a call six calls must fit its time, three and three, where one's are two and it is
    alone: 0.78 of its rows, with what a call costs however many rows it has."""
    assert goodput(3, 2.0, is_shared=True) > 0.76 * goodput(1, 2.0, is_shared=False)
