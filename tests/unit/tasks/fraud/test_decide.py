"""Decisions by threshold, reasons by features, and rules that stand in for a model."""

import itertools

import msgspec
import numpy as np
import pytest

from inferstream.tasks.fraud import Aggregates, FraudTask, Transaction
from inferstream.tasks.fraud.decide import Reason, decide, rule_probability
from inferstream.tasks.fraud.features import features
from inferstream.traffic import stream

USUAL = Aggregates(
    card_count_1d=1, card_count_30d=40, card_mean_amount_30d=20.0, terminal_count_7d=50, terminal_fraud_share_7d=0.0
)
CALM = Transaction("t", "c", "p", "m", 5411, 20.0, "EUR", 1_767_614_400_000, "chip", "FR", "FR", None, USUAL)


def decided(probability: float, event: Transaction = CALM) -> tuple[str, tuple[str, ...]]:
    (result,) = decide(np.array([probability]), features([event]), 0.2, 0.6)
    assert result.probability == probability
    return result.decision, result.reasons


@pytest.mark.parametrize(
    ("probability", "decision"),
    [(0.0, "approve"), (0.1999, "approve"), (0.2, "review"), (0.5999, "review"), (0.6, "decline"), (1.0, "decline")],
)
def test_thresholds_belong_to_the_stricter_side(probability: float, decision: str) -> None:
    assert decided(probability)[0] == decision


def test_an_approval_has_no_reasons_and_a_refusal_always_has_one() -> None:
    assert decided(0.1) == ("approve", ())
    assert decided(0.9) == ("decline", (Reason.MODEL_SCORE,))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": 500.0}, Reason.AMOUNT_HIGH),
        ({"amount": 90.0}, Reason.AMOUNT_ABOVE_USUAL),
        ({"card_country": "GB"}, Reason.FOREIGN_COUNTRY),
        ({"merchant_category": 7995}, Reason.RISKY_CATEGORY),
        ({"channel": "ecommerce"}, Reason.CARD_NOT_PRESENT),
        ({"timestamp_ms": 1_767_582_000_000}, Reason.NIGHT),
        ({"aggregates": None}, Reason.HISTORY_MISSING),
        ({"aggregates": msgspec.structs.replace(USUAL, card_count_1d=30)}, Reason.VELOCITY),
        ({"aggregates": msgspec.structs.replace(USUAL, terminal_fraud_share_7d=0.6)}, Reason.TERMINAL_FRAUDS),
    ],
)
def test_what_is_unusual_is_named(changes: dict[str, object], reason: Reason) -> None:
    assert reason in decided(0.9, msgspec.structs.replace(CALM, **changes))[1]


def test_rules_let_a_calm_payment_pass_and_stop_what_is_plainly_odd() -> None:
    odd = msgspec.structs.replace(CALM, amount=900.0)
    weak = msgspec.structs.replace(
        CALM, card_country="GB", merchant_category=7995, channel="ecommerce", timestamp_ms=1_767_582_000_000
    )
    calm, stopped, suspicious = rule_probability(features([CALM, odd, weak]))
    assert calm < 0.05
    assert stopped >= 0.6
    assert suspicious < 0.2, "weak reasons together do not ask for review"


def test_rules_find_most_planted_fraud_and_are_mostly_right() -> None:
    events, labels = zip(*itertools.islice(stream(seed=11), 30_000), strict=True)
    task = FraudTask()
    flagged = np.array([r.decision != "approve" for r in task.rules(events, task.tensors(events))])
    truth = np.array(labels)
    assert (flagged & truth).sum() / truth.sum() > 0.5
    assert (flagged & truth).sum() / flagged.sum() > 0.5
