"""An image goes to the model as it is, and the likeliest labels come back; what does not fit is named by its size."""

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest

from inferstream.errors import SettingsError
from inferstream.events import codecs
from inferstream.tasks import load
from inferstream.tasks.classification import Class, ClassificationTask, Image, Reason
from inferstream.tasks.task import TensorSpec, Unusable, as_declared
from inferstream.traffic.digits import stream

TASK = ClassificationTask()
EVENTS = [event for event, _ in itertools.islice(stream(5), 50)]
RGB = ClassificationTask(height=2, width=3, channels=3, labels=("cat", "dog"))


def image(width: int, height: int, pixels: bytes) -> Image:
    return Image("i", 0, width, height, pixels)


def outputs(*probabilities: float) -> dict[str, Any]:
    return {"probabilities": np.array([probabilities], np.float32)}


def test_an_image_alone_is_the_image_in_a_batch() -> None:
    together = as_declared(TASK.inputs, TASK.tensors(EVENTS), 50)["pixels"]
    assert together.shape == (50, 1, 8, 8)
    for number, event in enumerate(EVENTS):
        assert TASK.tensors([event])["pixels"].tobytes() == together[number].tobytes() == event.pixels


def test_colours_lie_beside_each_other_in_the_event_and_apart_in_the_tensor() -> None:
    pixels = bytes(range(18))
    (tensor,) = RGB.tensors([image(3, 2, pixels)])["pixels"]
    assert tensor.shape == (3, 2, 3)
    assert tensor[:, 1, 2].tolist() == list(pixels[15:18])
    assert tensor[0].tolist() == [[0, 3, 6], [9, 12, 15]]


def test_no_events_are_no_rows() -> None:
    assert TASK.tensors([])["pixels"].shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (image(9, 8, bytes(72)), "the image is 9 x 8 pixels in 72 bytes, this pipeline takes 8 x 8 in 64"),
        (image(4, 16, bytes(64)), "the image is 4 x 16 pixels in 64 bytes, this pipeline takes 8 x 8 in 64"),
        (image(8, 8, bytes(192)), "the image is 8 x 8 pixels in 192 bytes, this pipeline takes 8 x 8 in 64"),
    ],
)
def test_an_image_of_another_size_is_refused_with_both_sizes(event: Image, said: str) -> None:
    with pytest.raises(Unusable) as refused:
        TASK.tensors([EVENTS[0], event])
    assert str(refused.value) == said


def test_the_likeliest_label_is_the_result_with_the_two_behind_it() -> None:
    said = outputs(0, 0.125, 0, 0, 0, 0, 0, 0.625, 0, 0.25)
    (result,) = TASK.decide(EVENTS[:1], TASK.tensors(EVENTS[:1]), said)
    assert (result.label, result.probability, result.reasons) == ("7", 0.625, ())
    assert result.top == (Class("7", 0.625), Class("9", 0.25), Class("1", 0.125))


def test_what_is_not_sure_says_so() -> None:
    task = ClassificationTask(sure_from=0.75)
    for probability, reasons in ((0.75, ()), (0.625, (Reason.LOW_CONFIDENCE,))):
        said = outputs(probability, *[0.0] * 9)
        assert task.decide(EVENTS[:1], {}, said)[0].reasons == reasons


def test_another_classifier_is_a_matter_of_options() -> None:
    task = load("classification", {"height": 2, "width": 3, "channels": 3, "labels": ["cat", "dog"]})
    assert task == RGB
    assert task.inputs == (TensorSpec("pixels", "UINT8", (3, 2, 3)),)
    assert task.outputs == (TensorSpec("probabilities", "FP32", (2,)),)
    event = image(3, 2, bytes(18))
    (result,) = task.decide([event], task.tensors([event]), outputs(0.25, 0.75))
    assert (result.label, len(result.top)) == ("dog", 2)
    assert ClassificationTask.inputs == ClassificationTask().inputs == TASK.inputs


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"height": 0}, "height x width x channels: write at least 1 of each"),
        ({"height": 2000, "width": 2000}, "at most 1048576 together, got 2000 x 2000 x 1"),
        ({"labels": ["one"]}, "labels: write at least two, each once"),
        ({"labels": ["a", "a"]}, "labels: write at least two, each once"),
        ({"sure_from": 2}, "sure_from: write a probability from 0 to 1, got 2"),
        ({"hight": 8}, "did you mean 'height'?"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load("classification", options)
    assert said in str(refused.value)


def test_pixels_that_fit_no_number_of_channels_are_refused_when_read() -> None:
    with pytest.raises(msgspec.ValidationError, match="63 bytes, which is no whole number for each of 8 x 8 pixels"):
        codecs.MSGPACK.decoder(Image)(codecs.MSGPACK.encode({**msgspec.to_builtins(EVENTS[0]), "pixels": bytes(63)}))


@pytest.mark.parametrize(("side", "off_loop"), [(8, False), (32, False), (64, True)])
def test_large_images_are_turned_off_the_loop(side: int, off_loop: bool) -> None:
    assert ClassificationTask(height=side, width=side, channels=3).off_loop == off_loop
