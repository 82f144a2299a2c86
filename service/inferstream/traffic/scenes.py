"""Drawn road scenes as a camera in a car would see them, each with its true segmentation. Pure numpy, seeded.

Everything scales with the image, so that any size may be drawn; what is near is larger and lower in the image.
"""

from collections.abc import Iterator
from itertools import count

import numpy as np
import numpy.typing as npt

from inferstream.tasks.segmentation import LABELS, Scene

Image = npt.NDArray[np.uint8]
"""[height, width, 3], red, green and blue."""
Mask = npt.NDArray[np.uint8]
"""[height, width], an index of LABELS for each pixel."""
_Canvas = npt.NDArray[np.float32]
_Area = npt.NDArray[np.bool_]

_ROAD, _CAR, _PERSON, _SIGN = (LABELS.index(name) for name in ("road", "car", "person", "sign"))
_PAINTS = ((200, 30, 30), (30, 60, 180), (235, 235, 235), (25, 25, 30), (210, 180, 40), (120, 125, 130))
_CLOTHES = ((180, 40, 60), (40, 90, 160), (60, 130, 60), (220, 150, 40), (70, 50, 90))
_SIGNS = ((220, 30, 30), (30, 70, 200), (240, 200, 30))
_CAMERAS = 8


def draw(rng: np.random.Generator, height: int = 64, width: int = 64) -> tuple[Image, Mask]:
    """One scene and the class of each of its pixels."""
    return _Drawing(rng, height, width).finished()


def scenes(seed: int, number: int, height: int = 64, width: int = 64) -> tuple[Image, Mask]:
    """So many scenes at once: images [number, height, width, 3] and masks [number, height, width]."""
    rng = np.random.default_rng((seed, 11))
    images = np.empty((number, height, width, 3), np.uint8)
    masks = np.empty((number, height, width), np.uint8)
    for row in range(number):
        images[row], masks[row] = draw(rng, height, width)
    return images, masks


def stream(seed: int = 1, height: int = 64, width: int = 64) -> Iterator[tuple[Scene, Mask]]:
    """Events without end, each with its true mask. A caller that plays them live sets `timestamp_ms`."""
    rng = np.random.default_rng((seed, 12))
    for number in count():
        image, mask = draw(rng, height, width)
        camera = f"camera-{number % _CAMERAS}"
        yield Scene(f"s{seed}-{number}", 0, width, height, image.tobytes(), camera_id=camera), mask


class _Drawing:
    """A canvas and its mask. Things are drawn from far to near, so that the near hide the far."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng, self.height, self.width = rng, height, width
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float32) + np.float32(0.5)
        self.image: _Canvas = np.empty((height, width, 3), np.float32)
        self.mask: Mask = np.zeros((height, width), np.uint8)
        self.horizon = height * rng.uniform(0.28, 0.48)
        self.vanishing = width * rng.uniform(0.35, 0.65)
        self.half_road = width * rng.uniform(0.35, 0.6)
        """Half of the road's width at the lower edge."""

    def finished(self) -> tuple[Image, Mask]:
        """Everything drawn, in some light, by a camera with noise."""
        rng = self.rng
        self._land()
        self._road()
        for depth in np.sort(rng.uniform(0.22, 0.97, rng.integers(2, 8))).tolist():
            kind = int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15)))
            (self._car, self._person, self._sign, self._tree)[kind](depth)
        light, noise = rng.uniform(0.55, 1.1), rng.normal(0, rng.uniform(2, 8), self.image.shape)
        return np.clip(self.image * light + noise, 0, 255).astype(np.uint8), self.mask

    def _paint(self, area: _Area, colour: npt.ArrayLike, label: int | None = None) -> None:
        self.image[area] = colour
        if label is not None:
            self.mask[area] = label

    def _land(self) -> None:
        """Sky that pales towards the horizon, houses on it, a field below."""
        rng = self.rng
        pale = np.clip(self.y / self.horizon, 0, 1)[..., None]
        self.image[:] = (1 - pale) * rng.uniform((80, 120, 170), (140, 180, 240)) + pale * (225, 225, 230)
        for _ in range(rng.integers(0, 5)):
            left, wide, high = rng.uniform(0, self.width), rng.uniform(0.05, 0.2) * self.width, rng.uniform(0.05, 0.22)
            self._paint(
                self._box(left, self.horizon - high * self.height, wide, high * self.height), rng.uniform(90, 190, 3)
            )
        field = self.y >= self.horizon
        self._paint(field, rng.uniform((60, 90, 40), (140, 150, 100)))
        self.image[field] += rng.normal(0, 9, (int(field.sum()), 1))

    def _road(self) -> None:
        """A trapezium to the vanishing point, with a broken line in its middle, which belongs to it."""
        depth = self._depth_of(self.y)
        half = self.half_road * depth
        middle = self._middle(depth)
        road = (self.y >= self.horizon) & (np.abs(self.x - middle) <= half)
        self._paint(road, np.full(3, self.rng.uniform(70, 120)), _ROAD)
        phase = self.rng.uniform(0, 1)
        dash = (1 / np.maximum(depth, 0.03) * 1.5 + phase) % 1 < 0.5
        self._paint(road & dash & (np.abs(self.x - middle) <= 0.035 * self.half_road * 2 * depth), (230, 230, 220))

    def _car(self, depth: float) -> None:
        """On one of the lanes, seen from behind."""
        rng = self.rng
        foot, middle, scale = self._place(depth)
        wide, high = 0.52 * scale, 0.4 * scale
        left = middle + rng.choice((-0.55, 0.45)) * scale * rng.uniform(0.8, 1.2) - wide / 2
        paint = np.array(_PAINTS[rng.integers(len(_PAINTS))], np.float32) * rng.uniform(0.7, 1.1)
        self._paint(self._box(left, foot - 0.62 * high, wide, 0.62 * high), paint, _CAR)
        self._paint(self._box(left + 0.12 * wide, foot - high, 0.76 * wide, 0.4 * high), paint, _CAR)
        self._paint(self._box(left + 0.2 * wide, foot - 0.92 * high, 0.6 * wide, 0.27 * high), (60, 75, 90), _CAR)
        for wheel in (0.05, 0.75):
            self._paint(self._box(left + wheel * wide, foot - 0.16 * high, 0.2 * wide, 0.18 * high), (15, 15, 15), _CAR)
            self._paint(
                self._box(left + wheel * wide, foot - 0.5 * high, 0.17 * wide, 0.12 * high), (190, 30, 20), _CAR
            )

    def _person(self, depth: float) -> None:
        """Beside the road or on it: legs, body, head."""
        rng = self.rng
        foot, middle, scale = self._place(depth)
        high, wide = 0.5 * scale, 0.14 * scale
        at = middle + rng.uniform(-1.35, 1.35) * scale
        self._paint(self._box(at - 0.35 * wide, foot - 0.45 * high, 0.7 * wide, 0.45 * high), (40, 40, 60), _PERSON)
        clothes = _CLOTHES[rng.integers(len(_CLOTHES))]
        self._paint(self._box(at - wide / 2, foot - 0.82 * high, wide, 0.42 * high), clothes, _PERSON)
        self._paint(
            self._disc(at, foot - 0.9 * high, 0.11 * high), rng.uniform((140, 95, 70), (235, 195, 165)), _PERSON
        )

    def _sign(self, depth: float) -> None:
        """A disc on a pole at the side of the road."""
        rng = self.rng
        foot, middle, scale = self._place(depth)
        at, high = middle + rng.choice((-1, 1)) * rng.uniform(1.1, 1.35) * scale, 0.75 * scale
        self._paint(self._box(at - 0.02 * scale, foot - high, 0.04 * scale, high), (150, 150, 155), _SIGN)
        rim = _SIGNS[rng.integers(len(_SIGNS))]
        self._paint(self._disc(at, foot - high, 0.14 * scale), rim, _SIGN)
        self._paint(self._disc(at, foot - high, 0.08 * scale), (245, 245, 245), _SIGN)

    def _tree(self, depth: float) -> None:
        """Hides what is behind it and is no class of its own."""
        rng = self.rng
        foot, middle, scale = self._place(depth)
        at = middle + rng.choice((-1, 1)) * rng.uniform(1.4, 2.0) * scale
        self._paint(self._box(at - 0.05 * scale, foot - 0.5 * scale, 0.1 * scale, 0.5 * scale), (90, 65, 40), 0)
        self._paint(self._disc(at, foot - 0.75 * scale, 0.33 * scale), rng.uniform((25, 70, 20), (70, 120, 60)), 0)

    def _place(self, depth: float) -> tuple[float, float, float]:
        """Where a thing that near stands: its lower edge, the road's middle there, half of the road's width there."""
        foot = self.horizon + depth * (self.height - self.horizon)
        return foot, float(self._middle(np.float32(depth))), self.half_road * depth

    def _depth_of(self, y: _Canvas) -> _Canvas:
        """0 at the horizon, 1 at the lower edge."""
        depth: _Canvas = np.clip((y - self.horizon) / (self.height - self.horizon), 0, 1)
        return depth

    def _middle(self, depth: npt.ArrayLike) -> _Canvas:
        """The road runs from the middle of the lower edge to the vanishing point."""
        return np.asarray(self.vanishing + (self.width / 2 - self.vanishing) * np.asarray(depth), np.float32)

    def _box(self, left: float, top: float, wide: float, high: float) -> _Area:
        area: _Area = (self.x >= left) & (self.x < left + wide) & (self.y >= top) & (self.y < top + high)
        return area

    def _disc(self, x: float, y: float, radius: float) -> _Area:
        area: _Area = (self.x - x) ** 2 + (self.y - y) ** 2 <= radius**2
        return area
