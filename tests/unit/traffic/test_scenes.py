"""Drawn scenes: the same for a seed, of any size, and the mask says what is drawn."""

import itertools

import numpy as np

from inferstream.tasks.segmentation import LABELS, SegmentationTask
from inferstream.traffic.scenes import draw, scenes, stream


def test_a_seed_gives_the_same_scenes_and_another_seed_others() -> None:
    (images, masks), (again, same) = scenes(7, 3), scenes(7, 3)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(masks, same)
    assert (scenes(8, 3)[0] != images).any()


def test_every_class_is_there_and_none_else() -> None:
    _, masks = scenes(1, 60)
    shares = np.bincount(masks.reshape(-1), minlength=len(LABELS)) / masks.size
    assert shares.size == len(LABELS)
    assert (shares > 0.001).all()
    assert shares[LABELS.index("road")] > 0.1


def test_any_size_is_drawn_to_scale() -> None:
    small, large = (draw(np.random.default_rng(3), side, 2 * side)[1] for side in (40, 120))
    assert (small.shape, large.shape) == ((40, 80), (120, 240))
    road = LABELS.index("road")
    assert abs((small == road).mean() - (large == road).mean()) < 0.1


def test_a_road_looks_like_a_road() -> None:
    """What is labelled road is greyer than the rest: a mask of something else would not be."""
    images, masks = scenes(2, 20)
    colourful = np.ptp(images.astype(int), axis=-1)
    road = masks == LABELS.index("road")
    assert colourful[road].mean() < 0.7 * colourful[~road].mean()


def test_events_fit_the_task_and_go_on() -> None:
    events, masks = zip(*itertools.islice(stream(4), 12), strict=True)
    images = SegmentationTask().tensors(events)["image"]
    assert images.shape == (12, *masks[0].shape, 3)
    assert len({event.image_id for event in events}) == 12
    assert len({event.camera_id for event in events}) == 8
