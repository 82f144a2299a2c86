"""How the segmentation models are made."""

from inferstream.models.recipes import Limit, Quantize, Recipe, Train, Training, UNet

SEGMENTATION = Recipe(
    name="segmentation",
    steps=(
        Train("segmentation", UNet(channels=10), Training(epochs=6, batch_size=16, learning_rate=1e-2)),
        Quantize("segmentation_int8", "segmentation", rows=128),
    ),
    shipped=("segmentation", "segmentation_int8"),
    limits=(Limit("segmentation_int8", "segmentation", "mean_iou", 0.005, faster=1),),
)

TRAIN_SEED, TEST_SEED = 501, 601
TRAIN_SCENES, TEST_SCENES = 1_500, 500
