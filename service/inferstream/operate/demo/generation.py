"""Texts that are written as one looks on: how soon the first token is there, and the texts themselves."""

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from inferstream.tasks.generation import Prompt
from inferstream.traffic import prompts

_KEPT = 24
_ENDS = {"stop": "green", "length": "cyan", "deadline": "yellow"}


class Writing:
    """A text so far; `reason` once it is whole."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.text = ""
        self.reason = ""


class GenerationShow:
    """Puts the parts of each text together, and counts the tokens."""

    def __init__(self) -> None:
        self._writing: dict[str, Writing] = {}
        self._written: deque[Writing] = deque(maxlen=_KEPT)
        self._first_ms: list[float] = []
        self._each_ms: list[float] = []
        self._first_seen_ms: dict[str, float] = {}
        self._ahead_ms: list[float] = []
        self._tokens = 0
        self._ends: Counter[str] = Counter()

    def stream(self, seed: int) -> Iterator[tuple[Prompt, None]]:
        return prompts.stream(seed)

    def key(self, event: Prompt) -> bytes:
        return event.prompt_id.encode()

    def at(self, event: Prompt, timestamp_ms: int) -> None:
        event.timestamp_ms = timestamp_ms

    def partial(self, event: Prompt, result: dict[str, Any], at_ms: float) -> None:
        self._writing.setdefault(event.prompt_id, Writing(event)).text += result["text"]
        self._first_seen_ms.setdefault(event.prompt_id, at_ms)

    def came_back(self, event: Prompt, truth: None, result: dict[str, Any], at_ms: float) -> None:
        writing = self._writing.pop(event.prompt_id, Writing(event))
        writing.text, writing.reason = result["text"], result["finish_reason"]
        self._written.append(writing)
        self._tokens += result["tokens"]
        self._ends[writing.reason] += 1
        self._first_ms.append(result["first_token_ms"])
        if result["tokens"] > 1:
            self._each_ms.append(result["per_token_ms"])
        if event.prompt_id in self._first_seen_ms:
            self._ahead_ms.append(at_ms - self._first_seen_ms.pop(event.prompt_id))

    def panel(self, rows: int) -> RenderableType:
        shown = [*self._written, *self._writing.values()][-max(1, rows - 1) :]
        return Group(Text("texts", "dim"), *(line(writing) for writing in shown))

    def figures(self) -> dict[str, Any]:
        return {
            "generation": {
                "texts": sum(self._ends.values()),
                "tokens": self._tokens,
                "first_token_ms": _p50_p99(self._first_ms),
                "per_token_ms": _p50_p99(self._each_ms),
                "seen_before_outcome_ms": _p50_p99(self._ahead_ms),
                "ends": {reason: self._ends[reason] for reason in _ENDS},
            }
        }

    def lines(self) -> list[tuple[str, str]]:
        found = self.figures()["generation"]
        first, each = found["first_token_ms"], found["per_token_ms"]
        tokens = (
            f"{self._tokens:,}, the first after {first['p50']:.1f} ms (p99 {first['p99']:.1f}), "
            f"then one in {each['p50']:.2f} ms (p99 {each['p99']:.2f})"
        )
        ends = ", ".join(f"{count} by {reason}" for reason, count in found["ends"].items() if count)
        return [("tokens", tokens), ("texts end", ends or "none")]


def line(writing: Writing) -> Text:
    """Prompt and text on one line, its end if it is too long."""
    text = Text(overflow="ellipsis", no_wrap=True)
    text.append(f"{writing.reason or '…':<9}", _ENDS.get(writing.reason, "bold"))
    text.append(" ".join(writing.prompt.text.split()) + " ", "dim")
    return text.append(" ".join(writing.text.split()) + ("" if writing.reason else "▌"))


def _p50_p99(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(values or [0.0]), (50, 99))
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}
