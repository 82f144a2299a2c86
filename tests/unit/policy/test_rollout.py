"""Which keys are a share's, and when a canary is stopped."""

import random

import pytest

from inferstream.policy.rollout import Fate, Split, StopRule

KEYS = [f"card-{number}".encode() for number in range(20_000)]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_a_share_of_the_keys_is_taken(share: float) -> None:
    split = Split("canary", share)
    assert sum(map(split.takes, KEYS)) / len(KEYS) == pytest.approx(share, abs=0.01)


def test_a_key_is_judged_alike_everywhere_and_always() -> None:
    first, second = Split("canary", 0.3), Split("canary", 0.3)
    assert [first.takes(key) for key in KEYS[:500]] == [second.takes(key) for key in KEYS[:500]]
    assert [key for key in KEYS[:8] if first.takes(key)] == [b"card-7"]  # in other processes, too


def test_a_larger_share_keeps_the_keys_of_a_smaller_one() -> None:
    small, large = Split("canary", 0.1), Split("canary", 0.2)
    assert all(large.takes(key) for key in KEYS if small.takes(key))


def test_purposes_do_not_share_their_keys() -> None:
    canary, shadow = Split("canary", 0.5), Split("shadow", 0.5)
    both = sum(canary.takes(key) and shadow.takes(key) for key in KEYS)
    assert both / len(KEYS) == pytest.approx(0.25, abs=0.02)


def rule() -> StopRule:
    return StopRule(max_excess=0.02, window=100)


@pytest.mark.parametrize("fate", ["failed", "late"])
def test_one_that_does_worse_is_stopped_and_says_why(fate: Fate) -> None:
    stop = rule()
    stop.model_did("answered", 100)
    stop.canary_did("answered", 80)
    assert stop.why is None
    stop.canary_did(fate, 20)
    assert stop.why == f"20.0% of its last 100 events {fate}, 0.0% of the model's"


@pytest.mark.parametrize("seed", range(50))
def test_what_happens_to_both_stops_nothing(seed: int) -> None:
    chance, stop = random.Random(seed), StopRule(max_excess=0.02, window=1_000)
    fates: list[Fate] = ["answered", "failed", "late"]
    for _ in range(400):
        stop.model_did(chance.choice(fates), 1)
        stop.canary_did(chance.choice(fates), 1)
    assert stop.why is None


def test_a_few_events_are_no_reason() -> None:
    stop = rule()
    stop.canary_did("failed", 19)
    assert stop.why is None
    stop.canary_did("failed", 1)
    assert stop.why is not None


def test_one_failure_among_few_may_be_chance() -> None:
    stop = rule()
    stop.model_did("answered", 100)
    stop.canary_did("answered", 19)
    stop.canary_did("failed", 1)
    assert stop.why is None


def test_what_is_long_past_is_forgotten() -> None:
    stop = StopRule(max_excess=0.1, window=100)
    stop.model_did("answered", 100)
    for _ in range(10):
        stop.canary_did("failed", 10)
        stop.canary_did("answered", 90)
    assert stop.why is None
    stop.canary_did("failed", 50)
    assert stop.why == "50.0% of its last 100 events failed, 0.0% of the model's"


def test_once_stopped_it_stays_so_until_it_is_resumed_and_begins_anew() -> None:
    stop = rule()
    stop.canary_did("failed", 20)
    stop.canary_did("answered", 10_000)
    assert stop.why is not None
    stop.resume()
    stop.canary_did("failed", 1)
    assert stop.why is None
    stop.canary_did("failed", 30)
    assert stop.why is not None
