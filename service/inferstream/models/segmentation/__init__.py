"""The family of road scenes: networks that give the class of each pixel."""

from inferstream.models.family import Dataset, Family, Split, Tell
from inferstream.models.segmentation.accuracy import accuracy
from inferstream.models.segmentation.recipe import SEGMENTATION, TEST_SCENES, TEST_SEED, TRAIN_SCENES, TRAIN_SEED
from inferstream.tasks.segmentation import LABELS, SegmentationTask
from inferstream.traffic.scenes import scenes

__all__ = ["FAMILY"]

_ABOUT = """Drawn road scenes of 64x64 pixels, tested on scenes of another seed. A small U-Net takes bytes and gives
bytes: scaling and the choice of the class are in the graph. `segmentation_int8` is made from `segmentation`: static,
with a scale per channel and the last layer in float; these convolutions are large enough for it to save time, in every
repeat of the comparison and at every batch size. IoU is the overlap of a class as found with the class as drawn;
small things far away (persons, signs) are a few pixels, and lose most of it at their edges."""


def drawn(tell: Tell) -> Split:
    """Scenes to learn from and scenes to test on; none are needed to calibrate."""
    tell(f"drawing {TRAIN_SCENES + TEST_SCENES} scenes")
    train, test = _dataset(TRAIN_SEED, TRAIN_SCENES), _dataset(TEST_SEED, TEST_SCENES)
    seeds = {"train_seed": TRAIN_SEED, "test_seed": TEST_SEED, "train_scenes": TRAIN_SCENES}
    return Split(train, Dataset(train.inputs[:0], train.targets[:0], {}), test, seeds)


def _dataset(seed: int, number: int) -> Dataset:
    images, masks = scenes(seed, number)
    return Dataset(images, masks, {})


FAMILY = Family(
    recipe=SEGMENTATION,
    task=SegmentationTask,
    simulated=drawn,
    accuracy=accuracy,
    figures={
        "mean_iou": "mean IoU",
        **{f"iou_{label}": f"IoU {label}" for label in LABELS},
        "pixel_accuracy": "pixel accuracy",
        "bytes": "bytes",
    },
    about=_ABOUT,
    max_batch_size=32,
)
