"""The watch over drift: what it makes of the model's answers, and of nobody else's."""

import asyncio
from typing import Any

import numpy as np
import pytest

from inferstream.events.envelope import Provenance
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.infer import Answer
from inferstream.pipeline.observe import drift
from inferstream.policy.drift import Column, Reference
from inferstream.signals import Signals

REFERENCE = Reference("m", 9, {"x": (Column("0", (0.5,), (0.5, 0.5)),), "score": (Column("0", (0.5,), (0.9, 0.1)),)})


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_INTERVAL", 0.0)


def answer(score: float, cause: Cause | None = None, has_outputs: bool = True, **given: Any) -> Answer:
    outputs = {"score": np.full((8, 1), score, np.float32)} if has_outputs else None
    tensors = {"x": np.linspace(0, 1, 8, dtype=np.float32)[:, None]}
    return Answer([], tensors, outputs, Provenance(Answerer("model", "m", "1"), 0.0, 0, cause), **given)


async def shown(*answers: Answer) -> dict[tuple[str, str], float]:
    """The gauges after so many looks at each of the answers."""
    signals = Signals()
    watch = drift.DriftWatch("p", REFERENCE, signals)
    task = asyncio.create_task(watch.run())
    for _ in range(600):
        for each in answers:
            watch.saw(each)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    labels = [(dict(s.labels)["side"], dict(s.labels)["column"], s.value) for s in signals.drift.samples()]
    return {(side, column): value for side, column, value in labels}


async def test_inputs_and_outputs_are_told_apart() -> None:
    found = await shown(answer(0.9))
    assert found["output", "score"] > 1
    assert found["input", "x"] < 0.01


async def test_only_what_the_model_answers_is_looked_at() -> None:
    assert await shown(answer(0.9, Cause.MODEL_TIMEOUT), answer(0.9, has_outputs=False)) == {}
