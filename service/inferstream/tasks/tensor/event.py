"""The event: named tensors of one row. Contract: `schemas/tensors.v1.json`. Unknown fields are tolerated."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

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
