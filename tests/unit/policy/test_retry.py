"""RetryBudget: retries are few of all calls, whatever fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.retry import RetryBudget


def test_the_first_failure_may_be_tried_again() -> None:
    """A single call that fails on an idle service is retried once, not twice."""
    budget = RetryBudget()
    budget.called()
    assert budget.take()
    assert not budget.take()


def test_a_retry_is_earned_by_calls() -> None:
    """With a share of a quarter every fourth call earns one."""
    budget = RetryBudget(share=0.25)
    assert budget.take()
    for _ in range(3):
        budget.called()
        assert not budget.take()
    budget.called()
    assert budget.take()


def test_savings_are_bounded() -> None:
    """A long quiet time does not pay for a storm of retries."""
    budget = RetryBudget(share=0.1, most=10.0)
    for _ in range(100_000):
        budget.called()
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]


@pytest.mark.parametrize("share", [0.05, 0.1])
@given(st.lists(st.integers(0, 30), max_size=200))
def test_retries_never_multiply_the_load(share: float, failures: list[int]) -> None:
    """However many calls fail, and whenever: calls made are at most 1 + share of those asked for, and one."""
    budget = RetryBudget(share=share)
    retries = 0
    for calls, failed in enumerate(failures, 1):
        budget.called()
        for _ in range(failed):
            retries += budget.take()
        assert calls + retries <= (1 + share) * calls + 1 + 1e-6
