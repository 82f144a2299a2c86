"""From an event's bytes to pixels. What cannot be used is refused in words before any memory is taken for it."""

import importlib.util
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstream.tasks.segmentation.event import Format, Scene
from inferstream.tasks.task import Unusable

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow's names of what turns into 8-bit RGB without loss of meaning; 16-bit and float images do not."""
_SCAN, _MOST_SCANS = b"\xff\xda", 64  # a progressive image has about ten

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width."""


def is_decoder_installed() -> bool:
    """Whether Pillow is there, which reads PNG and JPEG (extra `images`)."""
    return importlib.util.find_spec("PIL") is not None


def pixels(scene: Scene, formats: Sequence[Format], size: Size, max_pixels: int) -> Pixels:
    """The image as [*size, 3]. Raises Unusable, naming what came and what is wanted."""
    if scene.format not in formats:
        raise Unusable(f"an image in {scene.format}; this pipeline takes {', '.join(formats)} (option formats)")
    _check_size("the event says", (scene.height, scene.width), size, max_pixels)
    if scene.format == "raw":
        return _raw(scene, size)
    if scene.format == "jpeg" and (scans := scene.pixels.count(_SCAN)) > _MOST_SCANS:
        raise Unusable(
            f"the jpeg has {scans} scans; at most {_MOST_SCANS} are taken, since each is a pass over the image"
        )
    image = _opened(scene)
    _check_size(f"the {scene.format} says", (image.height, image.width), size, max_pixels)
    if image.mode not in _MODES:
        raise Unusable(f"the {scene.format} has pixels of another kind than 8-bit grey or colour")
    try:
        return np.asarray(image.convert("RGB"))
    except Exception:  # Pillow raises many kinds for what is broken, and some quote the data
        raise Unusable(f"the {scene.format} ends too soon or is damaged") from None


def _raw(scene: Scene, size: Size) -> Pixels:
    height, width = size
    wanted = height * width * 3
    if len(scene.pixels) != wanted:
        raise Unusable(f"raw image of {len(scene.pixels)} bytes; {width}x{height} in 3 colours takes {wanted}")
    return np.frombuffer(scene.pixels, np.uint8).reshape(height, width, 3)


def _opened(scene: Scene) -> Any:
    """The image with its header read and nothing more. By its own class, so that no other format gets in."""
    try:
        from PIL.JpegImagePlugin import JpegImageFile
        from PIL.PngImagePlugin import PngImageFile
    except ImportError:
        raise Unusable(f"a {scene.format} image needs the extra `images` (Pillow) in the service") from None
    try:
        return {"png": PngImageFile, "jpeg": JpegImageFile}[scene.format](BytesIO(scene.pixels))
    except Exception:  # see above
        raise Unusable(f"no {scene.format}: its header cannot be read") from None


def _check_size(who: str, size: Size, wanted: Size, max_pixels: int) -> None:
    height, width = size
    if height * width > max_pixels:
        raise Unusable(f"{who} {width}x{height}, {height * width} pixels; at most {max_pixels} are taken (max_pixels)")
    if size != wanted:
        raise Unusable(f"{who} {width}x{height}; this pipeline takes {wanted[1]}x{wanted[0]} (options width, height)")
