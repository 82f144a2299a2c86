"""What the demo of road scenes says of masks that are known, and how it draws them."""

import io
import itertools
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from inferstream.operate.demo.segmentation import SegmentationShow
from inferstream.tasks.segmentation import LABELS, Scene, SegmentationTask

ROAD, PERSON = LABELS.index("road"), LABELS.index("person")


def result(mask: Any) -> dict[str, Any]:
    outputs: dict[str, Any] = {"mask": mask[None], "confidence": np.array([[0.9]], np.float32)}
    (decided,) = SegmentationTask().decide([], {}, outputs)
    plain: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(decided))
    return plain


def drawn(what: Any) -> str:
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(what)
    return console.export_text()


def test_masks_are_judged_by_the_true_ones() -> None:
    """Half of the road is taken for persons: of the road a half is found, of the persons nothing is right."""
    show = SegmentationShow()
    (event, _), *_ = itertools.islice(show.stream(1), 1)
    found = np.full((64, 64), ROAD, np.uint8)
    found[:32] = PERSON
    show.came_back(event, np.full((64, 64), ROAD, np.uint8), result(found), 0)
    assert show.figures()["segmentation"]["iou"] == {"background": 0, "road": 0.5, "car": 0, "person": 0, "sign": 0}
    assert dict(show.lines()) == {
        "mean IoU": "0.100 (background 0.00, road 0.50, car 0.00, person 0.00, sign 0.00)",
        "alerts": "person in 1 scenes",
    }


def test_the_picture_is_drawn_beside_its_mask_in_the_room_there_is() -> None:
    show = SegmentationShow()
    assert "no picture yet" in drawn(show.panel(10))
    ((event, mask),) = itertools.islice(show.stream(1), 1)
    show.came_back(event, mask, result(mask), 0)
    for rows, wide in ((33, 64), (17, 32), (9, 16)):
        lines = [line for line in drawn(show.panel(rows)).splitlines() if line.strip()]
        assert len(lines) == rows
        assert lines[1].startswith("▀" * wide + "  " + "▀" * wide)
    assert len(drawn(show.panel(1)).splitlines()) <= 3


def test_colours_of_the_mask_are_those_of_the_legend() -> None:
    show = SegmentationShow()
    event = Scene("x", 0, 64, 64, bytes(64 * 64 * 3))
    show.came_back(event, np.full((64, 64), ROAD, np.uint8), result(np.full((64, 64), ROAD, np.uint8)), 0)
    console = Console(width=150, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(show.panel(33))
    legend, first = console.export_text(styles=True).splitlines()[:2]
    road = legend.split("road")[0].rsplit("█", 1)[0].rsplit("38;2;", 1)[1].split("m")[0]
    assert f"38;2;{road};48;2;{road}m" in first
    assert "38;2;0;0;0;48;2;0;0;0m" in first
