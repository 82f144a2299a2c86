"""Any model by its tensors. The example's is the student of the fraud family, so its output can be judged."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from inferstream.tasks.tensor import Raw, TensorEvent
from inferstream.traffic import tensors

_KEPT = 40


class TensorShow:
    """Shows tensors going in and coming out, and how far apart the model sees planted frauds and the rest."""

    def __init__(self) -> None:
        self._last: deque[tuple[TensorEvent, bool, dict[str, Any]]] = deque(maxlen=_KEPT)
        self._probabilities: dict[bool, list[float]] = {True: [], False: []}

    def stream(self, seed: int) -> Iterator[tuple[TensorEvent, bool]]:
        return tensors.stream(seed)

    def key(self, event: TensorEvent) -> bytes:
        return event.id.encode()

    def at(self, event: TensorEvent, timestamp_ms: int) -> None:
        event.timestamp_ms = timestamp_ms

    def came_back(self, event: TensorEvent, truth: bool, result: dict[str, Any], at_ms: float) -> None:
        self._last.append((event, truth, result))
        self._probabilities[truth].append(result["probability"][0])

    def partial(self, event: TensorEvent, result: Any, at_ms: float) -> None:
        """There are none."""

    def panel(self, rows: int) -> RenderableType:
        table = Table(box=None, padding=(0, 1), expand=True, title="tensors", title_justify="left", title_style="dim")
        for name in ("id", "in", "given as", "out", "planted fraud"):
            table.add_column(name, no_wrap=True, header_style="dim")
        for event, is_fraud, result in reversed(list(self._last)[-max(1, rows - 2) :]):
            given = event.tensors[tensors.INPUT]
            shape = given.shape if isinstance(given, Raw) else [len(given)]
            said = ", ".join(f"{name} {np.round(value, 4).tolist()}" for name, value in result.items())
            form = "raw elements" if isinstance(given, Raw) else "lists"
            table.add_row(event.id, f"{tensors.INPUT} {shape}", form, said, "yes" if is_fraud else "")
        return table

    def figures(self) -> dict[str, Any]:
        of_fraud, of_rest = self._means()
        answered = sum(map(len, self._probabilities.values()))
        means = {"fraud": round(of_fraud, 3), "rest": round(of_rest, 3)}
        return {"tensor": {"answered": answered, "mean_probability": means}}

    def lines(self) -> list[tuple[str, str]]:
        of_fraud, of_rest = self._means()
        return [("tensor", f"mean output {of_fraud:.2f} for planted frauds, {of_rest:.3f} for the rest")]

    def _means(self) -> tuple[float, float]:
        of_fraud, of_rest = (sum(p) / max(1, len(p)) for p in (self._probabilities[True], self._probabilities[False]))
        return of_fraud, of_rest
