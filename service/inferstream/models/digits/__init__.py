"""The family of handwritten digits: networks that give the probability of each."""

from inferstream.models.digits.accuracy import accuracy
from inferstream.models.digits.data import collected
from inferstream.models.digits.recipe import DIGITS
from inferstream.models.family import Family
from inferstream.tasks.classification import ClassificationTask

__all__ = ["FAMILY"]

_ABOUT = """Handwritten digits, 8 x 8 pixels of 17 shades: the 1,797 images that come with scikit-learn, a fifth of them
held out for the test (UCI's Optical Recognition of Handwritten Digits by E. Alpaydin and C. Kaynak, CC BY 4.0).
`digits` is served; it has no student. The same people wrote both parts, and of 359 images one mistake more or less is
0.0028 of accuracy. INT8 is static, the last layer in float; a net as small as this one gains little or nothing in
speed by it."""

FAMILY = Family(
    recipe=DIGITS,
    task=ClassificationTask,
    simulated=collected,
    accuracy=accuracy,
    figures={
        "accuracy": "accuracy",
        "in_top_3": "in the top 3",
        "log_loss": "log loss",
        "calibration_error": "ECE",
        "bytes": "bytes",
    },
    about=_ABOUT,
)
