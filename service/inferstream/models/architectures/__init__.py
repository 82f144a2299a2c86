"""Networks by their description. Each has `loss(inputs, targets)` and a `forward` that gives what is served."""

from inferstream.models.architectures.image import ImageClassifier
from inferstream.models.architectures.language import LanguageModel
from inferstream.models.architectures.learner import Learner
from inferstream.models.architectures.mlp import Classifier
from inferstream.models.architectures.unet import Segmenter
from inferstream.models.architectures.window import WindowRegressor
from inferstream.models.family import Dataset
from inferstream.models.recipes import Gru, ImageCnn, Mlp, Network, UNet, WindowCnn

__all__ = ["Classifier", "Learner", "WindowRegressor", "make"]


def make(network: Network, data: Dataset) -> Learner:
    """An untrained network; scaling and sizes are taken from the rows it will learn from."""
    match network:
        case Mlp():
            return Classifier(data.inputs, network.hidden)
        case WindowCnn():
            return WindowRegressor(data.inputs, data.targets, network.channels, network.hidden)
        case ImageCnn():
            return ImageClassifier(data.inputs, data.targets, network.channels, network.hidden)
        case UNet():
            return Segmenter(data.inputs, data.targets, network.channels)
        case Gru():
            return LanguageModel(int(data.inputs.max()) + 1, network.embedding, network.units)
