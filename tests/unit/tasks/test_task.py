"""Finding a task by name or `module:Class`, and its options."""

from typing import Any

import numpy as np
import pytest

from inferstream.errors import SettingsError
from inferstream.tasks import TensorSpec, load
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.task import WrongTensor, as_declared, finite_rows
from inferstream.testing import MeanTask


def test_a_task_is_found_by_entry_point_and_by_module() -> None:
    assert load("fraud", {}) == FraudTask()
    assert load("inferstream.testing:MeanTask", {"limit": 3}) == MeanTask(3.0)


def test_options_may_come_as_text_from_variables() -> None:
    assert load("fraud", {"review": "0.1"}) == FraudTask(review=0.1)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("frod", {}, "task 'frod' is not installed; known: "),
        ("no.such.module:Task", {}, "cannot be loaded: No module named 'no'"),
        ("inferstream.tasks:Nothing", {}, "cannot be loaded"),
        ("inferstream.errors:ModelError", {}, "not a subclass of inferstream.tasks.Task"),
        ("fraud", {"revue": 0.1}, "did you mean 'review'?"),
        ("fraud", {"review": "high"}, "options of task 'fraud'"),
        ("fraud", {"review": 0.9, "decline": 0.5}, "0 <= review <= decline <= 1 is wanted"),
    ],
)
def test_what_is_wrong_is_said(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(name, options)
    assert said in str(refused.value)


def test_a_row_is_finite_only_if_all_its_tensors_are() -> None:
    tensors = {
        "a": np.array([[1, 2], [np.nan, 0], [3, 4]], np.float32),
        "b": np.array([[[1.0]], [[1.0]], [[np.inf]]]),
        "c": np.array([[1], [2], [3]]),
    }
    assert finite_rows(tensors).tolist() == [True, False, False]


TEXT = TensorSpec("text", "BYTES", (1,))


def test_bytes_are_passed_on_as_they_are() -> None:
    given = np.array([[b"a\x00"], [b""]], object)
    assert as_declared([TEXT], {"text": given}, 2)["text"].tolist() == [[b"a\x00"], [b""]]


@pytest.mark.parametrize(
    "given",
    [np.array([["a"]], object), np.array([[None]], object), np.array([[b"a"]]), np.array([["a"]]), np.array([[1]])],
    ids=["text", "nothing", "numpy's bytes, which lose zeros", "numpy's text", "number"],
)
def test_what_is_no_bytes_is_refused_in_words(given: Any) -> None:
    with pytest.raises(WrongTensor, match="tensor 'text' is declared BYTES: give an object array"):
        as_declared([TEXT], {"text": given}, 1)


def test_bytes_are_never_called_infinite() -> None:
    assert finite_rows({"text": np.array([[b"nan"], [b"inf"]], object)}).tolist() == [True, True]
