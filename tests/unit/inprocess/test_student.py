"""The student in the process: clear about what it cannot load."""

from pathlib import Path

import numpy as np
import pytest

from inferstream.errors import ContractMismatch, ModelError, SettingsError
from inferstream.inprocess import Student
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
