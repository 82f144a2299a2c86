"""Road scenes: how much of each class was found where it is, and the last picture beside its mask."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.console import Group, RenderableType
from rich.style import Style
from rich.text import Text

from inferstream.tasks.segmentation import LABELS, Scene, unpack
from inferstream.tasks.segmentation.overlap import ious, pairs
from inferstream.traffic.scenes import Mask, stream

_COLOURS = np.array([(40, 44, 52), (130, 130, 140), (220, 70, 60), (80, 200, 90), (70, 130, 240)], np.uint8)
"""Of the classes, in the order of LABELS."""
_GAP = "  "
_Picture = npt.NDArray[np.uint8]


class SegmentationShow:
    """Knows the true mask of each scene."""

    def __init__(self) -> None:
        self._pairs = np.zeros((len(LABELS), len(LABELS)), np.int64)
        self._alerts: Counter[str] = Counter()
        self._last: tuple[_Picture, Mask, dict[str, Any]] | None = None

    def stream(self, seed: int) -> Iterator[tuple[Scene, Mask]]:
        return stream(seed)

    def key(self, event: Scene) -> bytes:
        return (event.camera_id or event.image_id).encode()

    def at(self, event: Scene, timestamp_ms: int) -> None:
        event.timestamp_ms = timestamp_ms

    def came_back(self, event: Scene, truth: Mask, result: dict[str, Any], at_ms: float) -> None:
        mask = unpack(result["mask"], result["height"], result["width"])
        self._pairs += pairs(mask, truth, len(LABELS))
        self._alerts.update(result["alerts"])
        picture = np.frombuffer(event.pixels, np.uint8).reshape(event.height, event.width, 3)
        self._last = picture, mask, result

    def partial(self, event: Scene, result: Any, at_ms: float) -> None:
        """There are none."""

    def panel(self, rows: int) -> RenderableType:
        if self._last is None:
            return Text("no picture yet", style="dim")
        picture, mask, result = self._last
        step = max(1, -(-picture.shape[0] // (2 * max(1, rows - 1))))
        small = np.concatenate([picture[::step, ::step], _COLOURS[mask[::step, ::step]]], axis=1)
        return Group(_legend(result), *_half_blocks(small, gap_at=-(-picture.shape[1] // step)))

    def figures(self) -> dict[str, Any]:
        overlaps = ious(self._pairs)
        by_label = {label: round(float(iou), 3) for label, iou in zip(LABELS, overlaps, strict=True)}
        return {"segmentation": {"mean_iou": round(float(overlaps.mean()), 3), "iou": by_label}}

    def lines(self) -> list[tuple[str, str]]:
        figures = self.figures()["segmentation"]
        by_label = ", ".join(f"{label} {iou:.2f}" for label, iou in figures["iou"].items())
        alerts = ", ".join(f"{label} in {count:,} scenes" for label, count in self._alerts.most_common()) or "none"
        return [("mean IoU", f"{figures['mean_iou']:.3f} ({by_label})"), ("alerts", alerts)]


def _legend(result: dict[str, Any]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for label, colour in zip(LABELS, _COLOURS.tolist(), strict=True):
        text.append("█ ", Style(color=Color.from_rgb(*colour)))
        text.append(f"{label} {result['classes'][label]:.0%}  ", "dim")
    return text.append(f"confidence {result['confidence']:.2f}  {' '.join(result['alerts'])}", "dim")


def _half_blocks(picture: _Picture, gap_at: int) -> Iterator[Text]:
    """Two lines of pixels to a line of text: the upper half of each character is one, its background the other."""
    for y in range(0, picture.shape[0] - 1, 2):
        line = Text(no_wrap=True)
        for x, (upper, lower) in enumerate(zip(picture[y].tolist(), picture[y + 1].tolist(), strict=True)):
            line.append(_GAP if x == gap_at else "")
            line.append("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
        yield line
