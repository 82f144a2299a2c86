"""Digits: the shipped model reads what it has not learnt from as well as it says."""

import itertools
import json

import numpy as np
import pytest

from inferstream.inprocess import Student
from inferstream.local.stack import shipped_models
from inferstream.models.digits.accuracy import accuracy
from inferstream.models.family import Dataset
from inferstream.tasks.classification import ClassificationTask
from inferstream.traffic.digits import stream

TASK = ClassificationTask()
IMAGES = 359  # that were held out


async def test_the_shipped_model_reads_the_held_out_images_as_well_as_it_says() -> None:
    said = json.loads((shipped_models() / "digits" / "PROVENANCE.json").read_text())["test"]
    events, labels = zip(*itertools.islice(stream(3), IMAGES), strict=True)
    assert said["rows"] == IMAGES
    model, tensors = Student("digits", TASK), TASK.tensors(events)
    outputs = (await model.infer(tensors, 1)).outputs
    read = [result.label for result in TASK.decide(events, tensors, outputs)]
    right = sum(label == truth for label, truth in zip(read, labels, strict=True))
    assert right / IMAGES == pytest.approx(said["accuracy"], abs=0.001)
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, atol=1e-5)
    alone = (await model.infer({"pixels": tensors["pixels"][7:8]}, 1)).outputs["probabilities"]
    np.testing.assert_allclose(alone[0], outputs["probabilities"][7], atol=1e-5)


def test_accuracy_says_how_often_and_how_surely_it_is_right() -> None:
    said = np.array([[0.7, 0.2, 0.1, 0.0], [0.1, 0.5, 0.4, 0.0], [0.4, 0.3, 0.2, 0.1]], np.float32)
    truth = Dataset(said, np.eye(4, dtype=np.float32)[[0, 2, 3]], {})
    found = accuracy(said, truth)
    assert (found["accuracy"], found["in_top_3"]) == (0.3333, 0.6667)
    assert found["log_loss"] == pytest.approx(-np.log([0.7, 0.4, 0.1]).mean(), abs=1e-4)


@pytest.mark.models
@pytest.mark.usefixtures("models_extra")
def test_the_traffic_is_the_part_that_training_never_sees() -> None:
    from inferstream.models.digits.data import collected

    split = collected(lambda text: None)
    shown = {event.pixels for event, _ in itertools.islice(stream(1), IMAGES)}
    assert shown == {image.tobytes() for image in split.test.inputs}
    assert not shown & {image.tobytes() for image in split.train.inputs}
    by_label = {event.pixels: label for event, label in itertools.islice(stream(1), IMAGES)}
    for image, target in zip(split.test.inputs, split.test.targets, strict=True):
        assert by_label[image.tobytes()] == str(target.argmax())


@pytest.mark.models
@pytest.mark.usefixtures("models_extra")
def test_a_network_learns_to_tell_bright_corners_apart() -> None:
    from inferstream.models.recipes import ImageCnn, Train, Training
    from inferstream.models.train import predict, train

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 8, (600, 1, 8, 8), np.uint8), rng.integers(0, 3, 600)
    for image, label in zip(images, labels, strict=True):
        image[0, label * 2 : label * 2 + 2, :3] += 6
    data = Dataset(images, np.eye(3, dtype=np.float32)[labels], {})
    step = Train("small", ImageCnn((8, 8), 16), Training(epochs=8, batch_size=64, learning_rate=1e-2))
    network = train(Dataset(images[:400], data.targets[:400], {}), step, lambda *_: None)
    found = accuracy(predict(network, images[400:]), Dataset(images[400:], data.targets[400:], {}))
    assert found["accuracy"] > 0.95
