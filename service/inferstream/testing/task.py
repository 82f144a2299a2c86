"""A small task for tests: three readings in, their mean out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from inferstream.tasks import Task, Tensors, TensorSpec


class Reading(msgspec.Struct):
    """An event."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    values: Annotated[list[float], msgspec.Meta(min_length=3, max_length=3)]


class Mean(msgspec.Struct):
    """A result."""

    mean: float
    is_high: bool


@dataclass(frozen=True)
class MeanTask(Task):
    """The mean of a reading's values; the rules answer with the first one."""

    limit: float = 10.0

    event_type: ClassVar[type] = Reading
    schema: ClassVar[str] = "reading.v1"
    event_id: ClassVar[str] = "id"
    model: ClassVar[str] = "mean"
    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("values", "FP32", (3,)),)
    outputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("mean", "FP32", (1,)),)

    def tensors(self, events: Sequence[Reading]) -> Tensors:
        return {"values": np.array([event.values for event in events], np.float32).reshape(-1, 3)}

    def decide(self, events: Sequence[Reading], tensors: Tensors, outputs: Tensors) -> list[Mean]:
        return [Mean(mean, mean > self.limit) for mean in outputs["mean"][:, 0].tolist()]

    def rules(self, events: Sequence[Reading], tensors: Tensors) -> list[Mean]:
        return [Mean(first, first > self.limit) for first in tensors["values"][:, 0].tolist()]
