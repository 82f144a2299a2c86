"""The data of the shipped fraud models: simulated worlds, through the task's own features."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from inferstream.models.family import Array, Dataset, Split, Tell
from inferstream.models.fraud.recipe import CALIBRATE_SEEDS, TEST_SEEDS, TRAIN_SEEDS
from inferstream.tasks.fraud import Transaction
from inferstream.tasks.fraud.features import FEATURES, features
from inferstream.traffic import DAY_MS, simulate, transactions

_HISTORY_DAYS = 45  # at the beginning of a world windows are not yet filled
_CHUNK = 8_192


def simulated(tell: Tell) -> Split:
    """Worlds of their own to learn from, to calibrate on and to test on."""
    tell(f"simulating {len(TRAIN_SEEDS + CALIBRATE_SEEDS + TEST_SEEDS)} worlds")
    seeds = {"train_seeds": TRAIN_SEEDS, "calibrate_seeds": CALIBRATE_SEEDS, "test_seeds": TEST_SEEDS}
    return Split(worlds(TRAIN_SEEDS), worlds(CALIBRATE_SEEDS), worlds(TEST_SEEDS), seeds)


def worlds(seeds: Sequence[int]) -> Dataset:
    """The payments after the first 45 days of each seed's world; cards and days of different worlds differ."""
    parts = [_world(seed) for seed in seeds]
    keys = {name: np.concatenate([part.keys[name] for part in parts]) for name in ("card", "day")}
    return Dataset(np.concatenate([p.inputs for p in parts]), np.concatenate([p.targets for p in parts]), keys)


def _world(seed: int) -> Dataset:
    world = simulate(seed)
    rows = np.flatnonzero(world.time_ms >= _HISTORY_DAYS * DAY_MS)
    matrix = feature_matrix(transactions(world, rows, seed), rows.size)
    keys = {"card": world.card[rows] + seed * 1_000_000, "day": world.time_ms[rows] // DAY_MS + seed * 1_000}
    return Dataset(matrix, world.is_fraud[rows].astype(np.float32)[:, None], keys)


def feature_matrix(events: Iterable[Transaction], rows: int) -> Array:
    """The task's features of so many events, [rows, columns]."""
    matrix = np.empty((rows, len(FEATURES)), np.float32)
    left = iter(events)
    for start in range(0, rows, _CHUNK):
        chunk = list(islice(left, min(_CHUNK, rows - start)))
        matrix[start : start + len(chunk)] = features(chunk)
    return matrix
