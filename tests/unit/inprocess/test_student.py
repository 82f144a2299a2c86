"""The student in the process: clear about what it cannot load."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inferstream.errors import ContractMismatch, ModelError, SettingsError
from inferstream.inprocess import Student
from inferstream.tasks import TensorSpec
from inferstream.tasks.fraud import FraudTask
from inferstream.testing import MeanTask


def test_a_file_that_is_not_there_or_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^student '[^']*none\.onnx': no such file$"):
        Student(str(tmp_path / "none.onnx"), FraudTask())
    with pytest.raises(SettingsError, match="is not shipped"):
        Student("nothing", FraudTask())
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(SettingsError, match="is not a model ONNX Runtime can load"):
        Student(str(broken), FraudTask())


def test_a_model_of_another_task_does_not_fit() -> None:
    with pytest.raises(ContractMismatch, match="does not fit the task"):
        Student("fraud_student", MeanTask())


async def test_wrong_rows_are_an_error_not_a_crash() -> None:
    student = Student("fraud_student", FraudTask())
    with pytest.raises(ModelError):
        await student.infer({"features": np.zeros((2, 3), np.float32)}, 1)


def remade(**given: tuple[TensorSpec, ...]) -> FraudTask:
    """Fraud's task with tensors declared otherwise."""
    task = FraudTask()
    for name, specs in given.items():
        object.__setattr__(task, name, specs)
    return task


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"inputs": (TensorSpec("features", "FP32", (40,)),)},
            r"'features' has shape \[41\] a row, the task has \[40\]",
        ),
        ({"inputs": (TensorSpec("features", "FP64", (41,)),)}, r"is tensor\(float\), the task has tensor\(double\)"),
        (
            {"outputs": (TensorSpec("probability", "FP32", ()),)},
            r"'probability' has shape \[1\] a row, the task has \[\]",
        ),
        ({"outputs": (TensorSpec("probability", "UINT8", (1,)),)}, r"the task has tensor\(uint8\)"),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_named(given: dict[str, tuple[TensorSpec, ...]], said: str) -> None:
    with pytest.raises(ContractMismatch, match=said):
        Student("fraud_student", remade(**given))


async def test_an_answer_of_another_shape_is_garbage_and_no_crash_of_the_task() -> None:
    student = Student("fraud_student", FraudTask())
    tensors = {"features": np.zeros((2, 41), np.float32)}
    assert (await student.infer(tensors, 1)).outputs["probability"].shape == (2, 1)
    student._session = SimpleNamespace(run=lambda names, given: [np.zeros(2, np.float32)])
    with pytest.raises(ModelError, match=r"output 'probability' has shape \[2\] for 2 rows"):
        await student.infer(tensors, 1)
