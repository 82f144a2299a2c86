"""The plan of what goes wrong: as much as was asked for, the same for a seed, and never two brokers at once."""

import itertools
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.nemesis import Aim, surrounding_steps, worker_steps

aims = st.builds(
    Aim,
    workers=st.integers(1, 5),
    kills=st.integers(0, 40),
    zombies=st.integers(0, 8),
    seconds=st.floats(30, 3_600),
    session_seconds=st.floats(1, 10),
)


@given(st.integers(), aims)
def test_exactly_so_many_kills_and_zombies_of_workers_there_are(seed: int, aim: Aim) -> None:
    steps = worker_steps(random.Random(seed), aim)
    hit = Counter(step.kind for step in steps for _ in step.victims)
    assert (hit["worker_kill"], hit["zombie"]) == (aim.kills, aim.zombies)
    for step in steps:
        assert set(step.victims) <= set(range(aim.workers))
        assert len(set(step.victims)) == len(step.victims)


@given(st.integers(), aims)
def test_a_zombie_outlives_its_session(seed: int, aim: Aim) -> None:
    steps = worker_steps(random.Random(seed), aim)
    assert all(step.seconds > aim.session_seconds for step in steps if step.kind == "zombie")


@given(st.integers(), aims)
def test_a_seed_gives_the_same_plan(seed: int, aim: Aim) -> None:
    plans = [
        (worker_steps(rng, aim), list(itertools.islice(surrounding_steps(rng, aim), 15)))
        for rng in (random.Random(seed), random.Random(seed))
    ]
    assert plans[0] == plans[1]


@given(st.integers(), aims)
def test_everything_around_the_workers_goes_wrong_in_ten_steps(seed: int, aim: Aim) -> None:
    steps = list(itertools.islice(surrounding_steps(random.Random(seed), aim), 10))
    assert {step.kind for step in steps} == {
        *("broker_kill", "broker_freeze", "broker_restart", "triton_kill", "triton_freeze"),
        *("network_delay", "network_stall", "network_reset", "network_refuse", "network_throttle"),
    }
    assert all(len(step.victims) == 1 for step in steps if step.kind.startswith("broker"))
    assert all((step.bad is not None) == step.kind.startswith("network") for step in steps)


def test_a_long_run_freezes_a_broker_for_up_to_a_minute_and_a_short_one_does_not() -> None:
    for seconds, least, most in ((600, 30, 60), (60, 5, 10)):
        aim = Aim(3, 1, 0, seconds, 6)
        steps = itertools.islice(surrounding_steps(random.Random(1), aim), 200)
        longest = max(step.seconds for step in steps if step.kind == "broker_freeze")
        assert least < longest <= most
