"""Image classification: an image in, its class with a probability and the runners-up out."""

from inferstream.tasks.classification.event import Image
from inferstream.tasks.classification.task import Class, Classification, ClassificationTask, Reason

__all__ = ["Class", "Classification", "ClassificationTask", "Image", "Reason"]
