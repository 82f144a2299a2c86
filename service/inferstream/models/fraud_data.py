"""Training and test data of the fraud models: simulated worlds through the task's own features."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inferstream.tasks.fraud.features import FEATURES, features
from inferstream.traffic import simulate, transactions

_HISTORY_MS = 45 * 86_400_000
_CHUNK = 8_192


class Dataset(NamedTuple):
    """Features [rows, columns] and labels [rows], both float32."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]


def dataset(seeds: Sequence[int]) -> Dataset:
    """The payments after the first 45 days of each seed's world."""
    parts = [_world(seed) for seed in seeds]
    return Dataset(np.concatenate([p.features for p in parts]), np.concatenate([p.labels for p in parts]))


def _world(seed: int) -> Dataset:
    world = simulate(seed)
    rows = np.flatnonzero(world.time_ms >= _HISTORY_MS)
    matrix = np.empty((rows.size, len(FEATURES)), np.float32)
    events = list(transactions(world, rows, seed))
    for start in range(0, rows.size, _CHUNK):
        chunk = events[start : start + _CHUNK]
        matrix[start : start + len(chunk)] = features(chunk)
    return Dataset(matrix, world.is_fraud[rows].astype(np.float32))
