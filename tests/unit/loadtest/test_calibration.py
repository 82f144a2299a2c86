"""The fit finds what the model was made of, and capacity follows the rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtest.calibration import Calibration, Measured


def measured(alpha_ms: float, beta_ms: float, batch: int, in_flight: int = 2) -> Measured:
    rows_per_s = 1e3 * batch / (alpha_ms + beta_ms * batch)
    return Measured(batch, in_flight, rows_per_s, 1.0, 2.0)


@given(st.floats(0.2, 10), st.floats(0.01, 2))
def test_the_fit_finds_alpha_and_beta(alpha_ms: float, beta_ms: float) -> None:
    rows = [measured(alpha_ms, beta_ms, batch) for batch in (1, 8, 32, 64)]
    alone = measured(9 * alpha_ms, beta_ms, 8, in_flight=1)  # includes the way there and back: not used
    fitted = Calibration.fit([alone, *rows])
    assert fitted.alpha_ms == pytest.approx(alpha_ms, rel=1e-3)
    assert fitted.beta_ms == pytest.approx(beta_ms, rel=1e-3)


def test_capacity_is_that_of_the_largest_batch_that_can_wait_for_one_before_it() -> None:
    calibration = Calibration(2.0, 0.5)
    assert calibration.batch(20) == 16
    assert calibration.capacity_per_s(20) == pytest.approx(1_600)
    assert calibration.capacity_per_s(3) == 0


@given(st.floats(0.1, 5), st.floats(0.01, 1), st.integers(1, 500))
def test_two_calls_of_that_batch_fit_the_slo(alpha_ms: float, beta_ms: float, slo_ms: int) -> None:
    calibration = Calibration(alpha_ms, beta_ms)
    batch = calibration.batch(slo_ms)
    if batch:
        assert 2 * (alpha_ms + beta_ms * batch) <= slo_ms * (1 + 1e-9)
