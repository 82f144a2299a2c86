"""The event: an image of a road. Contract: `schemas/scene.v1.json`. Unknown fields are tolerated."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SCHEMA = "scene.v1"

Format = Literal["raw", "png", "jpeg"]
LABELS: tuple[str, ...] = ("background", "road", "car", "person", "sign")
"""What the shipped model tells apart, in the order of its mask's values."""

_Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
_Side = Annotated[int, Meta(ge=1, le=16_384)]


class Scene(msgspec.Struct, gc=False, omit_defaults=True):
    """An image as a camera gave it."""

    image_id: Annotated[_Identifier, Meta(description="identifies the image to its producer")]
    timestamp_ms: Annotated[
        int, Meta(ge=0, le=4_102_444_800_000, description="when it was taken, milliseconds since 1970 UTC")
    ]
    width: Annotated[_Side, Meta(description="pixels of a line")]
    height: Annotated[_Side, Meta(description="lines")]
    pixels: Annotated[
        bytes,
        Meta(
            min_length=1,
            max_length=50_331_648,
            description="the image in `format`; raw: height x width x 3 bytes, red, green and blue, line by line",
        ),
    ]
    format: Annotated[Format, Meta(description="how `pixels` holds the image; a pipeline may take raw only")] = "raw"
    camera_id: Annotated[_Identifier, Meta(description="camera; a good key")] | None = None
