"""The data of the shipped sensor models: windows of simulated machines, filled as the task fills them."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from inferstream.models.family import Array, Dataset, Split, Tell
from inferstream.tasks.sensor import HORIZON_CYCLES, STEPS
from inferstream.tasks.sensor.readings import filled
from inferstream.traffic.sensors import run

TRAIN_SEEDS, CALIBRATE_SEEDS, TEST_SEEDS = range(400), range(1_000, 2_200), range(3_000, 4_200)
# Cycles from a window to the next. Neighbours say much the same: what is measured wants many machines instead.
_EVERY_TO_LEARN, _EVERY_TO_MEASURE = 2, 6
_GAPPY_SHARE, _MOST_GAPS = 0.1, 40  # so that the models know windows that were filled


def simulated(tell: Tell) -> Split:
    """Machines of their own to learn from, to widen the interval on and to test on."""
    parts = {"train": TRAIN_SEEDS, "calibrate": CALIBRATE_SEEDS, "test": TEST_SEEDS}
    tell(f"simulating {sum(map(len, parts.values()))} machines")
    described = {f"{name}_seeds": [seeds.start, seeds.stop - 1] for name, seeds in parts.items()}
    return Split(
        windows(TRAIN_SEEDS, _EVERY_TO_LEARN),
        windows(CALIBRATE_SEEDS, _EVERY_TO_MEASURE),
        windows(TEST_SEEDS, _EVERY_TO_MEASURE),
        described,
    )


def windows(seeds: Sequence[int], every: int) -> Dataset:
    """Windows of these machines' lives, and the cycles left after each, at most the horizon."""
    inputs, targets, machines = [], [], []
    for seed in seeds:
        life = run(seed)
        ends = np.arange(STEPS - 1, len(life.readings), every)
        inputs.append(sliding_window_view(life.readings, STEPS, axis=0)[ends - STEPS + 1].swapaxes(1, 2))
        targets.append(life.remaining[ends])
        machines.append(np.full(ends.size, seed))
    left = np.minimum(np.concatenate(targets), HORIZON_CYCLES).astype(np.float32)
    return Dataset(filled(_with_gaps(np.concatenate(inputs))), left[:, None], {"machine": np.concatenate(machines)})


def _with_gaps(values: Array) -> Array:
    rng = np.random.default_rng(0)
    values = values.copy()
    _, steps, channels = values.shape
    for row in np.flatnonzero(rng.random(len(values)) < _GAPPY_SHARE):
        count = rng.integers(1, _MOST_GAPS)
        values[row, rng.integers(steps, size=count), rng.integers(channels, size=count)] = np.nan
    return values
