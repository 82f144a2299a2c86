"""The event: named tensors of one row. Contract: `schemas/tensors.v1.json`. Unknown fields are tolerated."""

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta

from inferstream.tasks.task import DTYPES, TensorSpec

SCHEMA = "tensors.v1"

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
TensorName = Annotated[str, Meta(min_length=1, max_length=256)]
_Size = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Raw(msgspec.Struct, gc=False):
    """A tensor as it lies in memory."""

    data: Annotated[bytes, Meta(description="elements, the last axis running fastest, little-endian")]
    shape: Annotated[list[_Size], Meta(min_length=1, max_length=8, description="sizes of the axes, without the batch")]


class TensorEvent(msgspec.Struct):
    """The inputs of a model for one row."""

    id: Annotated[Identifier, Meta(description="identifies the event to its producer")]
    timestamp_ms: Annotated[
        int, Meta(ge=0, le=4_102_444_800_000, description="when it happened, milliseconds since 1970 UTC")
    ]
    tensors: Annotated[
        dict[TensorName, list[Any] | Raw],
        Meta(min_length=1, max_length=64, description="by name: nested lists without the batch axis, or raw elements"),
    ]


def event_of(specs: Mapping[str, TensorSpec]) -> type[TensorEvent]:
    """A TensorEvent of these tensors, by their name in events: types, depth and sizes are the decoder's to check.

    What is not as declared costs no more than the way to where it differs, and tensors of other names are passed over.
    """
    given: Any = TypedDict("given", {name: _nested(spec) | Raw for name, spec in specs.items()})  # type: ignore[misc]
    fields = get_type_hints(TensorEvent, include_extras=True) | {"tensors": given}
    made: Any = msgspec.defstruct(TensorEvent.__name__, list(fields.items()), bases=(TensorEvent,))
    event_type: type[TensorEvent] = made
    return event_type


_ELEMENTS: Mapping[str, Any] = {"b": bool, "i": int, "u": int, "f": float, "O": Any}


def _nested(spec: TensorSpec) -> Any:
    nested: Any = _ELEMENTS[np.dtype(DTYPES[spec.datatype]).kind]
    for size in reversed(spec.shape):
        nested = list[nested] if size == -1 else Annotated[list[nested], Meta(min_length=size, max_length=size)]
    return nested
