"""The network: scaling, layers and sigmoid in one graph, so that serving needs nothing but the file."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


class Classifier(nn.Module):
    """features [rows, columns] -> probability [rows, 1]."""

    def __init__(self, mean: npt.NDArray[np.float32], scale: npt.NDArray[np.float32], hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))
        widths = (mean.size, *hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Before the sigmoid, [rows, 1]: what the loss wants."""
        scaled: torch.Tensor = self.layers((features - self.mean) * self.scale)
        return scaled

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.logits(features))
