"""Recipes: everything that decides what a model becomes, as data."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Network:
    """A fully connected network: name in the repository, widths of its hidden layers, how it is trained."""

    name: str
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int = 1_024
    learning_rate: float = 5e-3
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """A served model and the student distilled from it, with the worlds they are made from."""

    name: str
    served: Network
    student: Network
    distill_alpha: float
    """Weight of the true labels; the rest is the served model's probabilities."""
    train_seeds: tuple[int, ...]
    test_seeds: tuple[int, ...]
    max_batch_size: int = 1_024
    opset: int = 18
    tolerances: dict[str, float] = field(default_factory=lambda: {"onnx_difference": 1e-5, "student_ap_drop": 0.05})


RECIPES = {
    "fraud": Recipe(
        name="fraud",
        served=Network("fraud", (128, 64), epochs=10),
        student=Network("fraud_student", (32, 16), epochs=12),
        distill_alpha=0.5,
        train_seeds=(101, 102, 103, 104, 105, 106),
        test_seeds=(301, 302),
    )
}
