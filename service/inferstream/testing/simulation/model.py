"""A model server that is away, frozen, deaf, slow, or answers nonsense; and the model on it as one process sees it."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from inferstream.errors import ModelError
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.interfaces import Prediction
from inferstream.policy.endpoint import EndpointState
from inferstream.tasks import Tensors
from inferstream.testing.simulation.clock import SimClock

Mode = Literal["well", "away", "frozen", "deaf", "slow", "garbage", "failing"]
"""Frozen: polls and calls are answered when it is over. Deaf: it says that it is ready, and never answers a call."""
MODES: tuple[Mode, ...] = ("away", "frozen", "deaf", "slow", "garbage", "failing")
_POLL_SECONDS = 0.5
_POLL_TIMEOUT = 0.2
_LOOK_SECONDS = 0.05
_ALPHA, _BETA = 0.002, 0.0004  # seconds: of a batch, of a row
_WAYS = {"away": Cause.MODEL_UNAVAILABLE, "garbage": Cause.MODEL_GARBAGE, "failing": Cause.MODEL_ERROR}

Refuses = Callable[[Tensors], bool]


@dataclass
class Called:
    """A call that went out: when, the seconds it had, its rows; `failed` if neither answered nor refused."""

    at: float
    timeout: float
    tensors: Tensors
    failed: bool = False
    answered_at: float | None = None


class SimServer:
    """One instance of the model; batches queue. It answers with the mean of the first input's row."""

    def __init__(self, seed: int, refuses: Refuses = lambda tensors: False) -> None:
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._refuses = refuses
        self._busy_until = 0.0
        self.mode: Mode = "well"

    async def answer(self, tensors: Tensors) -> Tensors:
        """As the mode has it. Raises ModelError."""
        if self.mode == "away":
            raise ModelError(Cause.MODEL_UNAVAILABLE, "away")
        if self.mode == "deaf":
            await asyncio.get_running_loop().create_future()
        while self.mode == "frozen":  # noqa: ASYNC110 - tests set the mode
            await asyncio.sleep(_LOOK_SECONDS)
        rows = next(iter(tensors.values()))
        took = (_ALPHA + _BETA * len(rows)) * self._random.uniform(0.9, 1.2)
        if self.mode == "slow":
            took *= self._random.uniform(10, 60)
        now = asyncio.get_running_loop().time()
        self._busy_until = max(now, self._busy_until) + took
        await asyncio.sleep(self._busy_until - now)
        if self.mode in _WAYS:
            raise ModelError(_WAYS[self.mode], self.mode)
        if self._refuses(tensors):
            raise ModelError(Cause.MODEL_REJECTED, "a row is marked")
        return {"mean": rows.mean(axis=1, keepdims=True).astype(np.float32)}


class SimModel:
    """`Model`, polled and watched as the adapter of Triton does it; every call that goes out is told to `called`."""

    def __init__(self, server: SimServer, clock: SimClock, called: Callable[[Called], None]) -> None:
        self._server = server
        self._clock = clock
        self._called = called
        self._endpoint = EndpointState()
        self._connection: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._polling = asyncio.create_task(self._poll())

    @property
    def is_ready(self) -> bool:
        return self._endpoint.takes_calls

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
        if timeout <= 0:
            raise ModelError(Cause.MODEL_TIMEOUT, "no time left for the call")
        self._endpoint.called()
        call = Called(self._clock.monotonic(), timeout, tensors)
        self._called(call)
        try:
            outputs = await self._answer(tensors, timeout)
        except ModelError as error:
            if error.cause == Cause.MODEL_REJECTED:
                self._endpoint.answered(self._clock.monotonic())
            else:
                call.failed = True
                self._endpoint.failed(Cause(error.cause), self._clock.monotonic())
            raise
        call.answered_at = self._clock.monotonic()
        self._endpoint.answered(call.answered_at)
        return Prediction(outputs, Answerer("model", "simulated", "1"))

    async def stop(self) -> None:
        self._polling.cancel()
        await asyncio.gather(self._polling, return_exceptions=True)

    async def _answer(self, tensors: Tensors, timeout: float) -> Tensors:
        """The server's, unless time runs out or the connection is given up."""
        connection = self._connection
        answer = asyncio.ensure_future(self._server.answer(tensors))
        try:
            ended: set[asyncio.Future[Any]] = {answer, connection}
            await asyncio.wait(ended, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
        finally:
            answer.cancel()
        if connection.done():
            raise ModelError(Cause.MODEL_UNAVAILABLE, "the connection was given up")
        raise ModelError(Cause.MODEL_TIMEOUT, "too slow")

    def _reconnect(self) -> None:
        """The server does not answer: all calls on the connection fail."""
        self._connection.set_result(None)
        self._connection = asyncio.get_running_loop().create_future()

    async def _poll(self) -> None:
        while True:
            if self._server.mode == "frozen":
                await asyncio.sleep(_POLL_TIMEOUT)
                if self._endpoint.unanswered(self._clock.monotonic()):
                    self._reconnect()
                continue
            await asyncio.sleep(0.001)
            now = self._clock.monotonic()
            self._endpoint.polled(self._server.mode != "away", now)
            await asyncio.sleep(max(0.01, self._endpoint.poll_in(_POLL_SECONDS, now)))
