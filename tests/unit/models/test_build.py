"""Each verb does to a model what it says; these train, so they need torch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.models.small import SMALL, split

from inferstream.models.config import from_text
from inferstream.models.evaluate import outputs
from inferstream.models.family import Split
from inferstream.models.recipes import Boost, Distill
from inferstream.models.repository import Flavour

pytestmark = [
    pytest.mark.models,
    pytest.mark.usefixtures("models_extra"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),  # within the libraries
]


@pytest.fixture(scope="module")
def data() -> Split:
    return split()


@pytest.fixture(scope="module")
def made(models_extra: None, data: Split, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    from inferstream.models.build import build

    return dict(build(SMALL, data, SMALL.recipe.models, tmp_path_factory.mktemp("scratch"), lambda text: None))


def report(made: dict[str, object], name: str) -> dict[str, float]:
    return made[name].report  # type: ignore[attr-defined, no-any-return]


def file(made: dict[str, object], name: str) -> Path:
    return made[name].file  # type: ignore[attr-defined, no-any-return]


def test_every_model_has_learnt(made: dict[str, object]) -> None:
    for name in SMALL.recipe.models:
        assert report(made, name)["auc_roc"] > 0.8, name


@pytest.mark.parametrize("name", SMALL.recipe.models)
def test_a_row_scores_alone_as_in_a_batch(made: dict[str, object], data: Split, name: str) -> None:
    inputs = data.test.inputs[:64]
    together = outputs(file(made, name), inputs)
    assert together.shape == (64, 1)
    assert together.dtype == np.float32
    alone = np.concatenate([outputs(file(made, name), inputs[row : row + 1]) for row in range(64)])
    np.testing.assert_allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize("name", ["fraud", "fraud_student", "fraud_pruned"])
def test_a_column_that_never_changed_in_training_does_not_matter(
    made: dict[str, object], data: Split, name: str
) -> None:
    inputs = data.test.inputs[:64]
    moved = inputs.copy()
    moved[:, -1] = 1
    np.testing.assert_allclose(outputs(file(made, name), moved), outputs(file(made, name), inputs), atol=1e-6)


def test_the_pruned_model_has_half_the_units(made: dict[str, object]) -> None:
    network = made["fraud_pruned"].network  # type: ignore[attr-defined]
    assert [layer.out_features for layer in network.layers if hasattr(layer, "out_features")] == [32, 16, 1]
    assert report(made, "fraud_pruned")["bytes"] < report(made, "fraud_teacher")["bytes"]


def test_the_int8_model_keeps_the_scores_of_its_last_layer_apart(made: dict[str, object]) -> None:
    teacher, int8 = report(made, "fraud_teacher"), report(made, "fraud_int8")
    assert int8["distinct_scores"] > 1_000
    assert int8["auc_roc"] > teacher["auc_roc"] - 0.01


def test_calibration_brings_probabilities_nearer_to_the_truth_and_keeps_their_order(
    made: dict[str, object], data: Split, models_extra: None
) -> None:
    import torch

    from inferstream.models.calibrate import calibrate
    from inferstream.models.train import predict

    network = made["fraud"].network  # type: ignore[attr-defined]
    with torch.no_grad():
        network_overconfident = calibrate(data.calibrate, network)[0]
        network_overconfident.last.weight.mul_(3)
        network_overconfident.last.bias.add_(2)
    again, slope, _ = calibrate(data.calibrate, network_overconfident)
    before, after = predict(network_overconfident, data.test.inputs), predict(again, data.test.inputs)
    assert slope == pytest.approx(1 / 3, abs=0.05)
    error = [SMALL.accuracy(probability, data.test)["calibration_error"] for probability in (before, after)]
    assert error[1] < error[0] / 3
    assert (np.argsort(before[:, 0])[:200] == np.argsort(after[:, 0])[:200]).all()


def test_a_student_follows_its_teacher_as_far_as_it_is_told_to(data: Split) -> None:
    from inferstream.models.train import distill, predict

    (step,) = (step for step in SMALL.recipe.steps if isinstance(step, Distill))
    always = np.ones_like(data.train.targets)
    never = data.train._replace(targets=np.zeros_like(always))
    taught, alone = (
        predict(distill(never, always, replace(step, alpha=alpha), lambda *_: None), data.test.inputs)
        for alpha in (0.0, 1.0)
    )
    assert taught.min() > 0.8
    assert alone.max() < 0.2


def test_trees_decide_in_float32_as_they_were_fitted(data: Split) -> None:
    from inferstream.models.boost import boost

    trees = boost(data.train, Boost("fraud_trees", rounds=10, leaves=7))
    lines = [line for line in trees.model_to_string().splitlines() if line.startswith("threshold=")]
    thresholds = np.array(" ".join(line.partition("=")[2] for line in lines).split(), np.float64)
    assert thresholds.size == 10 * 6
    assert (thresholds == thresholds.astype(np.float32)).all()


def test_the_same_seed_makes_the_same_model(made: dict[str, object], data: Split, tmp_path: Path) -> None:
    from inferstream.models.build import build

    again = build(SMALL, data, ["fraud_student", "fraud_trees"], tmp_path, lambda text: None)
    for name in ("fraud_teacher", "fraud_student", "fraud_trees"):
        np.testing.assert_array_equal(
            outputs(again[name].file, data.test.inputs), outputs(file(made, name), data.test.inputs)
        )


def test_trees_go_to_the_forest_backend_in_production_and_to_the_python_backend_here(
    made: dict[str, object], data: Split, tmp_path: Path
) -> None:
    from inferstream.models.build import write

    for flavour in Flavour:
        write(SMALL, data, {"fraud_trees": made["fraud_trees"]}, tmp_path / flavour, flavour)  # type: ignore[dict-item]
    config = from_text((tmp_path / "local" / "fraud_trees" / "config.pbtxt").read_text())
    assert config.backend == "python"
    assert (tmp_path / "local" / "fraud_trees" / "1" / "model.py").is_file()
    config = from_text((tmp_path / "production" / "fraud_trees_fil" / "config.pbtxt").read_text())
    assert (config.backend, config.parameters["model_type"].string_value) == ("fil", "lightgbm")
    assert (tmp_path / "production" / "fraud_trees_fil" / "1" / "model.txt").read_text().startswith("tree\n")
