"""What training asks of a network of any kind."""

from abc import abstractmethod

import torch
from torch import nn


class Learner(nn.Module):
    """A network that can be fitted. Its `forward` gives what is served: scaling and activations are in the graph."""

    @abstractmethod
    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of a batch, a scalar: what training makes small."""
