"""The family of card fraud: networks and trees that give the probability of fraud."""

import numpy as np

from inferstream.models.family import Array, Dataset, Family
from inferstream.models.fraud.accuracy import accuracy
from inferstream.models.fraud.recipe import FRAUD
from inferstream.models.fraud.simulated import simulated
from inferstream.models.fraud.table import split_of_file
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.fraud.features import FEATURES

__all__ = ["FAMILY"]

_ABOUT = """Simulated card payments; 2.3 % of them are fraud. `fraud` is served, `fraud_student` answers in the process
when Triton cannot. `fraud_pruned` and `fraud_int8` are made from `fraud_teacher`, `fraud_small_int8` from `fraud`.
Pruning takes three quarters of the teacher's units, which leaves it as large as `fraud`, and no better than that one
trained outright. INT8 is static, with a scale per channel and the last layer in float. What it buys depends on the size
of the net and of the batch: its conversions cost a small call as much as they save. Trees are served here by ONNX
Runtime like everything else; their configuration for the FIL backend (`--flavour production`) could not be run: the
local Triton has none."""


def _rows_to_quantize(data: Dataset, rows: int) -> Array:
    """A quarter frauds: ranges taken from what is usual alone would cut off what matters most."""
    rng = np.random.default_rng(0)
    is_fraud = data.targets[:, 0] > 0
    frauds = rng.permutation(np.flatnonzero(is_fraud))[: rows // 4]
    others = rng.permutation(np.flatnonzero(~is_fraud))[: rows - frauds.size]
    chosen: Array = data.inputs[rng.permutation(np.concatenate([frauds, others]))]
    return chosen


FAMILY = Family(
    recipe=FRAUD,
    task=FraudTask,
    simulated=simulated,
    accuracy=accuracy,
    figures={
        "auc_roc": "AUC ROC",
        "average_precision": "average precision",
        "card_precision_at_100": "card precision at 100",
        "brier": "Brier",
        "calibration_error": "ECE",
        "distinct_scores": "distinct scores",
        "bytes": "bytes",
    },
    about=_ABOUT,
    own=split_of_file,
    columns=FEATURES,
    rows_to_quantize=_rows_to_quantize,
)
