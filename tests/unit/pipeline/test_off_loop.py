"""A task that takes its time per batch runs beside the event loop, and is isolated as any other."""

import asyncio
import io
import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from tests.unit.pipeline.world import World, encode, running

from inferstream.tasks import Task, TensorSpec, Unusable
from inferstream.tasks.segmentation import Scene
from inferstream.tasks.segmentation.images import pixels
from inferstream.testing import MeanTask


class Aside(MeanTask):
    """Notes the threads it is called on; knows events it cannot use, and some that its code fails on."""

    off_loop: ClassVar[bool] = True
    threads: ClassVar[set[str]] = set()

    def tensors(self, events: Sequence[Any]) -> Any:
        self.threads.add(threading.current_thread().name)
        if any(event.id.startswith("unusable") for event in events):
            raise Unusable("three wheels came; four are wanted")
        if any(event.id.startswith("bad-tensors") for event in events):
            raise KeyError("personal data")
        return super().tensors(events)

    def decide(self, events: Sequence[Any], tensors: Any, outputs: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        if any(event.id.startswith("bad-decide") for event in events):
            raise ZeroDivisionError
        return super().decide(events, tensors, outputs)

    def rules(self, events: Sequence[Any], tensors: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        return super().rules(events, tensors)


class Beside(Aside):
    off_loop: ClassVar[bool] = False
    threads: ClassVar[set[str]] = set()


@pytest.mark.parametrize("model_is_up", [True, False])
@pytest.mark.parametrize("kind", [Aside, Beside])
async def test_each_event_costs_itself_only_on_whichever_thread(kind: type[Aside], model_is_up: bool) -> None:
    kind.threads.clear()
    world = World(kind(), slo_ms=2_000)
    world.model.is_up = model_is_up
    names = ["a", "unusable-1", "b", "bad-tensors-1", "c", *(["bad-decide-1"] if model_is_up else []), "d"]
    for name in names:
        world.write(encode({"id": name, "values": [1.0, 2.0, 3.0]}))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == len(names))
    said = {o["event_id"]: (o["outcome"], o.get("cause"), o.get("detail")) for o in world.outcomes()}
    good = ("scored", None, None) if model_is_up else ("fallback", "model_unavailable", None)
    assert [said.pop(name) for name in "abcd"] == [good] * 4
    assert said.pop("unusable-1") == ("dead_lettered", "invalid", "three wheels came; four are wanted")
    assert {(outcome, cause) for outcome, cause, _ in said.values()} == {("dead_lettered", "task_failed")}
    assert "personal data" not in str(world.outcomes())
    assert ("MainThread" in kind.threads) != kind.off_loop


class Picture(Task):
    """Decodes a large image for every event."""

    event_type: ClassVar[type] = Scene
    event_id: ClassVar[str] = "image_id"
    off_loop: ClassVar[bool] = True
    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("image", "UINT8", (1_500, 2_000, 3)),)
    outputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("light", "FP32", (1,)),)

    decoding: ClassVar[list[float]] = []  # when the last batch was begun with, and when it was done

    def tensors(self, events: Sequence[Any]) -> Any:
        began = time.perf_counter()
        image = np.stack([pixels(event, ["png"], (1_500, 2_000), 10_000_000) for event in events])
        self.decoding[:] = [began, time.perf_counter()]
        return {"image": image}

    def decide(self, events: Sequence[Any], tensors: Any, outputs: Any) -> Any:
        return outputs["light"][:, 0].tolist()


async def test_what_the_model_misses_is_not_decoded_where_nobody_else_could_answer() -> None:
    """Or an overload would spend itself on images that are late already."""
    world = World(Picture())
    world.model.is_up = False
    world.write(encode(Scene("missed", 0, 2_000, 1_500, b"never looked at", "png")))
    async with running(world.pipeline()):
        await world.until(lambda: world.committed() == 1)
    (outcome,) = world.outcomes()
    assert (outcome["outcome"], outcome["cause"]) == ("expired", "no_fallback")


async def test_the_loop_turns_while_large_images_are_decoded() -> None:
    """On the loop one of them holds everything up for as long as its decoding takes."""
    noise = np.random.default_rng(0).integers(0, 256, (1_500, 2_000, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).save(target, "png", compress_level=1)
    event = encode(Scene("large", 0, 2_000, 1_500, target.getvalue(), "png"))
    world = World(Picture(), slo_ms=60_000, max_event_bytes=2**26)
    turns: list[float] = []

    async def turn() -> None:
        while True:
            turns.append(time.perf_counter())
            await asyncio.sleep(0.002)

    async with running(world.pipeline()):
        turning = asyncio.create_task(turn())
        world.write(event)
        await world.until(lambda: world.committed() == 1, timeout=30)
        turning.cancel()
    assert world.outcomes()[0]["outcome"] == "scored"
    began, ended = Picture.decoding
    assert len([at for at in turns if began < at < ended]) >= 3  # on the loop it is none
