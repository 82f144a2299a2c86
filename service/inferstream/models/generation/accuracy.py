"""How well a model foretells the next character of texts it has not seen."""

import numpy as np

from inferstream.models.family import Array, Dataset, Report


def accuracy(logits: Array, data: Dataset) -> Report:
    """Of logits [rows, steps, alphabet]: bits per character, and how often the likeliest was right."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=2, keepdims=True)
    total = np.log(np.exp(wide - highest).sum(axis=2)) + highest[..., 0]
    said = np.take_along_axis(wide, data.targets[..., None], axis=2)[..., 0]
    return {
        "characters": int(data.targets.size),
        "bits_per_character": round(float((total - said).mean() / np.log(2)), 4),
        "next_right": round(float((wide.argmax(axis=2) == data.targets).mean()), 4),
    }
