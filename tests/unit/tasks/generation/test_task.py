"""A prompt's tensors, its parts and its result."""

from typing import Any

import numpy as np
import pytest

from inferstream.errors import SettingsError
from inferstream.tasks import Tensors, load
from inferstream.tasks.generation import Continuation, GenerationTask, Piece, Prompt
from inferstream.tasks.streaming import Streamed
from inferstream.tasks.task import as_declared

TASK = GenerationTask(max_tokens=50, temperature=0.5)
PROMPT = Prompt("p", "Où ", 0)


def answers(text: list[bytes], reason: bytes = b"") -> list[Tensors]:
    reasons = [b""] * (len(text) - 1) + [reason]
    return [
        {"token": np.array([[token]], object), "finish_reason": np.array([[said]], object)}
        for token, said in zip(text, reasons, strict=True)
    ]


def test_a_prompt_becomes_what_the_model_wants_and_the_options_fill_what_it_leaves_open() -> None:
    asked = [PROMPT, Prompt("q", "x", 0, max_tokens=7, temperature=0.0)]
    tensors = as_declared(TASK.inputs, TASK.tensors(asked), 2)
    assert tensors["text"].tolist() == [["Où ".encode()], [b"x"]]
    assert tensors["max_tokens"].tolist() == [[50], [7]]
    assert tensors["temperature"].tolist() == [[0.5], [0.0]]
    assert tensors["seed"].tolist() == [[0], [0]]


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_a_whole_text_says_how_it_ended(reason: str) -> None:
    result = TASK.finish(PROMPT, answers([b"a", b"b"], reason.encode()), Streamed(True, 12.3456, 1.23456))
    assert result == Continuation("ab", 2, reason, 12.346, 1.235)  # type: ignore[arg-type]


def test_a_text_that_was_cut_says_so() -> None:
    assert TASK.finish(PROMPT, answers([b"a"]), Streamed(False, 1.0, 0.0)).finish_reason == "deadline"


def test_a_last_token_that_does_not_say_why_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not say why it is the last"):
        TASK.finish(PROMPT, answers([b"a"]), Streamed(True, 1.0, 0.0))


def test_a_part_is_the_text_of_its_tokens() -> None:
    assert TASK.partial(PROMPT, answers([b"a", b"b", b"c"])) == Piece("abc", 3)


def test_half_a_character_is_put_together_in_the_text() -> None:
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert TASK.finish(PROMPT, answers([first, second], b"stop"), Streamed(True, 1.0, 0.0)).text == "é"
    assert TASK.partial(PROMPT, answers([first])).text == "�"


def test_a_model_that_says_all_at_once_is_a_stream_of_one_answer() -> None:
    outputs = {"token": np.array([[b"all"], [b"more"]], object), "finish_reason": np.array([[b"stop"]] * 2, object)}
    assert [result.text for result in TASK.decide([PROMPT, PROMPT], {}, outputs)] == ["all", "more"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_tokens": 0}, "max_tokens: write 1 to 1024, got 0"),
        ({"max_tokens": 2_000}, "max_tokens: write 1 to 1024"),
        ({"temperature": -0.1}, "temperature: write 0 to 2, got -0.1"),
        ({"max_token": 5}, "did you mean 'max_tokens'?"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load("generation", options)
    assert said in str(refused.value)
