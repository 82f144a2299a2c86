"""Handwritten digits: how many are read right, and the last ones as they were seen."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.text import Text

from inferstream.tasks.classification import Image
from inferstream.traffic import digits

_KEPT = 64
_SHADES = 16
_ROWS_OF_AN_IMAGE = 6  # two pixels a line, a line of words, one between


class Read(NamedTuple):
    """An image, what it shows, and its result."""

    image: Image
    truth: str
    result: dict[str, Any]


class ClassificationShow:
    """Knows what each image shows and what was said of it."""

    def __init__(self) -> None:
        self._read: deque[Read] = deque(maxlen=_KEPT)
        self._wrong: deque[Read] = deque(maxlen=_KEPT)
        self._count = 0
        self._right = 0
        self._unsure = 0

    def stream(self, seed: int) -> Iterator[tuple[Image, str]]:
        return digits.stream(seed)

    def key(self, event: Image) -> bytes:
        return event.image_id.encode()

    def at(self, event: Image, timestamp_ms: int) -> None:
        event.timestamp_ms = timestamp_ms

    def came_back(self, event: Image, truth: str, result: dict[str, Any], at_ms: float) -> None:
        read = Read(event, truth, result)
        self._count += 1
        self._unsure += bool(result["reasons"])
        self._read.append(read)
        if result["label"] == truth:
            self._right += 1
        else:
            self._wrong.append(read)

    def partial(self, event: Image, result: Any, at_ms: float) -> None:
        """There are none."""

    def panel(self, rows: int) -> RenderableType:
        each = max(1, rows // (2 * _ROWS_OF_AN_IMAGE)) * 6
        parts: list[RenderableType] = []
        for title, reads in (("last", self._read), ("last read wrong", self._wrong)):
            pictures = [picture(read) for read in list(reads)[-each:]]
            parts += [Text(title, "dim"), Columns(pictures, padding=(0, 2))]
        return Group(*parts)

    def figures(self) -> dict[str, Any]:
        return {"classification": {"accuracy": round(self._right / max(1, self._count), 4), "unsure": self._unsure}}

    def lines(self) -> list[tuple[str, str]]:
        share = self._right / max(1, self._count)
        return [("digits", f"{share:.1%} of {self._count:,} read right, {self._unsure} of them with low confidence")]


def picture(read: Read) -> Text:
    """The image, two pixels to a character, and what was read; red where that is wrong."""
    image, truth, result = read
    text = Text(no_wrap=True)
    for top in range(0, image.height, 2):
        for column in range(image.width):
            above, below = (_grey(image, row, column) for row in (top, min(top + 1, image.height - 1)))
            text.append("▀", f"{above} on {below}")
        text.append("\n")
    said = f"{result['label']} {result['probability']:.0%}"
    is_right = result["label"] == truth
    text.append(said if is_right else f"{said} ({truth})", "green" if is_right else "bold red")
    return text


def _grey(image: Image, row: int, column: int) -> str:
    shade = min(255, image.pixels[row * image.width + column] * 255 // _SHADES)
    return f"rgb({shade},{shade},{shade})"
