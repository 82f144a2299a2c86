"""Readings as the model takes them: the same code in training and in serving."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inferstream.tasks.sensor.event import CHANNELS, STEPS, Window

Readings = npt.NDArray[np.float32]


def readings(events: Sequence[Window]) -> Readings:
    """An array [rows, steps, channels] of float32, finite for every valid window."""
    given = np.array([event.readings for event in events], np.float64)  # None becomes NaN
    return filled(given.reshape(len(events), STEPS, len(CHANNELS)))


def filled(values: npt.NDArray[np.float64]) -> Readings:
    """With NaN replaced by the channel's last reading before it, at a window's beginning by the first after it."""
    missing = np.isnan(values)
    rows = np.flatnonzero(missing.any(axis=(1, 2)))
    out = values.astype(np.float32)
    if rows.size:
        known, steps = ~missing[rows], np.arange(values.shape[1])[:, None]
        last = np.maximum.accumulate(np.where(known, steps, 0), axis=1)
        source = np.where(np.logical_or.accumulate(known, axis=1), last, known.argmax(axis=1)[:, None, :])
        out[rows] = np.take_along_axis(out[rows], source, axis=1)
    return out


def gaps(events: Sequence[Window]) -> list[int]:
    """How many readings each window lacks."""
    return [sum(row.count(None) for row in event.readings) for event in events]
