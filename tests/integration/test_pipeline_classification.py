"""Image classification, Kafka to Kafka on real Triton: digits are read, images that do not fit say what would."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.integration.examples import ExampleBench, details

from inferstream import local
from inferstream.events import codecs
from inferstream.traffic.digits import stream

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True),
]

EVENTS, LABELS = zip(*itertools.islice(stream(5), 100), strict=True)


def keyed(events: Any) -> list[tuple[bytes, Any]]:
    return [(event.image_id.encode(), event) for event in events]


async def test_digits_are_read_and_what_does_not_fit_is_named_by_its_size(stack: local.Stack, tmp_path: Path) -> None:
    bench = ExampleBench(stack, tmp_path, "classification")
    given = {"timestamp_ms": 1, "width": 8, "height": 8, "pixels": bytes(64)}
    bad = [
        {**given, "image_id": "wide", "width": 16, "pixels": bytes(128)},
        {**given, "image_id": "coloured", "pixels": bytes(192)},
        {**given, "image_id": "cut", "pixels": bytes(63)},
        {**given, "image_id": "text", "pixels": "a secret"},
    ]
    await bench.create_topics()
    async with bench.service() as service:
        await bench.send("classification", keyed(EVENTS[:80]), schema="digit_image.v1")
        await bench.send("classification", [(b"k", event) for event in bad])
        as_json = [(b"k", codecs.JSON.encode(event)) for event in EVENTS[80:]]
        await bench.send("classification", as_json, content_type="application/json")
        found = await bench.answers("classification", 104)
        report = await bench.audit("classification")
        assert await service.terminate() == 0
    right = 0
    for event, label in zip(EVENTS, LABELS, strict=True):
        outcome = found[event.image_id]
        assert outcome["outcome"] == "scored"
        assert outcome["answered_by"] == {"kind": "model", "name": "digits", "version": "1"}
        result = outcome["result"]
        assert result["top"][0] == {"label": result["label"], "probability": result["probability"]}
        assert len(result["top"]) == 3
        right += result["label"] == label
    assert right >= 95
    said = details(found)
    assert "the image is 16 x 8 pixels in 128 bytes, this pipeline takes 8 x 8 in 64" in said["wide"]
    assert "the image is 8 x 8 pixels in 192 bytes, this pipeline takes 8 x 8 in 64" in said["coloured"]
    others = " | ".join(said.values())
    assert "pixels are 63 bytes, which is no whole number for each of 8 x 8 pixels" in others
    assert "Expected `bytes`, got `str` - at `$.pixels`" in others
    assert "secret" not in others + service.log
    assert (report.problems, report.inputs, report.repeats) == ({}, 104, 0)


async def test_nobody_else_can_say_what_an_image_shows(stack: local.Stack, tmp_path: Path) -> None:
    """There is no student and there are no rules: without the model an event has an outcome, and no result."""
    bench = ExampleBench(stack, tmp_path, "classification")
    bench.environ["INFERSTREAM__PIPELINES__CLASSIFICATION__MODEL"] = "absent"
    bench.environ["INFERSTREAM__PIPELINES__CLASSIFICATION__SLO_MS"] = "4000"  # half of it is waited for the model
    bench.environ["INFERSTREAM__TRITON__START_TIMEOUT_MS"] = "500"
    await bench.create_topics()
    async with bench.service():
        await bench.send("classification", keyed(EVENTS[:20]))
        found = await bench.answers("classification", 20)
        report = await bench.audit("classification")
    assert {(o["outcome"], o["cause"]) for o in found.values()} == {("expired", "no_fallback")}
    assert (report.problems, report.inputs) == ({}, 20)


async def test_a_model_of_another_shape_ends_the_service_with_one_line(stack: local.Stack, tmp_path: Path) -> None:
    bench = ExampleBench(stack, tmp_path, "classification")
    bench.environ["INFERSTREAM__PIPELINES__CLASSIFICATION__OPTIONS__LABELS"] = '["cat", "dog"]'
    await bench.create_topics()
    service = bench.service()
    await service.start()
    assert await service.process.wait() == 3
    assert "output 'probabilities' has shape [10], the task [2]" in service.log
    assert "Traceback" not in service.log
