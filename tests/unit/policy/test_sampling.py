"""Which traces are kept: a budget that is never exceeded, and a share that all replicas agree on."""

import random

from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.sampling import Ratio, TokenBucket


def test_less_than_one_a_second_is_one_now_and_then() -> None:
    bucket = TokenBucket(0.1)
    assert [bucket.take(1, now) for now in (0.0, 1.0, 9.9, 10.1, 15.0, 20.2)] == [1, 0, 0, 1, 0, 1]


def test_a_budget_gives_its_rate_and_no_more_after_a_pause() -> None:
    bucket = TokenBucket(50)
    assert bucket.take(1_000, now=0.0) == 50
    assert bucket.take(1_000, now=0.0) == 0
    assert bucket.take(1_000, now=0.1) == 5
    assert bucket.take(1_000, now=60.0) == 50


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 400)), min_size=1, max_size=60))
def test_over_any_time_no_more_than_the_rate_and_one_burst_is_given(asked: list[tuple[float, int]]) -> None:
    bucket, now, given_in_all = TokenBucket(50), 0.0, 0
    for pause, wanted in asked:
        now += pause
        given_now = bucket.take(wanted, now)
        assert 0 <= given_now <= wanted
        given_in_all += given_now
    assert given_in_all <= 50 + 50 * now + 1e-6


@given(st.sampled_from([0.001, 0.01, 0.25, 1.0]), st.lists(st.integers(0, 300), min_size=20, max_size=60))
def test_of_what_has_no_trace_every_so_manieth_is_kept(share: float, counts: list[int]) -> None:
    ratio, kept = Ratio(share), 0
    for count in counts:
        places = ratio.places(count)
        assert len(set(places)) == len(places)
        assert all(0 <= place < count for place in places)
        kept += len(places)
    assert abs(kept - share * sum(counts)) <= 1


def test_a_share_of_zero_keeps_nothing_and_one_keeps_all() -> None:
    ids = [random.Random(1).getrandbits(128) for _ in range(100)]
    assert not any(Ratio(0.0).takes(i) for i in ids)
    assert Ratio(0.0).places(1_000) == []
    assert all(Ratio(1.0).takes(i) for i in ids)


def test_traces_are_chosen_by_their_ids_so_replicas_agree() -> None:
    rng = random.Random(1)
    ids = [rng.getrandbits(128) for _ in range(20_000)]
    one, other = Ratio(0.1), Ratio(0.1)
    chosen = [i for i in ids if one.takes(i)]
    assert chosen == [i for i in ids if other.takes(i)]
    assert 0.09 < len(chosen) / len(ids) < 0.11
