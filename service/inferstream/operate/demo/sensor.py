"""Machines that wear out: how near the estimates come, how often the interval holds, and who needs care."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from inferstream.tasks.sensor import HORIZON_CYCLES, SensorTask, Window
from inferstream.traffic import sensors

_BAR_CELLS = 42
_DECISIONS = {"run": "green", "watch": "yellow", "alert": "red"}
_URGENCY = ("alert", "watch", "run")


class Machine(NamedTuple):
    """The last result of a machine, and how many cycles it truly has left."""

    window: Window
    truth: float
    result: dict[str, Any]


class SensorShow:
    """Knows when each machine will fail and what was said of it."""

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}
        self._count = 0
        self._squares = 0.0
        self._held = 0
        self._alerts = 0
        self._alerts_right = 0
        self._gappy = 0

    def stream(self, seed: int) -> Iterator[tuple[Window, float]]:
        return sensors.stream(seed)

    def key(self, event: Window) -> bytes:
        return event.machine_id.encode()

    def at(self, event: Window, timestamp_ms: int) -> None:
        event.timestamp_ms = timestamp_ms

    def came_back(self, event: Window, truth: float, result: dict[str, Any], at_ms: float) -> None:
        expected = min(truth, HORIZON_CYCLES)
        self._count += 1
        self._squares += (result["remaining"] - expected) ** 2
        self._held += result["low"] <= expected <= result["high"]
        self._gappy += result["gaps"] > 0
        if result["decision"] == "alert":
            self._alerts += 1
            self._alerts_right += truth < SensorTask.alert_below
        self._machines[event.machine_id] = Machine(event, truth, result)
        if truth == 0:
            del self._machines[event.machine_id]

    def partial(self, event: Window, result: Any, at_ms: float) -> None:
        """There are none."""

    def panel(self, rows: int) -> RenderableType:
        table = Table(box=None, padding=(0, 1), title="machines", title_justify="left", title_style="dim")
        for name in ("machine", "", "left", "interval", f"0 to {HORIZON_CYCLES} cycles", "true", "why"):
            justify: Any = "right" if name in ("left", "true") else "left"
            table.add_column(name, no_wrap=True, header_style="dim", justify=justify)
        for window, truth, result in sorted(self._machines.values(), key=_urgency)[: max(1, rows - 2)]:
            style = _DECISIONS[result["decision"]]
            table.add_row(
                window.machine_id,
                Text(result["decision"], style),
                f"{result['remaining']:.0f}",
                f"{result['low']:.0f}–{result['high']:.0f}",
                Text(bar(result, truth), style),
                f"{truth:.0f}",
                Text(" ".join(result["reasons"]).lower(), overflow="ellipsis", no_wrap=True),
            )
        return table

    def figures(self) -> dict[str, Any]:
        count = max(1, self._count)
        return {
            "sensor": {
                "rmse": round((self._squares / count) ** 0.5, 2),
                "coverage": round(self._held / count, 3),
                "alerts_right": round(self._alerts_right / max(1, self._alerts), 3),
            }
        }

    def lines(self) -> list[tuple[str, str]]:
        found = self.figures()["sensor"]
        text = f"{found['rmse']:.1f} cycles off (RMSE), {found['coverage']:.0%} of the truths inside the interval"
        alerts = (
            f"{self._alerts} windows, {found['alerts_right']:.0%} of them of machines with less left than the limit"
        )
        return [("estimates", text), ("alerts", alerts), ("gaps", f"filled in {self._gappy} windows")]


def _urgency(machine: Machine) -> tuple[int, float, str]:
    return _URGENCY.index(machine.result["decision"]), machine.result["remaining"], machine.window.machine_id


def bar(result: dict[str, Any], truth: float) -> str:
    """The interval as a line over 0 to the horizon, `●` what is expected, `┃` the truth."""
    cells = [" "] * _BAR_CELLS

    def cell(cycles: float) -> int:
        return min(_BAR_CELLS - 1, int(min(cycles, HORIZON_CYCLES) / HORIZON_CYCLES * (_BAR_CELLS - 1)))

    for place in range(cell(result["low"]), cell(result["high"]) + 1):
        cells[place] = "─"
    cells[cell(truth)] = "┃"
    cells[cell(result["remaining"])] = "●"
    return "".join(cells)
