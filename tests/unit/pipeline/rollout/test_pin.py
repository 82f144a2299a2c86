"""A running pipeline follows the version that is pinned, endpoint by endpoint, and keeps what works."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import pytest
from structlog.testing import capture_logs
from tests.unit.pipeline.world import Clock

from inferstream.errors import ContractMismatch, InferstreamError, Unavailable
from inferstream.pipeline.rollout.pin import Pinned
from inferstream.policy.pin import Pin, pin_note
from inferstream.signals import Signals


class Board:
    """Notes that are written by hand."""

    def __init__(self) -> None:
        self.pin: Pin | None = None
        self.trouble: InferstreamError | None = None
        self.is_stopped = False

    async def notes(self) -> Mapping[int, str]:
        if self.trouble is not None:
            raise self.trouble
        return {} if self.pin is None else {0: pin_note(self.pin)}

    async def annotate(self, notes: Mapping[int, str]) -> None:
        raise AssertionError("a service never pins")

    async def stop(self) -> None:
        self.is_stopped = True


class Served:
    """A model of which some versions are ready."""

    def __init__(self, url: str, version: str, *ready: str) -> None:
        self.url = url
        self.version = version
        self.ready = set(ready)

    async def turn_to(self, version: str) -> None:
        if version != self.version and version not in self.ready:
            raise Unavailable(f"version '{version}' is not ready")
        self.version = version


class World:
    def __init__(self, configured: str = "", **endpoints: tuple[str, ...]) -> None:
        self.board, self.signals = Board(), Signals()
        self.pinned = Pinned("p", ("fraud", configured), self.board, Clock(), self.signals)
        self.models = {url: Served(url, configured, *ready) for url, ready in endpoints.items()}
        self.pinned.models = list(self.models.values())

    async def follow(self, seconds: float = 0.05) -> None:
        """Let it look once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.pinned.run()

    def versions(self) -> list[str]:
        return [model.version for model in self.models.values()]


async def test_without_a_note_the_settings_hold() -> None:
    world = World("3", a=("3", "4"))
    await world.follow()
    assert world.versions() == ["3"]


async def test_what_is_pinned_is_asked_and_shown() -> None:
    world = World("1", a=("1", "2"))
    world.board.pin = Pin("fraud", "2", "1")
    await world.follow()
    assert world.versions() == ["2"]
    assert world.signals.model_version.total(endpoint="a") == 2


async def test_it_is_known_before_the_models_are_made() -> None:
    world = World("1")
    world.board.pin = Pin("fraud", "2", "1")
    await world.pinned.read()
    assert world.pinned.version == "2"


async def test_an_endpoint_where_it_is_not_ready_keeps_the_old_one_says_so_once_and_follows_later() -> None:
    world = World("1", a=("1", "2"), b=("1",))
    world.board.pin = Pin("fraud", "2", "1")
    with capture_logs() as logs:
        await world.follow(1.3)  # looked at three times
    assert world.versions() == ["2", "1"]
    assert [entry["where"] for entry in logs if entry["event"] == "model_pin_not_followed"] == ["b"]
    world.models["b"].ready.add("2")
    await world.follow()
    assert world.versions() == ["2", "2"]


async def test_a_pin_without_a_version_gives_the_settings_back() -> None:
    world = World("1", a=("1", "2"))
    world.board.pin = Pin("fraud", "2", "1")
    await world.follow()
    world.board.pin = Pin("fraud")
    await world.follow()
    assert world.versions() == ["1"]


async def test_a_pin_of_another_model_is_ignored() -> None:
    world = World("1", a=("1", "2"))
    world.board.pin = Pin("another", "2", "1")
    await world.follow()
    assert world.versions() == ["1"]


@pytest.mark.parametrize("trouble", [Unavailable("away"), ContractMismatch("no right to it")])
async def test_without_notes_what_was_known_last_holds(trouble: InferstreamError) -> None:
    world = World("1", a=("1", "2", "3"))
    world.board.pin = Pin("fraud", "2", "1")
    await world.follow()
    world.board.trouble = trouble
    await world.follow()
    world.board.pin = None  # as a broker says that does not know yet
    world.board.trouble = None
    await world.follow()
    assert world.versions() == ["2"]
    assert world.board.is_stopped == isinstance(trouble, ContractMismatch)


async def test_a_canary_is_resumed_once_for_each_time_it_is_told() -> None:
    world, heard = World("1"), []
    world.board.pin = Pin("fraud", resumed_unix_ms=5)
    await world.pinned.read()  # long ago, before this process
    world.pinned.when_resumed = lambda: heard.append(1)
    await world.pinned.read()
    assert heard == []
    world.board.pin = Pin("fraud", resumed_unix_ms=6)
    await world.pinned.read()
    await world.pinned.read()
    assert heard == [1]
