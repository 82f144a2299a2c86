"""A family so small that its models are made in seconds."""

from dataclasses import replace

import numpy as np

from inferstream.models.family import Dataset, Family, Split, Tell
from inferstream.models.fraud import FAMILY
from inferstream.models.recipes import Boost, Calibrate, Distill, Mlp, Prune, Quantize, Recipe, Train, Training
from inferstream.tasks.fraud.features import FEATURES

_SHORT = Training(epochs=10, batch_size=256, learning_rate=2e-2)
RECIPE = Recipe(
    name="fraud",
    steps=(
        Train("fraud_teacher", Mlp((64, 32)), _SHORT),
        Train("fraud_uncalibrated", Mlp((32, 16)), _SHORT),
        Calibrate("fraud", "fraud_uncalibrated"),
        Distill("fraud_student", "fraud_teacher", Mlp((16, 8)), _SHORT),
        Prune("fraud_pruned", "fraud_teacher", 0.5, _SHORT),
        Quantize("fraud_int8", "fraud_teacher", rows=512),
        Boost("fraud_trees", rounds=20, leaves=7),
    ),
    shipped=("fraud", "fraud_student"),
    unlisted=("fraud_uncalibrated",),
)


def rows(count: int, seed: int) -> Dataset:
    """A planted rule with noise: a fifth of the rows are positive. The last column never changes."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, len(FEATURES))).astype(np.float32)
    inputs[:, -1] = 0
    logits = 2 * inputs[:, 0] + inputs[:, 1] * inputs[:, 2] - 2
    targets = (rng.random(count) < 1 / (1 + np.exp(-logits))).astype(np.float32)[:, None]
    return Dataset(inputs, targets, {"card": rng.integers(0, 50, count), "day": np.arange(count) * 5 // count})


def split(tell: Tell = print) -> Split:
    return Split(rows(4_000, 1), rows(2_000, 2), rows(2_000, 3), {"seeds": (1, 2, 3)})


SMALL: Family = replace(FAMILY, recipe=RECIPE, simulated=split, own=None)
