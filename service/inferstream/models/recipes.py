"""Recipes: everything that decides what a model becomes, as data. A recipe is a list of steps, each making one model.

A step names what it makes and, in `source` or `teacher`, the models it starts from; all else are its settings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mlp:
    """A fully connected network with one probability as output: widths of its hidden layers."""

    hidden: tuple[int, ...]


@dataclass(frozen=True)
class WindowCnn:
    """Convolutions along the time of a window, then a hidden layer, to the low, middle and high end of a number."""

    channels: tuple[int, ...]
    hidden: int


@dataclass(frozen=True)
class ImageCnn:
    """Convolutions over a small image, each halving it but the first, then a hidden layer, to a probability a class."""

    channels: tuple[int, ...]
    hidden: int


@dataclass(frozen=True)
class UNet:
    """Convolutions at three scales, from an image to the class of each pixel: width of the finest."""

    channels: int


@dataclass(frozen=True)
class Gru:
    """A recurrent layer over characters, to the logits of the next one."""

    embedding: int
    units: int


Network = Mlp | WindowCnn | ImageCnn | UNet | Gru
"""What `architectures.make` knows how to make; a union, as kinds are added."""


@dataclass(frozen=True)
class Training:
    """How a network is fitted: passes over the data, rows per update, highest learning rate, seed of all chance."""

    epochs: int
    batch_size: int = 1_024
    learning_rate: float = 5e-3
    seed: int = 0


@dataclass(frozen=True)
class Train:
    """Fit a network to the targets."""

    makes: str
    network: Network
    training: Training


@dataclass(frozen=True)
class Distill:
    """Fit a network to a mixture: `alpha` of the targets, the rest of what the teacher makes of each row."""

    makes: str
    teacher: str
    network: Network
    training: Training
    alpha: float = 0.5


@dataclass(frozen=True)
class Prune:
    """Take whole units out of the hidden layers, the weakest first: `share` of each layer; then fit what is left."""

    makes: str
    source: str
    share: float
    training: Training


@dataclass(frozen=True)
class Quantize:
    """Static INT8 with a scale per channel, calibrated on this many rows; the last layer stays in float."""

    makes: str
    source: str
    rows: int = 8_192


@dataclass(frozen=True)
class Calibrate:
    """Fit slope and offset of the logits on rows that training has not seen (Platt), folded into the last layer."""

    makes: str
    source: str


@dataclass(frozen=True)
class Widen:
    """Move both ends of an interval by what brings it over this share of rows that training has not seen."""

    makes: str
    source: str
    coverage: float = 0.8


@dataclass(frozen=True)
class Boost:
    """Gradient-boosted decision trees on the same inputs."""

    makes: str
    rounds: int
    leaves: int
    learning_rate: float = 0.05
    seed: int = 0


Step = Train | Distill | Prune | Quantize | Calibrate | Widen | Boost


@dataclass(frozen=True)
class Limit:
    """How much of a figure a model may lose against another, and how many times its rows a second it should do.

    The loss is held to. Speed depends on the machine: it is reported beside what is wanted.
    """

    model: str
    against: str
    figure: str
    most: float
    faster: float | None = None


@dataclass(frozen=True)
class Recipe:
    """The models of a family, in the order they are made; which are shipped; what they may lose."""

    name: str
    steps: tuple[Step, ...]
    shipped: tuple[str, ...]
    unlisted: tuple[str, ...] = ()
    """Made on the way to others and not put in a repository."""
    limits: tuple[Limit, ...] = ()
    opset: int = 18
    onnx_difference: float = 1e-5
    """The most an exported network may differ from the trained one in any output."""

    @property
    def models(self) -> tuple[str, ...]:
        """What can be put in a repository."""
        return tuple(step.makes for step in self.steps if step.makes not in self.unlisted)

    def needed(self, wanted: Iterable[str]) -> list[Step]:
        """The steps that make these models, in order. Raises KeyError for a model no step makes."""
        by_name = {step.makes: step for step in self.steps}
        missing, found = list(wanted), set[str]()
        while missing:
            step = by_name[missing.pop()]
            found.add(step.makes)
            missing += sources(step)
        return [step for step in self.steps if step.makes in found]


def sources(step: Step) -> list[str]:
    """The models a step starts from."""
    match step:
        case Distill():
            return [step.teacher]
        case Prune() | Quantize() | Calibrate() | Widen():
            return [step.source]
        case Train() | Boost():
            return []


def shortfalls(limits: Sequence[Limit], reports: dict[str, dict[str, float]]) -> list[str]:
    """A line for each limit that is broken, among those whose models have reports."""
    lines = []
    for limit in limits:
        if limit.model in reports and limit.against in reports:
            loss = reports[limit.against][limit.figure] - reports[limit.model][limit.figure]
            if loss > limit.most:
                lines.append(
                    f"{limit.model} loses {loss:.4f} {limit.figure} to {limit.against}; {limit.most} is allowed"
                )
    return lines
