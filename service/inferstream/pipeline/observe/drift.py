"""Watches how far what the model sees and says is from the rows it was tested on. Beside the data path, by sample."""

import asyncio
from typing import Any

import numpy.typing as npt

from inferstream.pipeline.infer import Answer
from inferstream.policy.drift import Drift, Reference
from inferstream.signals import Signals

_INTERVAL = 1.0  # seconds between two looks
_ROWS = 4  # of the newest call that are looked at


class DriftWatch:
    """`saw` keeps only the newest answer of the model; `run` looks at it."""

    def __init__(self, pipeline: str, reference: Reference, signals: Signals) -> None:
        self._pipeline = pipeline
        self._drift = Drift(reference)
        self._signals = signals
        self._newest: Answer | None = None

    def saw(self, answer: Answer) -> None:
        """The model, or what stands in for it, has answered. Costs nothing."""
        if answer.outputs is not None and answer.provenance.cause is None:
            self._newest = answer

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            answer, self._newest = self._newest, None
            if answer is None or answer.outputs is None:
                continue
            tensors = {**answer.tensors, **answer.outputs}
            self._drift.observe({name: _some(array) for name, array in tensors.items()})
            for tensor, column, index in self._drift.psi():
                side = "output" if tensor in answer.outputs else "input"
                self._signals.drift.cell(self._pipeline, side, column).set(index)


def _some(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A few rows from all over the batch: its order is that of deadlines."""
    return array[:: max(1, len(array) // _ROWS)][:_ROWS]
