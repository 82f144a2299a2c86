"""Segmentation: an image in, the class of each of its pixels and the share of each class out."""

from inferstream.tasks.segmentation.decide import Reason, SegmentationResult, unpack
from inferstream.tasks.segmentation.event import LABELS, Scene
from inferstream.tasks.segmentation.task import SegmentationTask

__all__ = ["LABELS", "Reason", "Scene", "SegmentationResult", "SegmentationTask", "unpack"]
