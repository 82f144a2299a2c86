"""All pipelines in one process: each kind of event is answered by its own model, beside all the others."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.integration.examples import ExampleBench, details

from inferstream import local
from inferstream.needs import load_tasks, models_on_triton
from inferstream.operate.demo.shows import show_of
from inferstream.operate.pipelines import choose

GOOD = 5


def traffic(bench: ExampleBench, pipeline: str) -> list[tuple[bytes, Any]]:
    """A few good events, and a broken one."""
    show = show_of(choose(bench.settings, pipeline).task)
    events = [event for event, _ in itertools.islice(show.stream(11), GOOD)]
    return [*((show.key(event), event) for event in events), (b"k", b"\xc1")]


@pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True)
async def test_every_kind_of_event_is_answered_by_its_own_model(stack: local.Stack, tmp_path: Path) -> None:
    bench = ExampleBench(stack, tmp_path, "everything")
    settings, tasks = bench.settings, load_tasks(bench.settings)
    prepared = await asyncio.to_thread(lambda: {name: traffic(bench, name) for name in tasks})
    await bench.create_topics()
    async with bench.service() as service:
        await asyncio.gather(*(bench.send(name, events) for name, events in prepared.items()))
        answers = {name: await bench.answers(name, GOOD + 1) for name in tasks}
        assert await service.terminate() == 0
    for name, task in tasks.items():
        model, _ = models_on_triton(settings, name, task)["model"]
        scored = [o for o in answers[name].values() if o["outcome"] == "scored"]
        assert [(o["answered_by"]["kind"], o["answered_by"]["name"]) for o in scored] == [("model", model)] * GOOD, name
        assert all(o["pipeline"] == name and o["result"] for o in scored)
        assert list(details(answers[name]).values()) == ["not readable as this codec (DecodeError)"]
        report = await bench.audit(name)
        assert (report.problems, report.inputs) == ({}, GOOD + 1), name
