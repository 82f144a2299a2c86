"""Regions of shared memory: used again and again, by one call at a time, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from inferstream.triton import shared_memory
from inferstream.triton.shared_memory import Region, SharedMemory, orphans

KIB = 2**10


class Refused(grpc.RpcError):  # type: ignore[misc]
    """As a server answers that cannot do it."""

    def __init__(self, code: grpc.StatusCode, details: str = "no") -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


class Server:
    """What a server knows of our regions; it refuses what it is told to."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.in_use: set[str] = set()
        self.refuses: Refused | None = None

    async def ask(self, method: str, message: Any, timeout: float) -> None:
        if self.refuses is not None:
            raise self.refuses
        if method == "SystemSharedMemoryRegister":
            self.known.add(message.name)
        elif message.name in self.in_use:
            raise Refused(grpc.StatusCode.INTERNAL, "it is currently in use")
        else:
            self.known.discard(message.name)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of these tests only; the pause between two attempts is short."""
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    monkeypatch.setattr(shared_memory, "_PAUSE_SECONDS", 0.01)
    return tmp_path


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def shared(server: Server) -> AsyncIterator[SharedMemory]:
    made = SharedMemory(server.ask, 100 * KIB, doubt_seconds=0.2)
    yield made
    await made.stop()


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


async def taken(shared: SharedMemory, size_bytes: int) -> Region:
    """A region, as soon as there is one."""
    async with asyncio.timeout(5):
        while (region := shared.take(size_bytes)) is None:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
    return region


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_call_never_waits_for_a_region_and_finds_the_same_one_again(shared: SharedMemory) -> None:
    assert shared.take(200 * KIB) is None
    region = await taken(shared, 200 * KIB)
    assert region.size_bytes >= 200 * KIB
    shared.give_back(region, "answered")
    assert shared.take(150 * KIB) is region


async def test_two_calls_at_once_have_two_regions(shared: SharedMemory) -> None:
    first = await taken(shared, 200 * KIB)
    second = await taken(shared, 200 * KIB)
    assert first is not second
    first.memory[:5], second.memory[:5] = b"first", b"other"
    assert first.memory[:5] == b"first"


async def test_a_small_call_goes_over_the_wire(shared: SharedMemory, own_folder: Path) -> None:
    assert shared.take(99 * KIB) is None
    await asyncio.sleep(0.05)
    assert not files(own_folder)


async def test_a_region_whose_call_was_given_up_is_not_used_again_and_goes_when_the_server_is_done(
    shared: SharedMemory, server: Server, own_folder: Path
) -> None:
    region = await taken(shared, 200 * KIB)
    server.in_use.add(region.key)
    shared.give_back(region, "given up")
    other = await taken(shared, 200 * KIB)
    assert other is not region
    await asyncio.sleep(0.4)
    assert region.key in files(own_folder)
    server.in_use.clear()
    await until(lambda: files(own_folder) == {other.key} == server.known)


async def test_after_a_restart_of_the_server_all_regions_are_new(shared: SharedMemory, server: Server) -> None:
    lent, idle = await taken(shared, 200 * KIB), await taken(shared, 200 * KIB)
    shared.give_back(idle, "answered")
    server.known.clear()
    shared.refused(idle, "unknown region")
    shared.give_back(lent, "answered")
    again = await taken(shared, 200 * KIB)
    assert again not in (lent, idle)
    await until(lambda: server.known == {again.key})


async def test_a_server_that_cannot_is_not_asked_again_and_that_is_told_once(
    shared: SharedMemory, server: Server, own_folder: Path
) -> None:
    told: list[str] = []
    shared.when_off = told.append
    server.refuses = Refused(grpc.StatusCode.INTERNAL, "Unable to open shared memory region")
    for _ in range(20):
        assert shared.take(200 * KIB) is None
        await asyncio.sleep(0.01)
    assert told == ["Unable to open shared memory region"]
    server.refuses = None
    await until(lambda: not files(own_folder))
    assert shared.take(200 * KIB) is None


async def test_a_server_that_takes_regions_and_no_call_with_them_is_given_up_on(shared: SharedMemory) -> None:
    told: list[str] = []
    shared.when_off = told.append
    for _ in range(2):
        region = await taken(shared, 200 * KIB)
        shared.give_back(region, "refused")
        shared.refused(region, "not here")
    assert told == ["not here"]


async def test_a_server_that_is_away_is_asked_again(shared: SharedMemory, server: Server) -> None:
    server.refuses = Refused(grpc.StatusCode.UNAVAILABLE)
    assert shared.take(200 * KIB) is None
    await asyncio.sleep(0.05)
    server.refuses = None
    await taken(shared, 200 * KIB)


async def test_where_there_is_no_memory_the_wire_is_used(
    shared: SharedMemory, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for _ in range(10):
        assert shared.take(200 * KIB) is None
        await asyncio.sleep(0.01)
    assert not files(own_folder)


async def test_what_all_regions_take_is_bounded(
    shared: SharedMemory, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones that lie idle give way to a large one; with all in use there is no more."""
    monkeypatch.setattr(shared_memory, "_MOST_BYTES", 1024 * KIB)
    for region in [await taken(shared, 256 * KIB) for _ in range(3)]:
        shared.give_back(region, "answered")
    large = await taken(shared, 1024 * KIB)
    assert files(own_folder) == {large.key}
    assert shared.take(256 * KIB) is None
    await asyncio.sleep(0.05)
    assert files(own_folder) == {large.key}


async def test_at_the_end_nothing_is_left(shared: SharedMemory, server: Server, own_folder: Path) -> None:
    lent, idle = await taken(shared, 200 * KIB), await taken(shared, 200 * KIB)
    shared.give_back(idle, "answered")
    assert files(own_folder) == {lent.key, idle.key}
    await shared.stop()
    assert not files(own_folder)
    assert not server.known


@pytest.fixture
def killed(own_folder: Path) -> str:
    """Key of the region that a process had which was killed; while it lived, its region was nobody's to clean."""
    code = (
        "import sys, time; from pathlib import Path; from inferstream.triton import shared_memory as s;"
        "s.FOLDER = Path(sys.argv[1]); region = s.Region(4096); print(region.key, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(own_folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        key = other.stdout.readline().strip()
        assert list(orphans()) == []
        other.send_signal(signal.SIGKILL)
    return key


async def test_what_a_killed_process_left_is_cleaned_away_and_what_lives_is_not(
    server: Server, own_folder: Path, killed: str
) -> None:
    server.known.add(killed)
    living = Region(4096)
    assert list(orphans()) == [killed]
    shared = SharedMemory(server.ask, 1)
    await until(lambda: files(own_folder) == {living.key})
    assert killed not in server.known
    await shared.stop()
    living.close()
