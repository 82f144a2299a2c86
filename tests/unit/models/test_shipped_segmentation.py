"""The shipped segmentation models: as good as they say, on images of any size, a row alone as in a batch."""

import json
from pathlib import Path

import numpy as np
import pytest

from inferstream.local.stack import shipped_models
from inferstream.models.evaluate import outputs, session
from inferstream.models.family import Dataset
from inferstream.models.segmentation.accuracy import accuracy
from inferstream.traffic.scenes import scenes

NAMES = ("segmentation", "segmentation_int8")
IMAGES, MASKS = scenes(seed=77, number=60)


def file(name: str) -> Path:
    return shipped_models() / name / "1" / "model.onnx"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_good_on_scenes_it_never_saw_as_it_says(name: str) -> None:
    said = json.loads((shipped_models() / name / "PROVENANCE.json").read_text())["test"]
    found = accuracy(outputs(file(name), IMAGES), Dataset(IMAGES, MASKS, {}))
    assert found["mean_iou"] == pytest.approx(said["mean_iou"], abs=0.04)
    assert found["mean_iou"] > 0.85
    assert found["iou_road"] > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_segmented_alone_as_in_a_batch(name: str) -> None:
    together = outputs(file(name), IMAGES[:8])
    alone = np.concatenate([outputs(file(name), IMAGES[row : row + 1]) for row in range(8)])
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 70), (128, 96)])
def test_an_image_of_any_size_is_taken(name: str, height: int, width: int) -> None:
    images, truth = scenes(seed=5, number=2, height=height, width=width)
    mask, confidence = session(file(name)).run(["mask", "confidence"], {"image": images})
    assert (mask.shape, mask.dtype) == ((2, height, width), np.uint8)
    assert (confidence.shape, confidence.dtype) == ((2, 1), np.float32)
    assert ((confidence > 0.2) & (confidence <= 1)).all()
    if height > 64:
        assert (mask == truth).mean() > 0.9


def test_eight_bits_cost_next_to_nothing() -> None:
    plain, int8 = (outputs(file(name), IMAGES) for name in NAMES)
    assert (plain == int8).mean() > 0.99
    assert file("segmentation_int8").stat().st_size < 0.5 * file("segmentation").stat().st_size
