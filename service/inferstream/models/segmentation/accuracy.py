"""How good masks are: for each class, the overlap of what is found with what is there."""

import numpy as np

from inferstream.models.family import Array, Dataset, Report
from inferstream.tasks.segmentation import LABELS
from inferstream.tasks.segmentation.overlap import ious, pairs


def accuracy(masks: Array, data: Dataset) -> Report:
    """Figures of masks [rows, height, width] against the true ones, over all pixels of all rows."""
    counted = pairs(masks, data.targets, len(LABELS))
    overlaps = ious(counted)
    return {
        "scenes": len(masks),
        "mean_iou": round(float(overlaps.mean()), 4),
        **{f"iou_{label}": round(float(iou), 4) for label, iou in zip(LABELS, overlaps, strict=True)},
        "pixel_accuracy": round(float(np.diag(counted).sum() / counted.sum()), 4),
    }
