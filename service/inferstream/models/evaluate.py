"""How good a model is, and how quick: on data it has not seen, through ONNX Runtime as it is served."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from inferstream.models.fraud_data import Dataset
from inferstream.tasks.fraud import FraudTask

Report = dict[str, float]


def evaluate_file(file: Path, data: Dataset) -> Report:
    """Accuracy on the data and time per call, of an .onnx file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    probability = session.run(None, {"features": data.features})[0][:, 0]
    return {**accuracy(probability, data.labels), "bytes": file.stat().st_size}


def accuracy(probability: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> Report:
    """Ranking (AUC, average precision), calibration (Brier, expected calibration error), decisions at the defaults."""
    task = FraudTask()
    fraud = labels > 0
    flagged, declined = probability >= task.review, probability >= task.decline
    return {
        "rows": int(labels.size),
        "frauds": int(fraud.sum()),
        "auc": round(_auc(probability, fraud), 4),
        "average_precision": round(_average_precision(probability, fraud), 4),
        "brier": round(float(np.mean((probability - labels) ** 2)), 5),
        "calibration_error": round(_calibration_error(probability, labels), 5),
        "review_precision": round(_share(fraud, flagged), 4),
        "review_recall": round(_share(flagged, fraud), 4),
        "decline_precision": round(_share(fraud, declined), 4),
        "decline_recall": round(_share(declined, fraud), 4),
    }


def timing(file: Path, data: Dataset, calls: int = 200) -> Report:
    """Median microseconds of a call by rows; differs from machine to machine, so it is shown and not kept."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    report = {}
    for rows in (1, 8, 32, 128):
        inputs = {"features": data.features[:rows]}
        took = []
        for _ in range(calls):
            started = time.perf_counter()
            session.run(None, inputs)
            took.append(time.perf_counter() - started)
        report[f"us_{rows}_rows"] = round(float(np.median(took)) * 1e6, 1)
    return report


def _share(of: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return float((of & among).sum() / max(1, among.sum()))


def _auc(score: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_]) -> float:
    """The chance that a random positive scores above a random negative; ties count half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def _average_precision(score: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_]) -> float:
    order = np.argsort(-score, kind="stable")
    hits = positive[order]
    return float((np.cumsum(hits) / np.arange(1, hits.size + 1))[hits].mean())


def _calibration_error(probability: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> float:
    """Mean distance between stated and true share of fraud, over ten equally filled groups."""
    groups = np.array_split(np.argsort(probability), 10)
    return float(np.mean([abs(probability[g].mean() - labels[g].mean()) for g in groups]))
