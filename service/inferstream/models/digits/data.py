"""The data of the digits models: scikit-learn's images, split by a seed; and the held-out part for the traffic."""

from pathlib import Path

import numpy as np

from inferstream.models.family import Array, Dataset, Split, Tell

SPLIT_SEED = 7
TEST_SHARE = 0.2


def collected(tell: Tell) -> Split:
    """Four fifths to learn from, one fifth to test on. Nothing is calibrated."""
    images, labels = _images()
    tell(f"{len(images)} images")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    test, train = np.split(order, [round(TEST_SHARE * len(images))])
    described = {"source": "sklearn.datasets.load_digits", "split_seed": SPLIT_SEED, "test_share": TEST_SHARE}
    nothing = order[:0]
    learnt, calibrated, tested = (_dataset(images[rows], labels[rows], rows) for rows in (train, nothing, test))
    return Split(learnt, calibrated, tested, described)


def write_sample(path: Path) -> None:
    """Keep the test part for `inferstream.traffic.digits`, which must not show a model what it has learnt from."""
    test = collected(lambda text: None).test
    labels = test.targets.argmax(axis=1).astype(np.uint8)
    np.savez_compressed(path, images=test.inputs[:, 0], labels=labels)


def _images() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images.astype(np.uint8), found.target


def _dataset(images: Array, labels: Array, rows: Array) -> Dataset:
    return Dataset(images[:, None], np.eye(10, dtype=np.float32)[labels], {"image": rows})
