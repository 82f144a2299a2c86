"""Handwritten digits as the events a producer would publish. What each shows stays beside it, never in it.

`digits.npz` holds the 359 images that the digits model was tested on and has not learnt from: a fifth of those that
come with scikit-learn, which are the test part of UCI's "Optical Recognition of Handwritten Digits" by E. Alpaydin and
C. Kaynak (doi 10.24432/C50P49, licence CC BY 4.0), unchanged: 8 x 8 pixels, 0 to 16. `inferstream.models.digits` made
the file.
"""

from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO

import numpy as np
import numpy.typing as npt

from inferstream.tasks.classification import Image


def stream(seed: int = 1) -> Iterator[tuple[Image, str]]:
    """Images without end, in an order of the seed, each with its label. A caller that plays them live sets the time."""
    images, labels = _held_out()
    rng = np.random.default_rng((seed, 17))
    height, width = images.shape[1:]
    number = 0
    while True:
        for place in rng.permutation(len(images)).tolist():
            yield Image(f"d{seed}-{number}", 0, width, height, images[place].tobytes()), str(labels[place])
            number += 1


def _held_out() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    content = (files("inferstream") / "traffic" / "digits.npz").read_bytes()
    with np.load(BytesIO(content)) as arrays:
        return arrays["images"], arrays["labels"]
