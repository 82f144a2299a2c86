"""A producer that is given up is closed, whenever the end comes."""

import asyncio

import pytest

from inferstream.kafka import supervisor
from inferstream.kafka.limits import RecordLimits
from inferstream.kafka.supervisor import Supervisor
from inferstream.settings import KafkaSettings


class Producers:
    """Made by number; knows which are open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self.open: set[int] = set()
        monkeypatch.setattr(supervisor, "make_producer", self._make)
        monkeypatch.setattr(supervisor, "start_producer", self._start)
        monkeypatch.setattr(supervisor, "discard", self._discard)

    def _make(self, *settings: object, **how: object) -> int:
        self.made += 1
        return self.made

    async def _start(self, producer: int, *settings: object) -> None:
        self.open.add(producer)

    async def _discard(self, producer: int) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.open.discard(producer)


@pytest.mark.parametrize("turns", range(8))
async def test_no_producer_is_left_open_however_soon_the_end_follows(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """Of one that is being replaced: not begun, begun, or done, by how often the loop has turned."""
    producers, settings = Producers(monkeypatch), KafkaSettings()
    made = Supervisor(settings, RecordLimits(settings, {}))
    await made.start(1.0)
    assert producers.open == {1}
    made.replace(await made.producer(), "refused")
    for _ in range(turns):
        await asyncio.sleep(0)
    await made.stop()
    assert producers.open == set()
