"""From a mask to a result, and what a pipeline may set."""

import itertools
import zlib
from typing import Any

import numpy as np
import pytest

from inferstream.errors import SettingsError
from inferstream.tasks import load
from inferstream.tasks.segmentation import LABELS, SegmentationTask, unpack
from inferstream.tasks.segmentation.overlap import ious, pairs
from inferstream.tasks.task import WrongTensor
from inferstream.traffic.scenes import stream

TASK = SegmentationTask()
EVENTS = [event for event, _ in itertools.islice(stream(5), 2)]


def decided(mask: Any, confidence: float = 0.95, task: SegmentationTask = TASK) -> Any:
    masks = np.asarray(mask, np.uint8)[None]
    outputs: dict[str, Any] = {"mask": masks, "confidence": np.array([[confidence]], np.float32)}
    (result,) = task.decide(EVENTS[:1], {}, outputs)
    return result


def halves(upper: str, lower: str) -> Any:
    mask = np.full((64, 64), LABELS.index(lower), np.uint8)
    mask[:32] = LABELS.index(upper)
    return mask


def test_the_result_says_what_covers_how_much() -> None:
    result = decided(halves("background", "road"))
    assert result.classes == {"background": 0.5, "road": 0.5, "car": 0.0, "person": 0.0, "sign": 0.0}
    assert (result.width, result.height, result.encoding) == (64, 64, "zlib")
    assert result.confidence == pytest.approx(0.95)
    assert (result.alerts, result.reasons) == ((), ())


def test_the_mask_comes_back_as_it_was() -> None:
    mask = np.random.default_rng(1).integers(0, 5, (64, 64), np.uint8)
    np.testing.assert_array_equal(unpack(decided(mask).mask, 64, 64), mask)


@pytest.mark.parametrize(("packed", "said"), [(b"no zlib", "no zlib"), (zlib.compress(bytes(9)), "has 9 bytes")])
def test_a_mask_of_another_size_is_none(packed: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        unpack(packed, 64, 64)


def test_somebody_should_look_at_a_person_and_at_what_is_unsure() -> None:
    assert decided(halves("road", "person")).alerts == ("person",)
    assert decided(halves("road", "person")).reasons == ("ALERT_SHARE",)
    assert decided(halves("road", "road"), 0.79).reasons == ("LOW_CONFIDENCE",)
    both = decided(halves("car", "person"), 0.1, SegmentationTask(alert_at={"car": 0.5, "person": 0.6}))
    assert (both.alerts, both.reasons) == (("car",), ("ALERT_SHARE", "LOW_CONFIDENCE"))


def test_a_class_without_a_label_is_an_error() -> None:
    with pytest.raises(WrongTensor, match="names class 5; there are 5 labels"):
        decided(np.full((64, 64), 5))


def test_a_pipeline_s_size_is_the_one_of_its_tensors() -> None:
    task = load("segmentation", {"height": 32, "width": 48})
    assert task.inputs[0].shape == (32, 48, 3)
    assert task.outputs[0].shape == (32, 48)
    assert TASK.inputs[0].shape == (64, 64, 3)
    assert SegmentationTask.inputs[0].shape == (-1, -1, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"height": 0}, "got 0 and 64"),
        ({"height": 4_096, "width": 4_096}, "at most max_pixels 4194304"),
        ({"labels": ["road", "road"]}, "1 to 256 different labels"),
        ({"alert_at": {"horse": 0.1}}, "alert_at names 'horse', which is none of labels: background, road"),
        ({"alert_at": {"person": 0}}, "shares above 0"),
        ({"review_below": 1.5}, "review_below 0 to 1"),
        ({"formats": []}, "name at least one of raw, png, jpeg"),
        ({"formats": ["gif"]}, "Invalid enum value 'gif'"),
        ({"heigth": 64}, "did you mean 'height'"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_words(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load("segmentation", options)


def test_overlap_is_shared_over_joined_pixels() -> None:
    """Two of three pixels of class 1 found, one too many: 2 / 4."""
    counted = pairs(np.array([1, 1, 0, 1, 0], np.uint8), np.array([1, 1, 1, 0, 0], np.uint8), 3)
    assert ious(counted).tolist() == pytest.approx([1 / 3, 2 / 4, 0])
