"""A run of chaos from start to end: stage, load, nemesis, healing, history, verdict."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from tests.chaos import collect
from tests.chaos.checker import Bounds, check
from tests.chaos.errors import ChaosError
from tests.chaos.figures import Figures, sum_up
from tests.chaos.history import Fault, History
from tests.chaos.nemesis import Aim, Nemesis
from tests.chaos.observer import Observer, end_offsets
from tests.chaos.options import GROUP, INPUT, LETTERS, OUTPUT, PARTITIONS, REBALANCE_SECONDS, SLO_MS, Options
from tests.chaos.producer import Plan
from tests.chaos.stage import Stage, child, staged

_POISON_EVERY = 100
_FIRST_COMMIT_SECONDS = 90.0
_LAST_ACK_SECONDS = 600.0
_LOOK_SECONDS = 0.5


class Suffered(NamedTuple):
    """What is only known while it happens."""

    faults: list[Fault]
    healed_ms: int
    ended_ms: int


async def run(options: Options, folder: Path, tell: Callable[[str], None]) -> Figures:
    """Raises ChaosError if there was no run; whatever happens, nothing of it is left running."""
    began = time.monotonic()
    async with staged(options, folder, tell) as stage:
        suffered = await _suffer(options, stage, tell)
        codes = await stage.workers.end()
        stage.observer.stop()
        tell("reading the history and checking it")
        history = await asyncio.to_thread(_history, options, stage, suffered)
        findings = await asyncio.to_thread(check, history, bounds(options))
    return sum_up(
        history,
        findings,
        options=msgspec.to_builtins(options),
        seconds=time.monotonic() - began,
        exit_codes=codes,
    )


def bounds(options: Options) -> Bounds:
    """What is still right in a run with these options."""
    settle_seconds = options.session_seconds + 2 * REBALANCE_SECONDS
    return Bounds(settle_ms=int(settle_seconds * 1000), stuck_ms=int(options.stuck_seconds * 1000))


async def _suffer(options: Options, stage: Stage, tell: Callable[[str], None]) -> Suffered:
    """Load and nemesis; then everything is whole and answered, or stuck."""
    acks = _acks(stage.folder)
    producer = await child("producer", stage.folder, stage.janitor)
    try:
        rate = options.events_per_second
        tell(f"sending {options.events:,} events, {rate:,.0f} a second, seed {options.seed}")
        bootstrap = stage.cluster.bootstrap
        producer.tell(Plan(bootstrap, INPUT, PARTITIONS, options.events, rate, _POISON_EVERY, options.seed, str(acks)))
        await _until_first_commit(stage)
        nemesis = Nemesis(stage.cluster, stage.client_ports, stage.proxy, stage.triton, stage.workers)
        aim = Aim(options.workers, options.kills, options.zombies, options.seconds, options.session_seconds)
        await nemesis.run(options.seed, aim)
        healed_ms = _now_ms()
        tell("healed; waiting until everything is answered")
        sent = await producer.fact("sent", options.seconds + _LAST_ACK_SECONDS)
        if sent["failed"]:
            raise ChaosError(f"{sent['failed']} events were not acknowledged to the producer")
    finally:
        await producer.clear()
    ends = await asyncio.to_thread(end_offsets, stage.cluster.direct, INPUT)
    await _until_done(stage.observer, {p: end for p, end in ends.items() if end}, options.stuck_seconds)
    return Suffered(nemesis.faults, healed_ms, _now_ms())


async def _until_first_commit(stage: Stage) -> None:
    deadline = time.monotonic() + _FIRST_COMMIT_SECONDS
    while not stage.observer.committed():
        stage.workers.check()
        if time.monotonic() > deadline:
            raise ChaosError(f"the service committed nothing in {_FIRST_COMMIT_SECONDS:.0f} s; see {stage.folder}")
        await asyncio.sleep(_LOOK_SECONDS)


async def _until_done(observer: Observer, ends: Mapping[int, int], stuck_seconds: float) -> None:
    """Every event's offset is committed, or nothing has moved for longer than is right."""
    last, moved = observer.committed(), time.monotonic()
    while last != ends and time.monotonic() - moved < stuck_seconds + 5:
        await asyncio.sleep(_LOOK_SECONDS)
        now = observer.committed()
        if now != last:
            last, moved = now, time.monotonic()


def _history(options: Options, stage: Stage, suffered: Suffered) -> History:
    """From topics and logs, kept in the folder as well. Blocks."""
    brokers = stage.cluster.direct
    sent, unacknowledged = collect.read_sent(brokers, INPUT, collect.read_acks(_acks(stage.folder)), SLO_MS)
    history = History(
        group=GROUP,
        topic=INPUT,
        exactly_once=options.delivery == "exactly_once",
        sent=sent,
        unacknowledged=unacknowledged,
        committed_view=collect.read_written(brokers, OUTPUT, "read_committed"),
        uncommitted_view=collect.read_written(brokers, OUTPUT, "read_uncommitted"),
        seen_live=stage.observer.seen,
        letters=collect.read_letters(brokers, LETTERS),
        commits=stage.observer.commits,
        faults=sorted([*suffered.faults, *stage.workers.ended_alone], key=lambda fault: fault.began_ms),
        healed_ms=suffered.healed_ms,
        ended_ms=suffered.ended_ms,
    )
    (stage.folder / "history.msgpack").write_bytes(msgspec.msgpack.encode(history))
    return history


def _acks(folder: Path) -> Path:
    return folder / "acks.bin"


def _now_ms() -> int:
    return int(time.time() * 1000)
