"""A model whose answers, delays and faults are scripted."""

import asyncio
from collections.abc import Callable

import numpy as np

from inferstream.errors import ModelError
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.interfaces import Prediction
from inferstream.tasks import Task, Tensors


class FakeModel:
    """Answers every output of the task with the mean of the first input's row, after `delay` seconds.

    `fails` may raise a ModelError for the n-th call (counted from 0) and its tensors.
    """

    def __init__(self, task: Task, delay: float = 0.0) -> None:
        self._task = task
        self.delay = delay
        self.is_up = True
        self.fails: Callable[[int, Tensors], None] = lambda call, tensors: None
        self.calls: list[int] = []

    @property
    def is_ready(self) -> bool:
        return self.is_up

    @property
    def instances(self) -> int:
        return 1

    @property
    def max_batch_size(self) -> int:
        """Any number."""
        return 0

    @property
    def is_shared(self) -> bool:
        """Nobody else asks it."""
        return False

    @property
    def url(self) -> str:
        """In the process."""
        return ""

    async def infer(self, tensors: Tensors, timeout: float, traceparent: bytes | None = None) -> Prediction:
        call = len(self.calls)
        rows = len(next(iter(tensors.values())))
        self.calls.append(rows)
        if timeout <= 0:
            raise ModelError(Cause.MODEL_TIMEOUT, "no time left")
        if self.delay >= timeout:
            await asyncio.sleep(timeout)
            raise ModelError(Cause.MODEL_TIMEOUT, "too slow")
        await asyncio.sleep(self.delay)
        if not self.is_up:
            raise ModelError(Cause.MODEL_UNAVAILABLE, "down")
        self.fails(call, tensors)
        first = next(iter(tensors.values())).reshape(rows, -1).mean(axis=1)
        outputs = {
            spec.name: np.broadcast_to(first.reshape(-1, *[1] * len(spec.shape)), (rows, *spec.shape)).astype("f4")
            for spec in self._task.outputs
        }
        return Prediction(outputs, Answerer("model", "fake", "1"))

    async def stop(self) -> None:
        self.is_up = False
