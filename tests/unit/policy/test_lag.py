"""How long what was not taken yet has waited, as far as it can be known without asking."""

from inferstream.policy.lag import Lag


def test_the_last_record_taken_bounds_the_age_of_the_next() -> None:
    assert Lag().look({0: 5, 1: 5}, {0: 1_000, 1: 9_500}, 10_000) == {0: 9.0, 1: 0.5}


def test_who_has_caught_up_lags_only_since_then() -> None:
    lag = Lag()
    assert lag.look({0: 0}, {0: 1_000}, 60_000) == {0: 0.0}
    assert lag.look({0: 3}, {0: 1_000}, 65_000) == {0: 5.0}
    assert lag.look({0: 3}, {0: 1_000}, 70_000) == {0: 10.0}
    assert lag.look({0: 3}, {0: 68_000}, 70_000) == {0: 2.0}


def test_a_partition_that_gives_nothing_lags_since_it_was_first_seen() -> None:
    lag = Lag()
    assert lag.look({0: 9}, {}, 10_000) == {0: 0.0}
    assert lag.look({0: 9}, {}, 40_000) == {0: 30.0}
    assert lag.look({0: 9}, {0: 2_000}, 41_000) == {0: 39.0}, "the backlog is older than our first look"


def test_what_is_not_ours_is_forgotten() -> None:
    lag = Lag()
    lag.look({0: 0}, {}, 10_000)
    assert lag.look({}, {}, 20_000) == {}
    assert lag.look({0: 2}, {}, 60_000) == {0: 0.0}, "a new beginning"


def test_a_clock_that_is_ahead_makes_no_negative_lag() -> None:
    assert Lag().look({0: 1}, {0: 99_000}, 10_000) == {0: 0.0}


def test_a_timestamp_that_cannot_be_tells_nothing_of_lag() -> None:
    """Of a clock that is ahead, of microseconds, or none at all."""
    lag = Lag()
    lag.look({0: 0, 1: 0, 2: 3}, {}, 10_000)
    taken_ms = {0: 99_000_000, 1: -1, 2: -1}
    assert lag.look({0: 5, 1: 5, 2: 5}, taken_ms, 70_000) == {0: 60.0, 1: 60.0, 2: 60.0}
