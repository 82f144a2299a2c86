"""The live page of `run --workers`: the parent's, about all workers."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.unit.workers.fake_worker import State

from inferstream.settings import Settings, WebSettings
from inferstream.signals import Miss
from inferstream.workers.supervisor import Supervisor

pytestmark = pytest.mark.timeout(60)


def miss(partition: int, at_ms: int) -> Miss:
    return Miss(at_ms, "fraud", "default", partition, 7, "expired", "too_late", 3.0, 1, 2, 3, 4)


def supervisor(folder: Path, **web: Any) -> Supervisor:
    settings = Settings(web=WebSettings(host="127.0.0.1", port=0, **web), drain_timeout_ms=1_000)
    command = [str(Path(__file__).with_name("fake_worker.py")), str(folder)]
    return Supervisor(settings, 2, command)


async def test_it_shows_the_sum_of_the_workers_and_the_newest_of_their_misses(tmp_path: Path) -> None:
    states = [State(queued=2, missed=(miss(0, 1_000), miss(0, 3_000))), State(queued=5, missed=(miss(1, 2_000),))]
    for number, state in enumerate(states):
        (tmp_path / f"{number}.json").write_bytes(msgspec.json.encode(state))
    parent = supervisor(tmp_path, page=True)
    run = asyncio.create_task(parent.run())
    try:
        async with asyncio.timeout(40):
            while not parent.web.port:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            frame = await _frame_of_two(f"http://127.0.0.1:{parent.web.port}/live")
    finally:
        parent.stop()
        assert await run == 0
    assert frame["not_ready"] is None
    assert frame["pipelines"][0]["queued"] == 7
    assert [(one["partition"], one["at_ms"]) for one in frame["missed"]] == [(0, 3_000), (1, 2_000), (0, 1_000)]


async def _frame_of_two(url: str) -> dict[str, Any]:
    """The first frame that is about two workers that are ready."""
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        while line := await answer.content.readline():
            if line.startswith(b"data: {"):
                frame: dict[str, Any] = msgspec.json.decode(line[6:])
                if frame["workers"] == 2:
                    return frame
    raise AssertionError("the stream ended")
