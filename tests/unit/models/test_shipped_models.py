"""The shipped models are the ones their provenance describes, and are as good as it says."""

import itertools
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from inferstream.inprocess import Student
from inferstream.local.stack import shipped_models
from inferstream.tasks.fraud import FraudTask
from inferstream.traffic import stream

REPOSITORY = shipped_models()
NAMES = sorted(path.name for path in REPOSITORY.iterdir() if path.is_dir())


def provenance(name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((REPOSITORY / name / "PROVENANCE.json").read_text())
    return document


def test_the_fraud_model_and_its_student_are_shipped() -> None:
    assert {"fraud", "fraud_student"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_the_one_the_provenance_describes(name: str) -> None:
    (model,) = Path(REPOSITORY / name / "1").glob("*.onnx")
    assert b".py" not in model.read_bytes()  # traces of the export name the builder's files
    assert sha256(model.read_bytes()).hexdigest() == provenance(name)["sha256"]


@pytest.mark.parametrize("name", ["fraud", "fraud_student"])
async def test_a_model_scores_a_row_alone_as_in_a_batch_and_as_well_as_it_says(name: str) -> None:
    events, labels = zip(*itertools.islice(stream(seed=77), 20_000), strict=True)
    task = FraudTask()
    tensors = task.tensors(events)
    model = Student(name, task)
    scores = (await model.infer(tensors, 1)).outputs["probability"]
    for row in range(0, 20_000, 1_999):
        alone = await model.infer({"features": tensors["features"][row : row + 1]}, 1)
        assert alone.outputs["probability"][0, 0] == pytest.approx(scores[row, 0], abs=1e-5)
    flagged, truth = scores[:, 0] >= task.review, np.array(labels)
    tested = provenance(name)["test"]
    assert isinstance(tested, dict)
    precision, recall = (flagged & truth).sum() / flagged.sum(), (flagged & truth).sum() / truth.sum()
    assert precision == pytest.approx(tested["review_precision"], abs=0.1)
    assert recall == pytest.approx(tested["review_recall"], abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_its_configurations_differ_only_in_where_it_runs(name: str) -> None:
    folder = REPOSITORY / name
    plain = (folder / "config.pbtxt").read_text()
    for file, kind in (("cpu", "KIND_CPU"), ("gpu", "KIND_GPU")):
        other = (folder / "configs" / f"{file}.pbtxt").read_text()
        assert other == plain.replace('backend: "python"', 'backend: "onnxruntime"').replace("KIND_CPU", kind)
