"""A model that streams, whose pace and faults are scripted. It has the tensors of the task `generation`."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import numpy as np

from inferstream.errors import ModelError
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.interfaces import Prediction
from inferstream.tasks import Tensors

_LETTERS = "abcdefghijklmnopqrstuvwxyz ."


class FakeStreamingModel:
    """Answers with letters that its seed and the text settle, one every `each` seconds; if it `stops`, to a full stop.

    `fails` may raise a ModelError before the n-th answer of a call (both counted from 0).
    """

    def __init__(self, each: float = 0.0, stops: bool = True) -> None:
        self.each = each
        self.stops = stops
        self.is_up = True
        self.fails: Callable[[int, int], None] = lambda call, place: None
        self.calls: list[Tensors] = []
        self.open = self.most_open = 0
        self.cancelled = 0
        """Streams that were closed, or ran out of time, before their end."""

    @property
    def is_ready(self) -> bool:
        return self.is_up

    @property
    def url(self) -> str:
        return "fake"

    async def stream(
        self, tensors: Tensors, timeout: float, traceparent: bytes | None = None
    ) -> AsyncGenerator[Prediction, None]:
        call, text = len(self.calls), self.text(tensors)
        self.calls.append(tensors)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        is_whole = False
        try:
            async with asyncio.timeout(max(0.0, timeout)):
                for place, letter in enumerate(text):
                    await asyncio.sleep(self.each)
                    if not self.is_up:
                        raise ModelError(Cause.MODEL_UNAVAILABLE, "down")
                    self.fails(call, place)
                    reason = "" if place < len(text) - 1 else "stop" if letter == "." else "length"
                    yield _answer(letter, reason)
            is_whole = True
        except TimeoutError:
            raise ModelError(Cause.MODEL_TIMEOUT, "too slow") from None
        finally:
            self.open -= 1
            self.cancelled += not is_whole

    async def stop(self) -> None:
        self.is_up = False

    def text(self, tensors: Tensors) -> str:
        """What it says to a prompt, of `max_tokens` letters or fewer."""
        seed, most = int(tensors["seed"][0, 0]), int(tensors["max_tokens"][0, 0])
        rng = np.random.default_rng([seed, len(tensors["text"][0, 0])])
        said = "".join(_LETTERS[n] for n in rng.integers(len(_LETTERS), size=most))
        may_end = self.stops and tensors["temperature"][0, 0] > 0
        end = said.find(".") if may_end else -1
        return said if end < 0 else said[: end + 1]


def _answer(letter: str, reason: str) -> Prediction:
    outputs = {
        "token": np.array([[letter.encode()]], object),
        "finish_reason": np.array([[reason.encode()]], object),
    }
    return Prediction(outputs, Answerer("model", "fake", "1"))
