"""Road scenes, Kafka to Kafka on real Triton: masks are right, by wire or shared memory, and bad images say why."""

import io
import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.integration.examples import ExampleBench, details

from inferstream import local
from inferstream.tasks.segmentation import LABELS, Scene, unpack
from inferstream.tasks.segmentation.overlap import ious, pairs
from inferstream.traffic.scenes import stream
from inferstream.triton.shared_memory import FOLDER, PREFIX

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True),
]

EVENTS, MASKS = zip(*itertools.islice(stream(5), 60), strict=True)
OPTION = "INFERSTREAM__PIPELINES__SEGMENTATION__OPTIONS__"


def keyed(events: Any) -> list[tuple[bytes, Any]]:
    return [((event.camera_id or "k").encode(), event) for event in events]


def encoded(scene: Scene, format_: str) -> bytes:
    target = io.BytesIO()
    pixels = np.frombuffer(scene.pixels, np.uint8).reshape(scene.height, scene.width, 3)
    Image.fromarray(pixels).save(target, format_)
    return target.getvalue()


def overlaps(found: dict[str, Any], names: list[str]) -> Any:
    """IoU by class over the scenes of these names."""
    masks = [unpack(found[name]["result"]["mask"], 64, 64) for name in names]
    return ious(pairs(np.stack(masks), np.stack(MASKS), len(LABELS)))


@pytest.mark.parametrize("way", ["wire", "shared memory"])
async def test_scenes_are_segmented_and_what_does_not_fit_says_why(
    stack: local.Stack, tmp_path: Path, way: str
) -> None:
    bench = ExampleBench(stack, tmp_path, "segmentation")
    bench.environ |= {
        f"{OPTION}FORMATS": '["raw", "png"]',
        "INFERSTREAM__PIPELINES__SEGMENTATION__SLO_MS": "5000",  # what is found is tested here, not how soon
        "INFERSTREAM__TRITON__SHARED_MEMORY": "auto" if way == "shared memory" else "off",
        "INFERSTREAM__TRITON__SHARED_MEMORY_MIN_BYTES": "10000",
    }
    as_png = [
        msgspec.structs.replace(event, image_id=f"png-{event.image_id}", pixels=encoded(event, "png"), format="png")
        for event in EVENTS
    ]
    good, png = EVENTS[0], as_png[0]
    bad = [
        msgspec.structs.replace(good, image_id="large", width=128),
        msgspec.structs.replace(good, image_id="cut", pixels=good.pixels[:-3]),
        msgspec.structs.replace(png, image_id="cut-png", pixels=png.pixels[:900]),
        msgspec.structs.replace(png, image_id="jpeg", pixels=encoded(good, "jpeg"), format="jpeg"),
    ]
    await bench.create_topics()
    async with bench.service() as service:
        await bench.send("segmentation", keyed(EVENTS), schema="scene.v1")
        await bench.send("segmentation", keyed([*as_png[:30], *bad, *as_png[30:]]))
        found = await bench.answers("segmentation", 124)
        report = await bench.audit("segmentation")
        regions = list(FOLDER.glob(f"{PREFIX}{service.process.pid}-*"))
        assert await service.terminate() == 0
    assert bool(regions) == (way == "shared memory")
    assert not any(region.exists() for region in regions)
    names = [event.image_id for event in EVENTS]
    assert {found[name]["outcome"] for name in names} == {"scored"}
    assert found[names[0]]["answered_by"] == {"kind": "model", "name": "segmentation_int8", "version": "1"}
    assert overlaps(found, names).mean() > 0.85
    for name, mask in zip(names, MASKS, strict=True):
        result = found[name]["result"]
        assert found[f"png-{name}"]["result"]["mask"] == result["mask"]
        assert sum(result["classes"].values()) == pytest.approx(1, abs=1e-4)
        assert result["classes"]["road"] == pytest.approx((mask == LABELS.index("road")).mean(), abs=0.05)
        assert result["reasons"] == (["ALERT_SHARE"] if result["classes"]["person"] >= 0.01 else [])
    said = details(found)
    assert said["large"] == "the event says 128x64; this pipeline takes 64x64 (options width, height)"
    assert said["cut"] == "raw image of 12285 bytes; 64x64 in 3 colours takes 12288"
    assert said["cut-png"] == "the png ends too soon or is damaged"
    assert said["jpeg"] == "an image in jpeg; this pipeline takes raw, png (option formats)"
    assert {found[name]["cause"] for name in said} == {"invalid"}
    assert (report.problems, report.inputs, report.repeats) == ({}, 124, 0)


async def test_labels_that_are_too_few_for_the_model_cost_the_events_that_show_it(
    stack: local.Stack, tmp_path: Path
) -> None:
    """How many classes a model knows cannot be asked: the first mask that names one without a label tells."""
    bench = ExampleBench(stack, tmp_path, "segmentation")
    bench.environ[f"{OPTION}LABELS"] = '["background", "road", "car", "person"]'
    await bench.create_topics()
    async with bench.service():
        await bench.send("segmentation", keyed(EVENTS[:20]))
        found = await bench.answers("segmentation", 20)
    said = details(found)
    assert set(said.values()) == {
        "the task's code failed on this event (tensor 'mask' names class 4; there are 4 labels (option labels))"
    }
    for event, mask in zip(EVENTS[:20], MASKS, strict=False):
        if (mask == LABELS.index("sign")).sum() > 20:
            assert event.image_id in said
    assert {outcome["outcome"] for outcome in found.values()} == {"scored", "dead_lettered"}
