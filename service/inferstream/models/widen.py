"""Conformal widening: an interval that holds the truth as often as it says."""

import copy
import math

import numpy as np

from inferstream.models.architectures import WindowRegressor
from inferstream.models.family import Dataset
from inferstream.models.train import predict


def widen(data: Dataset, source: WindowRegressor, coverage: float) -> tuple[WindowRegressor, float]:
    """A copy whose ends lie further out by one margin (or further in, if it is negative), and the margin.

    It is the least with which the interval holds this share of the rows, which training must not have seen. For rows
    like them the share is then kept whatever the network is worth (split conformal regression).
    """
    model = copy.deepcopy(source)
    low, _, high = predict(model, data.inputs).T
    truth = data.targets[:, 0]
    outside = np.sort(np.maximum(low - truth, truth - high))
    rank = min(math.ceil((outside.size + 1) * coverage), outside.size) - 1
    margin = float(outside[rank])
    model.margin.add_(margin)
    return model, margin
