"""The task: the tensors that the pipeline's options declare, checked on the way in and handed on as they come out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from inferstream.tasks.task import DTYPES, Task, Tensors, TensorSpec
from inferstream.tasks.tensor.arrays import to_array, to_lists, to_raw
from inferstream.tasks.tensor.event import SCHEMA, Raw, TensorEvent, event_of

_FEW = 256  # elements of a row; lists of more take their time


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor as the options write it: Triton's datatype; sizes of a row's axes, -1 where it is any."""

    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.datatype not in DTYPES:
            raise ValueError(f"datatype: write one of {', '.join(DTYPES)}")
        if not 1 <= len(self.shape) <= 8 or any(size < 1 and size != -1 for size in self.shape):
            raise ValueError("shape: write 1 to 8 sizes of at least 1, or -1 for any, without the batch axis")


class DeclaredInput(Declared, frozen=True, forbid_unknown_fields=True):
    """`field`: name of the tensor in events, if it is not the model's."""

    field: str | None = None


@dataclass(frozen=True)
class TensorOptions:
    """The model's tensors by name. `result_as` says how outputs are written: nested lists, or raw elements."""

    inputs: dict[str, DeclaredInput]
    outputs: dict[str, Declared]
    result_as: Literal["lists", "raw"] = "lists"

    def __post_init__(self) -> None:
        if not self.inputs or not self.outputs:
            raise ValueError("inputs and outputs: name at least one tensor of the model in each")
        by_field: dict[str, tuple[str, tuple[int, ...]]] = {}
        for name, given in self.inputs.items():
            field, form = given.field or name, (given.datatype, given.shape)
            if by_field.setdefault(field, form) != form:
                raise ValueError(f"inputs: tensors that take the same field '{field}' need one datatype and shape")


class TensorTask(Task):
    """Sends an event's tensors to the model, and the model's to the outcome.

    Rows of a batch must have equal shapes: where a size is -1 and events differ in it, set `max_batch_size` to 1.
    """

    options_type: ClassVar[type] = TensorOptions
    event_type: ClassVar[type] = TensorEvent
    schema: ClassVar[str] = SCHEMA
    event_id: ClassVar[str] = "id"

    def __init__(self, options: TensorOptions) -> None:
        self._fields = {name: given.field or name for name, given in options.inputs.items()}
        self._are_raw = options.result_as == "raw"
        # Other tasks know their tensors and events as a class; this one by its options.
        vars(self)["inputs"] = tuple(TensorSpec(n, d.datatype, d.shape) for n, d in options.inputs.items())
        vars(self)["outputs"] = tuple(TensorSpec(n, d.datatype, d.shape) for n, d in options.outputs.items())
        vars(self)["event_type"] = event_of({self._fields[spec.name]: spec for spec in self.inputs})
        declared = (*options.inputs.values(), *options.outputs.values())
        vars(self)["off_loop"] = any(-1 in d.shape or math.prod(d.shape) > _FEW for d in declared)

    def tensors(self, events: Sequence[TensorEvent]) -> Tensors:
        """Raises Unusable for an event whose tensors are not as declared; for several of different shapes, too."""
        return {
            spec.name: np.stack([to_array(spec, event.tensors[self._fields[spec.name]]) for event in events])
            for spec in self.inputs
        }

    def decide(
        self, events: Sequence[TensorEvent], tensors: Tensors, outputs: Tensors
    ) -> list[dict[str, list[Any] | Raw]]:
        return [{name: self._said(array[row]) for name, array in outputs.items()} for row in range(len(events))]

    def _said(self, array: Any) -> list[Any] | Raw:
        return to_raw(array) if self._are_raw and array.dtype.kind != "O" else to_lists(array)
