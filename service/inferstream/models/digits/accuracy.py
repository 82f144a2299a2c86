"""How good a classifier is: how often it is right, and whether its probabilities mean what they say."""

import numpy as np

from inferstream.models import metrics
from inferstream.models.family import Array, Dataset, Report

_LEAST = 1e-7  # float32 knows no smaller step below 1


def accuracy(probabilities: Array, data: Dataset) -> Report:
    """Figures of a model's [rows, classes] on rows; targets are 1 for the class that is right."""
    truth, rows = data.targets.argmax(axis=1), np.arange(len(probabilities))
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    is_right = ranked[:, 0] == truth
    stated = probabilities[rows, truth].astype(np.float64)
    return {
        "rows": int(truth.size),
        "accuracy": round(float(is_right.mean()), 4),
        "in_top_3": round(float((ranked[:, :3] == truth[:, None]).any(axis=1).mean()), 4),
        "log_loss": round(float(-np.log(np.maximum(stated, _LEAST)).mean()), 4),
        "calibration_error": round(metrics.calibration_error(probabilities.max(axis=1), is_right), 4),
    }
