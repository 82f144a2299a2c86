"""How good an estimate of what is left is: error of the middle, share of truths inside the interval, alerts."""

import numpy as np

from inferstream.models.family import Array, Dataset, Report
from inferstream.tasks.sensor import SensorTask


def accuracy(interval: Array, data: Dataset) -> Report:
    """Figures of a model's [rows, 3] on rows, in cycles."""
    low, middle, high = interval.astype(np.float64).T
    truth = data.targets[:, 0].astype(np.float64)
    error = middle - truth
    limit = SensorTask().alert_below
    alerted, due = middle < limit, truth < limit
    return {
        "rows": int(truth.size),
        "rmse": round(float(np.sqrt(np.mean(error**2))), 2),
        "mae": round(float(np.abs(error).mean()), 2),
        "spread": round(float(truth.std()), 2),
        "r2": round(float(1 - np.mean(error**2) / truth.var()), 4),
        "coverage": round(float(((low <= truth) & (truth <= high)).mean()), 4),
        "width": round(float((high - low).mean()), 2),
        "alert_precision": round(_share(due, alerted), 4),
        "alert_recall": round(_share(alerted, due), 4),
    }


def _share(of: Array, among: Array) -> float:
    return float((of & among).sum() / max(1, among.sum()))
