"""Finding a task by name or `module:Class`, and its options."""

import numpy as np
import pytest

from inferstream.errors import SettingsError
from inferstream.tasks import load
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.task import finite_rows
from inferstream.testing import MeanTask


def test_a_task_is_found_by_entry_point_and_by_module() -> None:
    assert load("fraud", {}) == FraudTask()
    assert load("inferstream.testing:MeanTask", {"limit": 3}) == MeanTask(3.0)


def test_options_may_come_as_text_from_variables() -> None:
    assert load("fraud", {"review": "0.1"}) == FraudTask(review=0.1)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("frod", {}, "task 'frod' is not installed; known: fraud"),
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
