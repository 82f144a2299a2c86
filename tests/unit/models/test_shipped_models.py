"""The shipped models are the ones their provenance describes, and are as good as it says."""

import itertools
import json
import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from inferstream.inprocess import Student
from inferstream.local.stack import shipped_models
from inferstream.models import repository
from inferstream.models.config import from_text
from inferstream.models.evaluate import outputs
from inferstream.models.families import FAMILIES
from inferstream.models.metrics import auc_roc
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.fraud.features import INDEX
from inferstream.traffic import stream

REPOSITORY = shipped_models()
NAMES = sorted(path.name for path in REPOSITORY.iterdir() if path.is_dir())


def provenance(name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((REPOSITORY / name / "PROVENANCE.json").read_text())
    return document


def test_what_the_recipes_ship_is_there_and_nothing_else() -> None:
    assert set(NAMES) == {name for family in FAMILIES.values() for name in family.recipe.shipped}


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_the_one_the_provenance_describes(name: str) -> None:
    (model,) = Path(REPOSITORY / name / "1").glob("*.onnx")
    assert not re.search(rb"\.py\b", model.read_bytes())  # traces of the export name the builder's files
    assert sha256(model.read_bytes()).hexdigest() == provenance(name)["sha256"]


@pytest.mark.parametrize("name", ["fraud", "fraud_student", "fraud_trees"])
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


@pytest.mark.parametrize("name", ["fraud", "fraud_student", "fraud_trees"])
def test_what_the_simulation_never_shows_does_not_silence_a_model(name: str) -> None:
    """Training saw no cash machine and no unknown currency: neither may move the score."""
    task = FraudTask()
    events, labels = zip(*itertools.islice(stream(seed=78), 5_000), strict=True)
    rows = task.tensors(events)["features"]
    unseen = rows.copy()
    unseen[:, INDEX["channel_chip"] : INDEX["channel_atm"]] = 0
    unseen[:, INDEX["channel_atm"]] = 1
    unseen[:, INDEX["currency_unknown"]] = 1
    file = REPOSITORY / name / "1" / "model.onnx"
    fraud = np.array(labels)
    seen_by, unseen_by = (auc_roc(outputs(file, matrix)[:, 0], fraud) for matrix in (rows, unseen))
    assert unseen_by == pytest.approx(seen_by, abs=0.03)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "generation"])
def test_its_configurations_differ_only_in_where_it_runs(name: str) -> None:
    folder = REPOSITORY / name
    for file, kind in (("cpu", "KIND_CPU"), ("gpu", "KIND_GPU")):
        plain = from_text((folder / "config.pbtxt").read_text())
        plain.backend = "onnxruntime"
        plain.instance_group[0].kind = plain.instance_group[0].Kind.Value(kind)
        assert from_text((folder / "configs" / f"{file}.pbtxt").read_text()) == plain


def test_the_serving_code_beside_each_model_is_the_one_that_is_kept() -> None:
    kept = Path(repository.__file__).parent / "serving"
    for name in NAMES:
        script = kept / ("generation.py" if name == "generation" else "model.py")
        assert (REPOSITORY / name / "1" / "model.py").read_text() == script.read_text()
