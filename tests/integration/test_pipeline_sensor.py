"""Machine health, Kafka to Kafka on real Triton: windows with and without gaps, and what is no window."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.examples import ExampleBench, details

from inferstream import local
from inferstream.events import codecs
from inferstream.inprocess import Student
from inferstream.tasks.sensor import SensorTask
from inferstream.traffic.sensors import stream

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True),
]

EVENTS = [event for event, _ in itertools.islice(stream(5), 60)]


async def expected(model: str) -> dict[str, Any]:
    """What a shipped model makes of the events in the process, by window."""
    task = SensorTask()
    tensors = task.tensors(EVENTS)
    outputs, _ = await Student(model, task).infer(tensors, 1)
    results = task.decide(EVENTS, tensors, outputs)
    return {e.window_id: msgspec.to_builtins(result) for e, result in zip(EVENTS, results, strict=True)}


def agrees(result: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Within a rounding of the last digit."""
    numbers = {"low", "remaining", "high"}
    near = all(result[name] == pytest.approx(wanted[name], abs=0.11) for name in numbers)
    return near and (result["unit"], result["gaps"]) == ("cycles", wanted["gaps"])


def broken() -> list[dict[str, Any]]:
    """Windows that cannot be used, each named after what is wrong with it."""
    whole: dict[str, Any] = msgspec.to_builtins(EVENTS[0])
    rows: list[list[Any]] = whole["readings"]
    readings = {
        "short": rows[1:],
        "narrow": [row[1:] for row in rows],
        "hollow": [[None] * 17 for _ in rows[:4]] + rows[4:],
        "nan": [*rows[:-1], [float("nan"), *rows[-1][1:]]],
        "huge": [*rows[:-1], [31_415_926.0, *rows[-1][1:]]],
    }
    return [{**whole, "window_id": name, "readings": value} for name, value in readings.items()]


async def test_windows_are_answered_by_the_model_and_what_is_none_says_why(stack: local.Stack, tmp_path: Path) -> None:
    bench = ExampleBench(stack, tmp_path, "sensor")
    bad = broken()
    await bench.create_topics()
    async with bench.service() as service:
        await bench.send("sensor", [(e.machine_id.encode(), e) for e in EVENTS[:30]], schema="sensor_window.v1")
        await bench.send("sensor", [(event["window_id"].encode(), event) for event in bad])
        await bench.send("sensor", [(b"other", EVENTS[0])], schema="transaction.v1")
        as_json = [(e.machine_id.encode(), codecs.JSON.encode(e)) for e in EVENTS[30:]]
        await bench.send("sensor", as_json, content_type="application/json")
        found = await bench.answers("sensor", 66)
        letters = await bench.audit("sensor")
        assert await service.terminate() == 0
    wanted = await expected("sensor")
    for event in EVENTS:
        outcome = found[event.window_id]
        assert outcome["outcome"] == "scored"
        assert outcome["answered_by"] == {"kind": "model", "name": "sensor", "version": "1"}
        assert agrees(outcome["result"], wanted[event.window_id])
    assert any("GAPS_FILLED" in o["result"]["reasons"] for o in found.values() if o["outcome"] == "scored")
    said = " | ".join(sorted(details(found).values()))
    assert "68 of 510 readings are missing, at most 51 may be" in said
    assert "length >= 30 - at `$.readings`" in said
    assert "length >= 17 - at `$.readings[...]`" in said or "length >= 17 - at `$.readings[0]`" in said
    assert said.count("at `$.readings[29][0]`") == 2
    assert "header `schema` does not name sensor_window.v1" in said
    assert "31415926" not in said + service.log
    assert (letters.problems, letters.inputs, letters.repeats) == ({}, 66, 0)
    assert letters.outcomes["dead_lettered"] == 6


async def test_the_student_answers_while_the_model_is_not_there(stack: local.Stack, tmp_path: Path) -> None:
    bench = ExampleBench(stack, tmp_path, "sensor")
    bench.environ["INFERSTREAM__PIPELINES__SENSOR__MODEL"] = "absent"
    bench.environ["INFERSTREAM__PIPELINES__SENSOR__SLO_MS"] = "4000"  # half of it is waited for the model
    bench.environ["INFERSTREAM__TRITON__START_TIMEOUT_MS"] = "500"
    await bench.create_topics()
    async with bench.service():
        await bench.send("sensor", [(e.machine_id.encode(), e) for e in EVENTS])
        found = await bench.answers("sensor", len(EVENTS))
    wanted = await expected("sensor_student")
    for window, outcome in found.items():
        assert (outcome["outcome"], outcome["answered_by"]["name"]) == ("fallback", "sensor_student")
        assert agrees(outcome["result"], wanted[window])
    assert len(found) == len(EVENTS)
