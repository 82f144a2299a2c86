"""What a model on Triton can do within an SLO: L(b) = alpha + beta * b, fitted to direct calls. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_MOST_ROWS = 1_024


class Measured(NamedTuple):
    """Direct calls of one size, so many at once in a closed loop. Latencies are the caller's."""

    batch: int
    in_flight: int
    rows_per_s: float
    p50_ms: float
    p99_ms: float


class Calibration(NamedTuple):
    """A call with b rows occupies the model for alpha + beta * b."""

    alpha_ms: float
    beta_ms: float

    @classmethod
    def fit(cls, measured: Sequence[Measured]) -> "Calibration":
        """From calls of which the next waits already, so that the time between two answers is the model's own; more
        than one that waits would be joined by Triton.

        Least squares of the relative error, so that small batches count as much as large ones.
        """
        busy = [m for m in measured if m.in_flight == 2 and m.rows_per_s > 0]
        batches = np.array([m.batch for m in busy], float)
        took_ms = np.array([1e3 * m.batch / m.rows_per_s for m in busy])
        terms = np.column_stack([np.ones_like(batches), batches]) / took_ms[:, None]
        (alpha_ms, beta_ms), *_ = np.linalg.lstsq(terms, np.ones_like(batches), rcond=None)
        return cls(max(float(alpha_ms), 0.0), max(float(beta_ms), 1e-6))

    def batch(self, slo_ms: float) -> int:
        """Most rows of a call such that one that waits for the call before still makes it: 2 * L(b) <= SLO."""
        return int(np.clip((slo_ms / 2 - self.alpha_ms) // self.beta_ms, 0, _MOST_ROWS))

    def capacity_per_s(self, slo_ms: float) -> float:
        """Rows per second at that batch size; 0 where not even one row makes it."""
        rows = self.batch(slo_ms)
        return 1e3 * rows / (self.alpha_ms + self.beta_ms * rows)
