"""The shows by task."""

from collections.abc import Callable, Mapping

from inferstream.errors import SettingsError
from inferstream.operate.demo.classification import ClassificationShow
from inferstream.operate.demo.fraud import FraudShow
from inferstream.operate.demo.generation import GenerationShow
from inferstream.operate.demo.segmentation import SegmentationShow
from inferstream.operate.demo.sensor import SensorShow
from inferstream.operate.demo.show import Show
from inferstream.operate.demo.tensor import TensorShow

SHOWS: Mapping[str, Callable[[], Show]] = {
    "classification": ClassificationShow,
    "fraud": FraudShow,
    "generation": GenerationShow,
    "segmentation": SegmentationShow,
    "sensor": SensorShow,
    "tensor": TensorShow,
}


def show_of(task: str) -> Show:
    """A new show for a task by name. Raises SettingsError if it has no traffic."""
    if task not in SHOWS:
        raise SettingsError(
            f"task '{task}' has no simulated traffic (these have: {', '.join(sorted(SHOWS))}): give events with --file"
        )
    return SHOWS[task]()
