"""Machine health: a window of readings in, what is left of the machine's life with an interval and a decision out."""

from inferstream.tasks.sensor.decide import Reason, Remaining
from inferstream.tasks.sensor.event import CHANNELS, STEPS, Window
from inferstream.tasks.sensor.task import HORIZON_CYCLES, SensorTask

__all__ = ["CHANNELS", "HORIZON_CYCLES", "STEPS", "Reason", "Remaining", "SensorTask", "Window"]
