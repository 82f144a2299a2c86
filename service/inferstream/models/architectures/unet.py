"""The network from image to mask: scaling, layers and the choice of the class in one graph, for images of any size."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate, max_pool2d

from inferstream.models.architectures.learner import Learner


class Segmenter(Learner):
    """uint8 [rows, height, width, 3] -> mask uint8 [rows, height, width], confidence [rows, 1].

    Confidence is the mean probability of the chosen class over all pixels.
    """

    def __init__(self, inputs: npt.NDArray[np.uint8], targets: npt.NDArray[np.uint8], channels: int) -> None:
        """`inputs` settle the scaling, `targets` [rows, height, width] the classes and how much a rare one weighs."""
        super().__init__()
        pixels = inputs.reshape(-1, 3).astype(np.float32)
        self.register_buffer("mean", torch.from_numpy(pixels.mean(axis=0)).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.from_numpy(1 / pixels.std(axis=0)).reshape(1, 3, 1, 1))
        share = np.bincount(targets.reshape(-1)) / targets.size
        self.register_buffer("weights", torch.from_numpy((1 / np.sqrt(share + 1e-3)).astype(np.float32)))
        self.down_1 = _convolutions(3, channels)
        self.down_2 = _convolutions(channels, 2 * channels)
        self.down_4 = _convolutions(2 * channels, 4 * channels)
        self.up_2 = _convolutions(6 * channels, 2 * channels)
        self.up_1 = _convolutions(3 * channels, channels)
        self.head = nn.Conv2d(channels, share.size, 1)

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Against classes [rows, height, width]. A rare class weighs more, or it would be left out."""
        return cross_entropy(self._logits(inputs), targets.long(), self.weights)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        probability, mask = torch.softmax(self._logits(inputs), dim=1).max(dim=1)
        return mask.to(torch.uint8), probability.mean(dim=(1, 2)).unsqueeze(1)

    def _logits(self, inputs: torch.Tensor) -> torch.Tensor:
        fine = self.down_1((inputs.permute(0, 3, 1, 2).float() - self.mean) * self.scale)
        half = self.down_2(_halved(fine))
        coarse = self.down_4(_halved(half))
        half = self.up_2(torch.cat((_as_large_as(half, coarse), half), dim=1))
        return self.head(self.up_1(torch.cat((_as_large_as(fine, half), fine), dim=1)))


def _convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _halved(image: torch.Tensor) -> torch.Tensor:
    return max_pool2d(image, 2, ceil_mode=True)  # so that sides need not be multiples of four


def _as_large_as(fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    return interpolate(coarse, size=fine.shape[-2:], mode="nearest")
