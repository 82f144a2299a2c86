"""Machine health: the shipped models are as good on machines nobody has seen as they say; the interval is widened."""

import json

import numpy as np
import pytest

from inferstream.inprocess import Student
from inferstream.local.stack import shipped_models
from inferstream.models.family import Dataset
from inferstream.models.recipes import Train, Training, WindowCnn
from inferstream.models.sensor.accuracy import accuracy
from inferstream.models.sensor.data import windows
from inferstream.tasks.sensor import HORIZON_CYCLES, SensorTask


@pytest.fixture(scope="module")
def unseen() -> Dataset:
    """Machines of other seeds than the models were made from and tested on."""
    return windows(range(90_000, 90_150), 6)


@pytest.mark.parametrize("name", ["sensor", "sensor_student"])
async def test_a_shipped_model_is_as_good_on_other_machines_as_it_says(name: str, unseen: Dataset) -> None:
    said = json.loads((shipped_models() / name / "PROVENANCE.json").read_text())["test"]
    interval = (await Student(name, SensorTask()).infer({"readings": unseen.inputs}, 1)).outputs["remaining"]
    found = accuracy(interval, unseen)
    assert found["rmse"] == pytest.approx(said["rmse"], abs=2)
    assert found["rmse"] < found["spread"] / 2
    assert found["coverage"] == pytest.approx(0.8, abs=0.07)
    assert (interval[:, 0] <= interval[:, 1]).all()
    assert (interval[:, 1] <= interval[:, 2]).all()
    assert interval.min() >= 0


@pytest.mark.parametrize("name", ["sensor", "sensor_student"])
async def test_a_window_is_judged_alone_as_in_a_batch(name: str, unseen: Dataset) -> None:
    model = Student(name, SensorTask())
    together = (await model.infer({"readings": unseen.inputs[:64]}, 1)).outputs["remaining"]
    for row in range(0, 64, 7):
        alone = (await model.infer({"readings": unseen.inputs[row : row + 1]}, 1)).outputs["remaining"]
        np.testing.assert_allclose(alone[0], together[row], atol=1e-3)


def test_windows_of_a_life_count_down_to_its_end_and_stop_at_the_horizon(unseen: Dataset) -> None:
    for machine in np.unique(unseen.keys["machine"])[:20]:
        left = unseen.targets[unseen.keys["machine"] == machine, 0]
        assert left[0] == left.max() <= HORIZON_CYCLES
        assert (np.diff(left) <= 0).all()
        assert left[-1] < 6


def test_accuracy_says_what_is_off() -> None:
    rows = Dataset(np.zeros((4, 1)), np.array([[10.0], [20.0], [50.0], [60.0]]), {})
    interval = np.array([[5, 10, 15], [15, 24, 30], [60, 70, 80], [50, 60, 70]])
    found = accuracy(interval, rows)
    assert (found["rmse"], found["mae"], found["coverage"], found["width"]) == (10.2, 6.0, 0.75, 16.25)
    assert (found["alert_precision"], found["alert_recall"]) == (1.0, 1.0)


@pytest.mark.models
@pytest.mark.usefixtures("models_extra")
def test_widening_holds_the_share_of_truths_that_is_wanted(unseen: Dataset) -> None:
    """A network that has learnt a little, whose ends lie too near to the middle."""
    import torch

    from inferstream.models.architectures import WindowRegressor
    from inferstream.models.train import predict, train
    from inferstream.models.widen import widen

    step = Train("narrow", WindowCnn((8, 8), 8), Training(epochs=2, batch_size=128, learning_rate=1e-2))
    narrow = train(windows(range(30), 3), step, lambda *_: None)
    assert isinstance(narrow, WindowRegressor)
    with torch.no_grad():
        narrow.layers[-1].bias[1:].sub_(6)
    before = accuracy(predict(narrow, unseen.inputs), unseen)
    wide, margin = widen(windows(range(91_000, 91_150), 6), narrow, 0.9)
    after = accuracy(predict(wide, unseen.inputs), unseen)
    assert before["coverage"] < 0.6
    assert margin > 0
    assert after["coverage"] == pytest.approx(0.9, abs=0.06)
    assert after["rmse"] == before["rmse"], "the middle stays"
