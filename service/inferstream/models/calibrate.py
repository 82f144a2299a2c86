"""Calibration: probabilities that mean what they say."""

import copy

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from inferstream.models.architectures import Classifier
from inferstream.models.family import Dataset


def calibrate(data: Dataset, source: Classifier) -> tuple[Classifier, float, float]:
    """A copy whose logits are slope · logit + offset, fitted on these rows; and slope and offset.

    Both are folded into the last layer: the graph does not grow, and the order of the scores stays. The rows must be
    like those that training saw: those of a period with another share of positives would teach it theirs.
    """
    with torch.no_grad():
        logits = source.logits(torch.from_numpy(data.inputs)).double()
    slope, offset = _platt(logits, torch.from_numpy(data.targets).double())
    model = copy.deepcopy(source)
    with torch.no_grad():
        model.last.weight.mul_(slope)
        model.last.bias.mul_(slope).add_(offset)
    return model, slope, offset


def _platt(logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """The slope and offset of the least log loss."""
    slope = torch.ones((), dtype=torch.float64, requires_grad=True)
    offset = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(slope * logits + offset, targets)
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    return float(slope.detach()), float(offset.detach())
