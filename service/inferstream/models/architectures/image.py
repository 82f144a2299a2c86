"""The network over a small image: bytes in, a probability for each class out."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from inferstream.models.architectures.learner import Learner


class ImageClassifier(Learner):
    """uint8 [rows, channels, height, width] -> probabilities [rows, classes]."""

    def __init__(
        self,
        inputs: npt.NDArray[np.uint8],
        targets: npt.NDArray[np.float32],
        channels: tuple[int, ...],
        hidden: int,
    ) -> None:
        """`inputs` are the images it will learn from: their brightest point becomes 1. `targets`: [rows, classes]."""
        super().__init__()
        _, depth, height, width = inputs.shape
        self.register_buffer("scale", torch.tensor(1 / float(inputs.max())))
        layers: list[nn.Module] = []
        for number, out in enumerate(channels):
            layers += [nn.Conv2d(depth, out, 3, padding=1), nn.ReLU()]
            depth = out
            if number:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(depth * height * width, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, targets.shape[1]))

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Against probabilities, or labels as 0 and 1, [rows, classes]."""
        return cross_entropy(self._logits(inputs), targets)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self._logits(inputs), dim=1)

    def _logits(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs.float() * self.scale)
