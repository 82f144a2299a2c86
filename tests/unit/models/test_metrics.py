"""Metrics against values worked out by hand, and against scikit-learn's definitions where they are subtle."""

import numpy as np
import pytest

from inferstream.models import metrics


def scores(*values: float) -> metrics.Scores:
    return np.array(values, np.float32)


def flags(*values: int) -> metrics.Flags:
    return np.array(values, np.bool_)


def test_auc_is_the_chance_of_right_order() -> None:
    assert metrics.auc_roc(scores(0.1, 0.4, 0.35, 0.8), flags(0, 0, 1, 1)) == pytest.approx(0.75)


def test_auc_counts_ties_half() -> None:
    assert metrics.auc_roc(scores(0.5, 0.5, 0.5, 0.5), flags(0, 1, 0, 1)) == pytest.approx(0.5)


def test_auc_of_one_kind_is_not_a_number() -> None:
    assert np.isnan(metrics.auc_roc(scores(0.5, 0.2), flags(1, 1)))


def test_average_precision() -> None:
    # positives at ranks 1 and 3: (1/1 + 2/3) / 2
    assert metrics.average_precision(scores(0.9, 0.8, 0.7, 0.1), flags(1, 0, 1, 0)) == pytest.approx(5 / 6)


def test_average_precision_does_not_depend_on_the_order_of_ties() -> None:
    one = metrics.average_precision(scores(0.5, 0.5, 0.5, 0.1), flags(1, 0, 0, 0))
    other = metrics.average_precision(scores(0.5, 0.5, 0.5, 0.1), flags(0, 0, 1, 0))
    assert one == other == pytest.approx(1 / 3)


def test_calibration_error_of_what_is_off_by_a_tenth() -> None:
    positive = np.arange(10_000) % 2 == 0
    assert metrics.calibration_error(np.full(10_000, 0.6, np.float32), positive) == pytest.approx(0.1, abs=1e-3)


def test_reliability_bins_are_equally_filled_and_ordered() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random(1_003).astype(np.float32)
    bins = metrics.reliability(probability, rng.random(1_003) < probability)
    assert sum(b.rows for b in bins) == 1_003
    assert {b.rows for b in bins} == {100, 101}
    assert [b.stated for b in bins] == sorted(b.stated for b in bins)
    assert all(abs(b.stated - b.true) < 0.15 for b in bins)


def test_brier_is_the_mean_square() -> None:
    assert metrics.brier(scores(0.5, 1.0), flags(1, 0)) == pytest.approx((0.25 + 1) / 2)


def test_card_precision_takes_each_card_once_a_day_and_blocks_what_it_found() -> None:
    card = np.array([1, 1, 2, 3, 1, 2])
    day = np.array([0, 0, 0, 0, 1, 1])
    score, positive = scores(0.9, 0.8, 0.7, 0.1, 0.9, 0.6), flags(0, 1, 0, 1, 1, 1)
    # Day 0 alerts cards 1 (defrauded) and 2 (not); day 1 card 2 (defrauded), as card 1 is blocked and 3 is not there.
    assert metrics.card_precision(score, positive, card, day, k=2) == pytest.approx((1 / 2 + 1 / 2) / 2)
