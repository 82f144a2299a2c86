"""The network over a window of readings: convolutions along time, and an interval instead of one number."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inferstream.models.architectures.learner import Learner

QUANTILES = (0.1, 0.5, 0.9)
_KERNEL = 5
_LEAST_DEVIATION = 1e-3


class WindowRegressor(Learner):
    """[rows, steps, channels] -> [rows, 3]: the ends and the middle of what is to be expected, never below 0.

    The ends cannot cross the middle: the net gives their distances from it.
    """

    def __init__(
        self,
        inputs: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float32],
        channels: tuple[int, ...],
        hidden: int,
    ) -> None:
        """`inputs` and `targets` [rows, 1] are what it will learn from: they settle the scaling."""
        super().__init__()
        _, steps, width = inputs.shape
        mean, deviation = inputs.mean(axis=(0, 1)), inputs.std(axis=(0, 1))
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(1 / np.maximum(deviation, _LEAST_DEVIATION).astype(np.float32)))
        self.register_buffer("largest", torch.tensor(float(targets.max())))
        self.register_buffer("margin", torch.tensor(0.0))
        self.register_buffer("quantiles", torch.tensor(QUANTILES))
        layers: list[nn.Module] = []
        for number, out in enumerate(channels):
            stride = 2 if number else 1
            layers += [nn.Conv1d(width, out, _KERNEL, stride, padding=_KERNEL // 2), nn.ReLU()]
            width, steps = out, -(-steps // stride)
        layers += [nn.Flatten(), nn.Linear(width * steps, hidden), nn.ReLU(), nn.Linear(hidden, len(QUANTILES))]
        self.layers = nn.Sequential(*layers)

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Pinball loss: the least where each end leaves its share of the targets below it."""
        error = (targets - self._interval(inputs)) / self.largest
        return torch.maximum(self.quantiles * error, (self.quantiles - 1) * error).mean()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        low, middle, high = self._interval(inputs).split(1, dim=1)
        low, high = torch.minimum(low - self.margin, middle), torch.maximum(high + self.margin, middle)
        return torch.cat([low, middle, high], dim=1).clamp(min=0)

    def _interval(self, inputs: torch.Tensor) -> torch.Tensor:
        scaled = ((inputs - self.mean) * self.scale).transpose(1, 2)
        middle, below, above = self.layers(scaled).split(1, dim=1)
        softplus = nn.functional.softplus
        return torch.cat([middle - softplus(below), middle, middle + softplus(above)], dim=1) * self.largest
