"""How good a probability of fraud is: ranking, calibration, decisions at the task's thresholds, alerts by card."""

import numpy as np

from inferstream.models import metrics
from inferstream.models.family import Array, Dataset, Report
from inferstream.tasks.fraud import FraudTask

CARDS_A_DAY = 100
"""How many cards a day the investigators can look at."""


def accuracy(probability: Array, data: Dataset) -> Report:
    """Figures of a model on rows; `data.keys` hold `card` and `day`."""
    score, fraud = probability[:, 0], data.targets[:, 0] > 0
    task = FraudTask()
    flagged, declined = score >= task.review, score >= task.decline
    cards = metrics.card_precision(score, fraud, data.keys["card"], data.keys["day"], CARDS_A_DAY)
    return {
        "rows": int(fraud.size),
        "frauds": int(fraud.sum()),
        "auc_roc": round(metrics.auc_roc(score, fraud), 4),
        "average_precision": round(metrics.average_precision(score, fraud), 4),
        f"card_precision_at_{CARDS_A_DAY}": round(cards, 4),
        "brier": round(metrics.brier(score, fraud), 5),
        "calibration_error": round(metrics.calibration_error(score, fraud), 5),
        "review_precision": round(_share(fraud, flagged), 4),
        "review_recall": round(_share(flagged, fraud), 4),
        "decline_precision": round(_share(fraud, declined), 4),
        "decline_recall": round(_share(declined, fraud), 4),
        "distinct_scores": int(np.unique(score).size),
    }


def _share(of: Array, among: Array) -> float:
    return float((of & among).sum() / max(1, among.sum()))
