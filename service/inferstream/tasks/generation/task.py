"""The task: tensors of a prompt, partial results and the result. It has no rules: nothing else can write the text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from inferstream.tasks.generation.event import MOST_TOKENS, SCHEMA, Prompt
from inferstream.tasks.streaming import Streamed, StreamingTask
from inferstream.tasks.task import Tensors, TensorSpec

FinishReason = Literal["stop", "length", "deadline"]


class Piece(msgspec.Struct, gc=False):
    """A partial result: the text of some tokens."""

    text: str
    tokens: int


class Continuation(msgspec.Struct, gc=False):
    """The result of a prompt. It ended where the model stopped, at `max_tokens`, or when its time was up."""

    text: str
    tokens: int
    finish_reason: FinishReason
    first_token_ms: float
    per_token_ms: float


@dataclass(frozen=True)
class GenerationTask(StreamingTask):
    """Goes on with a text. `max_tokens` and `temperature` are for prompts that name none."""

    max_tokens: int = 160
    temperature: float = 0.6

    event_type: ClassVar[type] = Prompt
    schema: ClassVar[str] = SCHEMA
    event_id: ClassVar[str] = "prompt_id"
    model: ClassVar[str] = "generation"
    inputs: ClassVar[tuple[TensorSpec, ...]] = (
        TensorSpec("text", "BYTES", (1,)),
        TensorSpec("max_tokens", "INT32", (1,)),
        TensorSpec("temperature", "FP32", (1,)),
        TensorSpec("seed", "INT64", (1,)),
    )
    outputs: ClassVar[tuple[TensorSpec, ...]] = (
        TensorSpec("token", "BYTES", (1,)),
        TensorSpec("finish_reason", "BYTES", (1,)),
    )
    seed_input: ClassVar[str] = "seed"

    def __post_init__(self) -> None:
        if not 1 <= self.max_tokens <= MOST_TOKENS:
            raise ValueError(f"max_tokens: write 1 to {MOST_TOKENS}, got {self.max_tokens}")
        if not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature: write 0 to 2, got {self.temperature:g}")

    def tensors(self, events: Sequence[Prompt]) -> Tensors:
        tokens = [self.max_tokens if event.max_tokens is None else event.max_tokens for event in events]
        freedom = [self.temperature if event.temperature is None else event.temperature for event in events]
        return {
            "text": np.array([[event.text.encode()] for event in events], object).reshape(-1, 1),
            "max_tokens": np.array(tokens, np.int32).reshape(-1, 1),
            "temperature": np.array(freedom, np.float32).reshape(-1, 1),
            "seed": np.zeros((len(events), 1), np.int64),
        }

    def partial(self, event: Prompt, answers: Sequence[Tensors]) -> Piece:
        return Piece(_text(answers), len(answers))

    def finish(self, event: Prompt, answers: Sequence[Tensors], streamed: Streamed) -> Continuation:
        first_ms, each_ms = round(streamed.first_ms, 3), round(streamed.each_ms, 3)
        reason = _finish_reason(answers[-1]) if streamed.is_whole else "deadline"
        return Continuation(_text(answers), len(answers), reason, first_ms, each_ms)


def _text(answers: Sequence[Tensors]) -> str:
    """Of all tokens together: a token may be half a character."""
    whole: bytes = b"".join(answer["token"][0, 0] for answer in answers)
    return whole.decode("utf-8", "replace")


def _finish_reason(last: Tensors) -> FinishReason:
    given: Any = last["finish_reason"][0, 0]
    if given == b"stop":
        return "stop"
    if given == b"length":
        return "length"
    raise ValueError("the model's last token does not say why it is the last")
