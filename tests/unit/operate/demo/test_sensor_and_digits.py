"""What the demos of machines and of digits say of results that are known."""

import io
import itertools
from typing import Any

import msgspec
import pytest
from rich.console import Console

from inferstream.operate.demo.classification import ClassificationShow
from inferstream.operate.demo.sensor import SensorShow, bar
from inferstream.tasks.classification import Class, Classification
from inferstream.tasks.sensor import Remaining


def remaining(low: float, middle: float, high: float, decision: str = "run", gaps: int = 0) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.to_builtins(
        Remaining(middle, low, high, "cycles", 0, decision, gaps)  # type: ignore[arg-type]
    )
    return result


def drawn(what: Any) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(what)
    return console.export_text()


def test_estimates_are_judged_as_far_as_the_horizon_and_alerts_by_the_truth() -> None:
    show = SensorShow()
    events = [event for event, _ in itertools.islice(show.stream(1), 4)]
    show.came_back(events[0], 200.0, remaining(110, 122, 126), 0)  # judged as 125
    show.came_back(events[1], 20.0, remaining(15, 24, 30, "alert", gaps=2), 0)
    show.came_back(events[2], 50.0, remaining(10, 20, 30, "alert"), 0)
    assert show.figures()["sensor"] == {"rmse": pytest.approx(17.56, abs=0.01), "coverage": 0.667, "alerts_right": 0.5}
    assert dict(show.lines())["gaps"] == "filled in 1 windows"
    rows = drawn(show.panel(10)).splitlines()
    places = [next(n for n, row in enumerate(rows) if event.machine_id in row) for event in events[:3]]
    assert places[2] < places[1] < places[0], "the most urgent first"
    show.came_back(events[2], 0.0, remaining(0, 1, 2, "alert"), 0)
    assert events[2].machine_id not in drawn(show.panel(10)), "it has failed"


def test_the_interval_is_drawn_to_scale() -> None:
    line = bar(remaining(0, 62.5, 125), 125)
    assert len(line) == 42
    assert line[20] == "●"
    assert line[-1] == "┃"
    assert set(line[:20]) == {"─"}
    assert bar(remaining(0, 500, 500), 900)[-1] == "●"


def test_digits_read_wrong_are_counted_and_shown() -> None:
    show = ClassificationShow()
    for (event, _), said in zip(itertools.islice(show.stream(1), 4), "7718", strict=True):
        reasons = ("LOW_CONFIDENCE",) if said == "8" else ()
        result = msgspec.to_builtins(Classification(said, 0.75, (Class(said, 0.75),), reasons))
        show.came_back(event, "7", result, 0)
    assert show.figures() == {"classification": {"accuracy": 0.5, "unsure": 1}}
    said = drawn(show.panel(30))
    assert said.count("75%") == 6, "four were read, two of them wrong"
    assert said.count("8 75% (7)") == 2
    assert said.count("▀" * 8) > 4
