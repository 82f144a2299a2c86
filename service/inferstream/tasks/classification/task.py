"""The task: tensors and result of image classification, for any classifier of images of one size.

The shipped model knows handwritten digits. Another one is a matter of options: the size of its images, its labels; its
tensors are `pixels`, uint8 [channels, height, width], and `probabilities`, float32 [labels].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import msgspec
import numpy as np

from inferstream.tasks.classification.event import MOST_PIXEL_BYTES, SCHEMA, Image
from inferstream.tasks.task import Task, Tensors, TensorSpec, Unusable

DIGITS = tuple("0123456789")
_SIDE = 8
_FEW_BYTES = 4_096  # of an image; to turn a batch of larger ones takes milliseconds


class Reason(StrEnum):
    """What a reader of the result should know."""

    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    """No label has a probability of at least `sure_from`."""


class Class(msgspec.Struct, gc=False):
    """A label and its probability."""

    label: str
    probability: float


class Classification(msgspec.Struct, gc=False):
    """The result of an image: its likeliest label, and the likeliest three."""

    label: str
    probability: float
    top: tuple[Class, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassificationTask(Task):
    """Classifies images of one size.

    `height`, `width` and `channels` (bytes of a pixel) are the size, `labels` the classes in the order of the model's
    output. A result whose probability is less than `sure_from` says `LOW_CONFIDENCE`.
    """

    height: int = _SIDE
    width: int = _SIDE
    channels: int = 1
    labels: tuple[str, ...] = DIGITS
    sure_from: float = 0.5

    event_type: ClassVar[type] = Image
    schema: ClassVar[str] = SCHEMA
    event_id: ClassVar[str] = "image_id"
    model: ClassVar[str] = "digits"
    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("pixels", "UINT8", (1, _SIDE, _SIDE)),)
    outputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("probabilities", "FP32", (len(DIGITS),)),)

    def __post_init__(self) -> None:
        size = self.height * self.width * self.channels
        if min(self.height, self.width, self.channels) < 1 or size > MOST_PIXEL_BYTES:
            raise ValueError(
                f"height x width x channels: write at least 1 of each and at most {MOST_PIXEL_BYTES} together, "
                f"got {self.height} x {self.width} x {self.channels}"
            )
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: write at least two, each once")
        if not 0 <= self.sure_from <= 1:
            raise ValueError(f"sure_from: write a probability from 0 to 1, got {self.sure_from:g}")
        # What the model's tensors are like follows from the options; those of the class are the digits'.
        shape = (self.channels, self.height, self.width)
        object.__setattr__(self, "inputs", (TensorSpec("pixels", "UINT8", shape),))
        object.__setattr__(self, "outputs", (TensorSpec("probabilities", "FP32", (len(self.labels),)),))
        object.__setattr__(self, "off_loop", size > _FEW_BYTES)

    def tensors(self, events: Sequence[Image]) -> Tensors:
        size = self.height * self.width * self.channels
        for event in events:
            if (event.height, event.width, len(event.pixels)) != (self.height, self.width, size):
                raise Unusable(
                    f"the image is {event.width} x {event.height} pixels in {len(event.pixels)} bytes, this pipeline "
                    f"takes {self.width} x {self.height} in {size}"
                )
        pixels = np.frombuffer(b"".join([event.pixels for event in events]), np.uint8)
        images = pixels.reshape(len(events), self.height, self.width, self.channels)
        return {"pixels": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}

    def decide(self, events: Sequence[Image], tensors: Tensors, outputs: Tensors) -> list[Classification]:
        probabilities = outputs["probabilities"]
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
        values = np.take_along_axis(probabilities, order, axis=1)
        return [self._result(ranked, stated) for ranked, stated in zip(order.tolist(), values.tolist(), strict=True)]

    def _result(self, ranked: list[int], stated: list[float]) -> Classification:
        top = tuple(Class(self.labels[place], value) for place, value in zip(ranked, stated, strict=True))
        reasons = () if top[0].probability >= self.sure_from else (Reason.LOW_CONFIDENCE.value,)
        return Classification(top[0].label, top[0].probability, top, reasons)
