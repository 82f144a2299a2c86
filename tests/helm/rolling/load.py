"""A steady load for a while, and what became of every event of it."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from loadtest import collector
from loadtest.account import Books, settle
from loadtest.errors import LoadTestError
from loadtest.events import simulated
from loadtest.processes import Child, environment
from tests.helm.rolling.silences import Ints

_READY_SECONDS, _PREPARE_SECONDS, _QUIET_SECONDS = 30.0, 120.0, 30.0
_REPEATS_SECONDS = 1.0
WARM_UP_SECONDS = 5.0
"""Of each load, which are not counted: on a stack that has just begun the first events are late for its own sake."""
_SEED = 7
PARTITIONS = 6


class Load(NamedTuple):
    """So many events a second for so long, into topics named after a tag."""

    kafka: str
    tag: str
    events_per_second: float
    seconds: float
    slo_ms: int
    folder: Path


class Seen(NamedTuple):
    """The books of a load after its warm-up, and which partition each event was for."""

    books: Books
    partitions: Ints


async def under(load: Load, act: Callable[[], Awaitable[None]], after_seconds: float) -> Seen:
    """The load, and what is done under it. Raises LoadTestError, also if that took longer than the load."""
    load.folder.mkdir(parents=True)
    schedule = (np.arange(int(load.events_per_second * load.seconds)) / load.events_per_second * 1e9).astype(np.int64)
    collecting, generating = (_child(name, load.folder) for name in ("collector", "generator"))
    try:
        begin_ns = await _start(collecting, generating, load, schedule)
        acting = asyncio.create_task(_later(act, begin_ns / 1e9 + after_seconds))
        sent = await generating.fact("failed", load.seconds + _PREPARE_SECONDS)
        if not acting.done():
            acting.cancel()
            raise LoadTestError(f"what was to be done took longer than the load of {load.seconds:.0f} s: --seconds")
        await acting
        if sent["failed"]:
            raise LoadTestError(f"{sent['failed']} events were not acknowledged to the generator")
        await _until_seen(collecting, len(schedule))
    finally:
        for child in (collecting, generating):
            await child.clear()
    received = collector.load(load.folder / "received.npz")
    warm_up = schedule < WARM_UP_SECONDS * 1e9
    books = settle(schedule + begin_ns, received, load.slo_ms, warm_up)
    drafts = simulated(len(schedule), "msgpack", _SEED, PARTITIONS, 0)
    return Seen(books, np.array([draft.partition for draft in drafts], np.int64)[~warm_up])


async def _later(act: Callable[[], Awaitable[None]], at_unix_seconds: float) -> None:
    await asyncio.sleep(at_unix_seconds - time.time())
    await act()


async def _until_seen(collecting: Child, expected: int) -> None:
    """Every event has an outcome, or nothing more comes; then what comes twice would have come."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_SECONDS):
            while (await collecting.fact("seen", _READY_SECONDS))["seen"] < expected:
                pass
            await asyncio.sleep(_REPEATS_SECONDS)
    collecting.tell("stop")
    await collecting.fact("records", _READY_SECONDS)


def _child(name: str, folder: Path) -> Child:
    return Child(name, [sys.executable, "-m", f"loadtest.{name}"], environment(), folder / f"{name}.log")


async def _start(collecting: Child, generating: Child, load: Load, schedule: Ints) -> int:
    """Both, and when the first event is due, in unix ns."""
    files = {name: load.folder / f"{name}.npy" for name in ("schedule", "class_of", "left")}
    np.save(files["schedule"], schedule)
    np.save(files["class_of"], np.zeros(len(schedule), np.uint8))
    await collecting.start(listens=True)
    collecting.tell(
        {
            "kafka": load.kafka,
            "output": f"{load.tag}-out",
            "dead_letters": f"{load.tag}-dead",
            "expected": len(schedule),
            "from_end": True,
            "result": str(load.folder / "received.npz"),
        }
    )
    await collecting.fact("ready", _READY_SECONDS)
    await generating.start(listens=True)
    generating.tell(
        {
            "kafka": load.kafka,
            "topic": f"{load.tag}-in",
            "partitions": PARTITIONS,
            "schedule": str(files["schedule"]),
            "classes": ["default"],
            "class_of": str(files["class_of"]),
            "codec": "msgpack",
            "seed": _SEED,
            "recording": None,
            "result": str(files["left"]),
        }
    )
    await generating.fact("prepared", _PREPARE_SECONDS)
    generating.tell("begin")
    begin_ns: int = (await generating.fact("begin_unix_ns", _PREPARE_SECONDS))["begin_unix_ns"]
    return begin_ns
