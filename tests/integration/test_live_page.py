"""The live page of a real service: of one process, and of several behind one port."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.integration.conftest import PARTITIONS, Bench

from inferstream.testing import ServiceProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
EVENTS = 200


async def frames(service: ServiceProcess) -> AsyncIterator[dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(service.url("live")) as answer:
        while line := await answer.content.readline():
            if line.startswith(b"data: {"):
                yield msgspec.json.decode(line[6:])


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_shows_all_that_is_answered_and_what_was_missed(bench: Bench, workers: int) -> None:
    await bench.create_topics()
    wanted = {"INFERSTREAM__WEB__PAGE": "true", "INFERSTREAM__WORKERS": str(workers)}
    async with bench.service(wanted) as service:
        assert await service.status("") == 200
        sending = asyncio.create_task(bench.send(EVENTS, rate=100, poison_every=20))
        rates = []
        async with asyncio.timeout(120):
            async for frame in frames(service):
                (pipeline,) = frame["pipelines"]
                rates.append(pipeline["per_second"] or 0.0)
                answered = sum(one["since_start"] for one in pipeline["outcomes"])
                if answered == EVENTS and frame["missed"]:
                    break
        await sending
    assert max(rates) > 5
    assert frame["workers"] == (None if workers == 1 else workers)
    assert frame["not_ready"] is None
    assert pipeline["partitions"] == PARTITIONS
    assert {one["name"] for one in pipeline["endpoints"]} == {"endpoint 1"}
    assert {one["outcome"] for one in frame["missed"]} <= {"dead_lettered", "fallback", "expired", "scored"}
    assert "dead_lettered" in {one["outcome"] for one in frame["missed"]}
    assert bench.settings.triton.url not in str(frame)


async def test_where_the_setting_says_so_the_port_shows_none(bench: Bench) -> None:
    await bench.create_topics()
    bench.environ["INFERSTREAM__WEB__PAGE"] = "false"
    async with bench.service() as service:
        assert await service.status("") == await service.status("live") == 404
        assert await service.status("metrics") == 200
