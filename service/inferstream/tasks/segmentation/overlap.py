"""How well masks agree with the true ones: of each class, the intersection over the union (IoU)."""

import numpy as np
import numpy.typing as npt

Pairs = npt.NDArray[np.int64]
"""[classes, classes]: pixels by their true class and the one found. Those of several images may be added."""


def pairs(found: npt.NDArray[np.uint8], true: npt.NDArray[np.uint8], classes: int) -> Pairs:
    """Count the pixels of masks of any shape."""
    both = true.reshape(-1).astype(np.int64) * classes + found.reshape(-1)
    return np.bincount(both, minlength=classes * classes).reshape(classes, classes)


def ious(counted: Pairs) -> npt.NDArray[np.float64]:
    """One per class, 0 to 1; 0 for a class that is neither there nor found."""
    shared = np.diag(counted)
    together: npt.NDArray[np.float64] = counted.sum(axis=0) + counted.sum(axis=1) - shared
    return shared / np.maximum(1, together)
