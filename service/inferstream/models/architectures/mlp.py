"""The fully connected network: scaling, layers and sigmoid in one graph, so that serving needs nothing but the file."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from inferstream.models.architectures.learner import Learner

_LEAST_DEVIATION = 1e-6


class Classifier(Learner):
    """[rows, columns] -> probability [rows, 1]."""

    def __init__(self, inputs: npt.NDArray[np.float32], hidden: tuple[int, ...]) -> None:
        """`inputs` are the rows it will learn from: they settle the scaling."""
        super().__init__()
        mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
        # Of a column that never changes nothing can be learnt: it is left out. Scaled up instead, the first event
        # with another value would drive the score wherever the untrained weights point.
        scale = np.where(deviation > _LEAST_DEVIATION, 1 / np.maximum(deviation, 1e-3), 0)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))
        widths = (mean.size, *hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    @property
    def last(self) -> nn.Linear:
        """The layer that gives the logit."""
        return self.layers[-1]

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Before the sigmoid, [rows, 1]."""
        scaled: torch.Tensor = self.layers((inputs - self.mean) * self.scale)
        return scaled

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Against probabilities or labels [rows, 1]."""
        return binary_cross_entropy_with_logits(self.logits(inputs), targets)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.logits(inputs))
