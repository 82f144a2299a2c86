"""From probability to decision, with reason codes; and the rules that answer when no model can."""

from enum import StrEnum
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from inferstream.tasks.fraud.features import INDEX, Matrix

Decision = Literal["approve", "review", "decline"]


class Reason(StrEnum):
    """Why a transaction was not approved: what is unusual about it, most telling first."""

    TERMINAL_FRAUDS = "TERMINAL_FRAUDS"
    AMOUNT_ABOVE_USUAL = "AMOUNT_ABOVE_USUAL"
    AMOUNT_HIGH = "AMOUNT_HIGH"
    VELOCITY = "VELOCITY"
    FOREIGN_COUNTRY = "FOREIGN_COUNTRY"
    RISKY_CATEGORY = "RISKY_CATEGORY"
    CARD_NOT_PRESENT = "CARD_NOT_PRESENT"
    NIGHT = "NIGHT"
    HISTORY_MISSING = "HISTORY_MISSING"
    MODEL_SCORE = "MODEL_SCORE"


class FraudResult(msgspec.Struct, gc=False):
    """The result of a transaction: probability of fraud, decision, and reasons unless it is approved."""

    probability: float
    decision: Decision
    reasons: tuple[str, ...] = ()


_HIGH_AMOUNT = np.float32(np.log1p(220.0))  # euros
_TIMES_USUAL = np.float32(np.log(3.0))
_TERMINAL_SHARE = np.float32(0.5)
_BUSY_DAY = np.float32(np.log1p(12.0))  # transactions of a card in a day
# What a reason adds to the probability the rules state. One strong reason asks for review, two for more;
# the weak ones together do not reach it.
_POINTS = {
    Reason.TERMINAL_FRAUDS: 0.40,
    Reason.AMOUNT_ABOVE_USUAL: 0.40,
    Reason.AMOUNT_HIGH: 0.35,
    Reason.VELOCITY: 0.05,
    Reason.FOREIGN_COUNTRY: 0.03,
    Reason.RISKY_CATEGORY: 0.03,
    Reason.CARD_NOT_PRESENT: 0.02,
    Reason.NIGHT: 0.02,
}
_BASE = 0.01
_MOST = 0.95


def _holds(features: Matrix) -> dict[Reason, npt.NDArray[np.bool_]]:
    """Which reason holds for which row."""

    def at(name: str) -> npt.NDArray[np.float32]:
        return features[:, INDEX[name]]

    return {
        Reason.TERMINAL_FRAUDS: at("terminal_fraud_share_7d") >= _TERMINAL_SHARE,
        Reason.AMOUNT_ABOVE_USUAL: at("amount_over_usual") >= _TIMES_USUAL,
        Reason.AMOUNT_HIGH: at("amount_log") >= _HIGH_AMOUNT,
        Reason.VELOCITY: at("card_count_1d") >= _BUSY_DAY,
        Reason.FOREIGN_COUNTRY: at("foreign") > 0,
        Reason.RISKY_CATEGORY: at("risky_category") > 0,
        Reason.CARD_NOT_PRESENT: at("channel_ecommerce") + at("channel_moto") > 0,
        Reason.NIGHT: at("night") > 0,
        Reason.HISTORY_MISSING: at("card_count_30d_missing") > 0,
    }


def decide(probability: npt.NDArray[Any], features: Matrix, review: float, decline: float) -> list[FraudResult]:
    """One result per row; reasons are looked for only where a row is not approved."""
    values = probability.tolist()
    flagged = np.flatnonzero(probability >= review)
    results = [FraudResult(value, "approve") for value in values]
    if flagged.size:
        reasons = _reasons(features[flagged])
        for row, why in zip(flagged.tolist(), reasons, strict=True):
            decision: Decision = "decline" if values[row] >= decline else "review"
            results[row] = FraudResult(values[row], decision, why)
    return results


def rule_probability(features: Matrix) -> npt.NDArray[np.float32]:
    """What the rules take for the probability: the points of the reasons that hold, [rows]."""
    holds = _holds(features)
    points = sum((holds[reason] * np.float32(worth) for reason, worth in _POINTS.items()), np.float32(_BASE))
    return np.minimum(points, np.float32(_MOST)).astype(np.float32)


def _reasons(features: Matrix) -> list[tuple[str, ...]]:
    holds = _holds(features)
    names = [reason.value for reason in holds]
    table = np.stack(list(holds.values()), axis=1)
    found = [tuple(name for name, is_so in zip(names, row, strict=True) if is_so) for row in table.tolist()]
    return [why or (Reason.MODEL_SCORE.value,) for why in found]
