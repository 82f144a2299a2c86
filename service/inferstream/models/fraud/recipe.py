"""How the fraud models are made."""

from inferstream.models.recipes import Boost, Calibrate, Distill, Limit, Mlp, Prune, Quantize, Recipe, Train, Training

FRAUD = Recipe(
    name="fraud",
    steps=(
        Train("fraud_teacher", Mlp((512, 256)), Training(epochs=4, learning_rate=2e-3)),
        Train("fraud_uncalibrated", Mlp((128, 64)), Training(epochs=10)),
        Calibrate("fraud", source="fraud_uncalibrated"),
        Distill("fraud_student_uncalibrated", "fraud_teacher", Mlp((32, 16)), Training(epochs=12)),
        Calibrate("fraud_student", source="fraud_student_uncalibrated"),
        Prune("fraud_pruned", "fraud_teacher", share=0.75, training=Training(epochs=2, learning_rate=2e-3)),
        Quantize("fraud_int8", "fraud_teacher"),
        Quantize("fraud_small_int8", "fraud"),
        Boost("fraud_trees", rounds=200, leaves=31),
    ),
    shipped=("fraud", "fraud_student", "fraud_trees"),
    unlisted=("fraud_uncalibrated", "fraud_student_uncalibrated"),
    limits=(
        Limit("fraud", "fraud_teacher", "auc_roc", 0.01),
        Limit("fraud_student", "fraud_teacher", "auc_roc", 0.01, faster=10),
        Limit("fraud_student", "fraud", "average_precision", 0.03, faster=1.5),
        Limit("fraud_pruned", "fraud_teacher", "auc_roc", 0.01, faster=1.5),
        Limit("fraud_int8", "fraud_teacher", "auc_roc", 0.005, faster=1),
        Limit("fraud_int8", "fraud_teacher", "average_precision", 0.01),
        Limit("fraud_small_int8", "fraud", "auc_roc", 0.005),
        Limit("fraud_trees", "fraud_teacher", "auc_roc", 0.02),
    ),
)

TRAIN_SEEDS = (101, 102, 103, 104, 105, 106)
"""Worlds to learn from; none of them is tested on."""
CALIBRATE_SEEDS = (201, 202, 203)
"""Several: the share of frauds differs from world to world, and one alone would pull every probability its way."""
TEST_SEEDS = (301, 302, 303, 304)
