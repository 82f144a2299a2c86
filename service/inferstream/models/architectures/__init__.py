"""Networks by their description. Each has `loss(inputs, targets)` and a `forward` that gives what is served."""

from inferstream.models.architectures.mlp import Classifier
from inferstream.models.family import Array
from inferstream.models.recipes import Network

__all__ = ["Classifier", "make"]


def make(network: Network, inputs: Array) -> Classifier:
    """An untrained network; scaling is taken from the inputs it will learn from."""
    return Classifier(inputs, network.hidden)
