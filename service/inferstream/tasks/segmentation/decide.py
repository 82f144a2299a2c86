"""From a mask to what it covers, with reasons why somebody should look."""

import zlib
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

from inferstream.tasks.task import WrongTensor

ENCODING = "zlib"


class Reason(StrEnum):
    """Why somebody should look at an image."""

    ALERT_SHARE = "ALERT_SHARE"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"


class SegmentationResult(msgspec.Struct, gc=False):
    """The result of an image: share of the area by class, the mask, reasons.

    `mask` is zlib of height x width bytes, line by line: the place of each pixel's class in the pipeline's `labels`.
    `confidence` is the mean probability of the chosen class over all pixels; `alerts` are the classes that cover the
    share `alert_at` says.
    """

    classes: dict[str, float]
    width: int
    height: int
    encoding: str
    mask: bytes
    confidence: float
    alerts: tuple[str, ...]
    reasons: tuple[str, ...]


class Judgement(msgspec.Struct, frozen=True):
    """What the results are judged by: names of the classes, shares and confidence that are a reason."""

    labels: Sequence[str]
    alert_at: Mapping[str, float]
    review_below: float


def decide(
    masks: npt.NDArray[np.uint8], confidence: npt.NDArray[np.float32], judgement: Judgement
) -> list[SegmentationResult]:
    """One result per mask of [rows, height, width]. Raises WrongTensor if a mask names a class without a label."""
    return [_decided(mask, value, judgement) for mask, value in zip(masks, confidence.tolist(), strict=True)]


def _decided(mask: npt.NDArray[np.uint8], confidence: float, judgement: Judgement) -> SegmentationResult:
    labels = judgement.labels
    counts = np.bincount(mask.reshape(-1), minlength=len(labels))
    if counts.size > len(labels):
        raise WrongTensor(
            f"tensor 'mask' names class {counts.size - 1}; there are {len(labels)} labels (option labels)"
        )
    classes = {label: round(count / mask.size, 6) for label, count in zip(labels, counts.tolist(), strict=True)}
    alerts = tuple(label for label, share in judgement.alert_at.items() if classes[label] >= share)
    held = {Reason.ALERT_SHARE: alerts, Reason.LOW_CONFIDENCE: confidence < judgement.review_below}
    reasons = tuple(reason.value for reason, holds in held.items() if holds)
    height, width = mask.shape
    packed = zlib.compress(mask.tobytes(), 1)
    return SegmentationResult(classes, width, height, ENCODING, packed, confidence, alerts, reasons)


def unpack(packed: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    """The mask of a result as [height, width]. Raises ValueError if it is none of that size."""
    size = height * width
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, size)
    except zlib.error as error:
        raise ValueError(f"the mask is no zlib stream: {error}") from None
    if len(raw) != size:
        raise ValueError(f"the mask has {len(raw)} bytes; {width}x{height} takes {size}")
    return np.frombuffer(raw, np.uint8).reshape(height, width)
