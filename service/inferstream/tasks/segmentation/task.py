"""The task: an image in, the class of each of its pixels out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from inferstream.errors import how_to_install
from inferstream.tasks.segmentation.decide import Judgement, SegmentationResult, decide
from inferstream.tasks.segmentation.event import LABELS, SCHEMA, Format, Scene
from inferstream.tasks.segmentation.images import is_decoder_installed, pixels
from inferstream.tasks.task import Task, Tensors, TensorSpec


@dataclass(frozen=True)
class SegmentationTask(Task):
    """Segments images of one size. Sizes in pixels.

    `labels` are the model's classes in the order of its mask's values; `formats` what an event may bring (png and jpeg
    need the extra `images`); a class that covers the share `alert_at` says, or a confidence under `review_below`, is a
    reason in the result.
    """

    height: int = 64
    width: int = 64
    labels: tuple[str, ...] = LABELS
    formats: tuple[Format, ...] = ("raw",)
    max_pixels: int = 4_194_304
    alert_at: Mapping[str, float] = field(default_factory=lambda: {"person": 0.01})
    review_below: float = 0.8

    event_type: ClassVar[type] = Scene
    schema: ClassVar[str] = SCHEMA
    event_id: ClassVar[str] = "image_id"
    model: ClassVar[str] = "segmentation"
    off_loop: ClassVar[bool] = True
    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("image", "UINT8", (-1, -1, 3)),)
    outputs: ClassVar[tuple[TensorSpec, ...]] = (
        TensorSpec("mask", "UINT8", (-1, -1)),
        TensorSpec("confidence", "FP32", (1,)),
    )

    def __post_init__(self) -> None:
        self._check()
        # The model takes images of any size, a pipeline those of one: so a batch has a shape, and warm-up has a size.
        size = (self.height, self.width)
        object.__setattr__(self, "inputs", (TensorSpec("image", "UINT8", (*size, 3)),))
        object.__setattr__(self, "outputs", (TensorSpec("mask", "UINT8", size), self.outputs[1]))

    def _check(self) -> None:
        if not (self.height > 0 and self.width > 0 and self.height * self.width <= self.max_pixels):
            raise ValueError(
                f"height and width of at least 1 and at most max_pixels {self.max_pixels} together are wanted, "
                f"got {self.height} and {self.width}"
            )
        if not 1 <= len(set(self.labels)) == len(self.labels) <= 256:
            raise ValueError(f"1 to 256 different labels are wanted, got {len(self.labels)}")
        if unknown := sorted(set(self.alert_at) - set(self.labels)):
            raise ValueError(f"alert_at names '{unknown[0]}', which is none of labels: {', '.join(self.labels)}")
        if not all(0 < share <= 1 for share in self.alert_at.values()) or not 0 <= self.review_below <= 1:
            raise ValueError("alert_at takes shares above 0 and up to 1, review_below 0 to 1")
        if not self.formats:
            raise ValueError("formats: name at least one of raw, png, jpeg")
        if set(self.formats) - {"raw"} and not is_decoder_installed():
            raise ValueError(f"formats png and jpeg need the extra `images`: {how_to_install('images')}")

    def tensors(self, events: Sequence[Scene]) -> Tensors:
        """Raises Unusable for an image of another size or format, or one that cannot be read."""
        images = np.empty((len(events), self.height, self.width, 3), np.uint8)
        for row, event in enumerate(events):
            images[row] = pixels(event, self.formats, (self.height, self.width), self.max_pixels)
        return {"image": images}

    def decide(self, events: Sequence[Scene], tensors: Tensors, outputs: Tensors) -> list[SegmentationResult]:
        judgement = Judgement(self.labels, self.alert_at, self.review_below)
        return decide(outputs["mask"], outputs["confidence"][:, 0], judgement)
