"""The event: a small image. Contract: `schemas/digit_image.v1.json`. Unknown fields are tolerated."""

from typing import Annotated

import msgspec
from msgspec import Meta

SCHEMA = "digit_image.v1"

MOST_PIXEL_BYTES = 1_048_576

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
_Side = Annotated[int, Meta(ge=1, le=1_024)]


class Image(msgspec.Struct, gc=False):
    """An image as it lies in memory, uncompressed."""

    image_id: Annotated[Identifier, Meta(description="identifies the image to its producer")]
    timestamp_ms: Annotated[
        int, Meta(ge=0, le=4_102_444_800_000, description="when it was taken, milliseconds since 1970 UTC")
    ]
    width: Annotated[_Side, Meta(description="pixels in a row")]
    height: Annotated[_Side, Meta(description="rows")]
    pixels: Annotated[
        bytes,
        Meta(
            min_length=1,
            max_length=MOST_PIXEL_BYTES,
            description="row by row from the top, from left to right, a byte for each channel of a pixel",
        ),
    ]

    def __post_init__(self) -> None:
        if len(self.pixels) % (self.width * self.height):
            raise ValueError(
                f"pixels are {len(self.pixels)} bytes, which is no whole number for each of {self.width} x "
                f"{self.height} pixels"
            )


__all__ = ["MOST_PIXEL_BYTES", "SCHEMA", "Image"]
