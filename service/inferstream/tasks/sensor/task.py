"""The task: tensors and decision of machine health. It has no rules: without a model nothing can be said of wear."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from inferstream.tasks.sensor.decide import Limits, Remaining, decide
from inferstream.tasks.sensor.event import CHANNELS, SCHEMA, STEPS, Window
from inferstream.tasks.sensor.readings import gaps, readings
from inferstream.tasks.task import Task, Tensors, TensorSpec

HORIZON_CYCLES = 125
"""Further ahead a machine shows no wear: the models are taught no more than this."""


@dataclass(frozen=True)
class SensorTask(Task):
    """Estimates the cycles a machine has left. `alert_below`: with fewer than these cycles it needs care."""

    alert_below: float = 30.0

    event_type: ClassVar[type] = Window
    schema: ClassVar[str] = SCHEMA
    event_id: ClassVar[str] = "window_id"
    model: ClassVar[str] = "sensor"
    student: ClassVar[str] = "sensor_student"
    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("readings", "FP32", (STEPS, len(CHANNELS))),)
    outputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("remaining", "FP32", (3,)),)

    def __post_init__(self) -> None:
        if not 0 <= self.alert_below <= HORIZON_CYCLES:
            raise ValueError(f"alert_below: write cycles from 0 to {HORIZON_CYCLES}, got {self.alert_below:g}")

    def tensors(self, events: Sequence[Window]) -> Tensors:
        return {"readings": readings(events)}

    def decide(self, events: Sequence[Window], tensors: Tensors, outputs: Tensors) -> list[Remaining]:
        cycle_ms = [event.interval_ms for event in events]
        return decide(outputs["remaining"], cycle_ms, gaps(events), Limits(self.alert_below, HORIZON_CYCLES))
