"""From an event's bytes to pixels: what is taken, and what is refused in words before memory is taken for it."""

import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inferstream.errors import SettingsError
from inferstream.tasks import Unusable, load
from inferstream.tasks.segmentation import Scene, SegmentationTask, images

COLOURS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
TASK = SegmentationTask(height=48, width=64, formats=("raw", "png", "jpeg"))


def encoded(format_: Any, array: Any = COLOURS, mode: str = "RGB") -> bytes:
    target = io.BytesIO()
    Image.fromarray(array).convert(mode).save(target, format_)
    return target.getvalue()


def scene(pixels: bytes, format_: Any = "raw", width: int = 64, height: int = 48) -> Scene:
    return Scene("an-image", 0, width, height, pixels, format_)


def read(event: Scene, task: SegmentationTask = TASK) -> Any:
    return task.tensors([event])["image"][0]


def refused(event: Scene, task: SegmentationTask = TASK) -> str:
    with pytest.raises(Unusable) as refusal:
        task.tensors([event])
    return str(refusal.value)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def test_raw_and_png_come_as_they_were_and_jpeg_nearly() -> None:
    np.testing.assert_array_equal(read(scene(COLOURS.tobytes())), COLOURS)
    np.testing.assert_array_equal(read(scene(encoded("png"), "png")), COLOURS)
    smooth = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 3, (48, 64, 3))
    assert np.abs(read(scene(encoded("jpeg", smooth), "jpeg")).astype(int) - smooth).max() < 12


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_other_kinds_of_png_become_colours(mode: str) -> None:
    wanted = np.asarray(Image.fromarray(COLOURS).convert(mode).convert("RGB"))
    np.testing.assert_array_equal(read(scene(encoded("png", mode=mode), "png")), wanted)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (scene(COLOURS.tobytes()[:-1]), "raw image of 9215 bytes; 64x48 in 3 colours takes 9216"),
        (scene(COLOURS.tobytes(), width=32), "the event says 32x48; this pipeline takes 64x48 (options width, height)"),
        (scene(encoded("png", COLOURS[:40]), "png"), "the png says 64x40; this pipeline takes 64x48"),
        (scene(encoded("png")[:2_000], "png"), "the png ends too soon or is damaged"),
        (scene(encoded("jpeg")[:1_500], "jpeg"), "the jpeg ends too soon or is damaged"),
        (scene(encoded("jpeg")[:100], "jpeg"), "no jpeg: its header cannot be read"),
        (scene(encoded("png"), "jpeg"), "no jpeg: its header cannot be read"),
        (scene(encoded("jpeg") + b"\xff\xda" * 64, "jpeg"), "the jpeg has 65 scans; at most 64 are taken"),
        (scene(b"secret", "png"), "no png: its header cannot be read"),
        (scene(encoded("png", mode="I;16"), "png"), "the png has pixels of another kind than 8-bit grey or colour"),
    ],
)
def test_what_cannot_be_used_is_said_without_what_it_holds(event: Scene, said: str) -> None:
    assert said in refused(event)
    assert "secret" not in refused(event)


def test_an_image_that_claims_to_be_huge_takes_no_memory() -> None:
    """800 million pixels in a hundred bytes."""
    bomb = scene(png_header(40_000, 20_000), "png")
    refused(bomb)  # what Pillow imports once is not its doing
    tracemalloc.start()
    said = refused(bomb)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said == "the png says 40000x20000, 800000000 pixels; at most 4194304 are taken (max_pixels)"
    assert peak_bytes < 2_000_000


def test_an_image_of_the_right_size_that_holds_less_is_no_image() -> None:
    assert refused(scene(png_header(64, 48), "png")) == "the png ends too soon or is damaged"


def test_a_format_the_pipeline_does_not_take_is_named() -> None:
    said = refused(scene(encoded("png"), "png"), SegmentationTask(height=48, width=64))
    assert said == "an image in png; this pipeline takes raw (option formats)"


def test_without_the_decoder_a_pipeline_that_wants_png_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferstream.tasks.segmentation.task.is_decoder_installed", lambda: False)
    with pytest.raises(SettingsError, match=r'need the extra `images`: pip install "\.\[images\]" in the clone'):
        load("segmentation", {"formats": ["raw", "png"]})
    load("segmentation", {"formats": ["raw"]})


def test_whether_the_decoder_is_there_is_found_without_loading_it() -> None:
    assert images.is_decoder_installed()
