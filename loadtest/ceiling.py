"""How near the service comes to the ceiling: the same records through pass-through and through the model.

`python -m loadtest.ceiling` brings up the local stack and alternates the two, each in a process of its own:
throughput from a backlog, CPU time per event, and latency at a low rate. It prints medians and their ratios.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from inferstream.errors import InferstreamError
from inferstream.events import headers
from inferstream.kafka import Reader
from inferstream.settings import KafkaSettings
from loadtest import contestants, topics
from loadtest.bench import Bench
from loadtest.cells import Spread
from loadtest.contestants import Job
from loadtest.errors import LoadTestError
from loadtest.place import save_load
from loadtest.processes import Child, Meter, end_cleanly_on_sigterm, environment
from loadtest.scenario import Scenario, parse

_SLO_MS = 3_600_000  # a backlog must not expire: this measures work, not deadlines
_CONTESTANTS = ("passthrough", "service")
_BACKLOG = "backlog"
_PARTITIONS = 4
_SCORED_SHARE = 0.99
_LONGEST_SECONDS = 300.0  # of a backlog; whoever needs longer has stopped


class Figures(NamedTuple):
    """One run of one contestant."""

    events_per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class Comparison:
    """The runs on one bench."""

    def __init__(self, bench: Bench, folder: Path, events: int, seconds: float, rate: int) -> None:
        self._bench = bench
        self._folder = folder
        self._events = events
        self._scenario = _low_rate(rate, seconds)
        self._runs = 0

    async def prepare(self) -> None:
        """Write the backlog that every run reads: events that are all due already."""
        kafka = self._bench.place.kafka
        topics.create(kafka, _BACKLOG, _PARTITIONS)
        save_load(self._folder, np.full(self._events, -1, np.int64), np.zeros(self._events, np.uint8))
        child = Child("generator", [sys.executable, "-m", "loadtest.generator"], environment(), self._folder / "log")
        await child.start(listens=True)
        plan = {
            "kafka": kafka,
            "topic": f"{_BACKLOG}-in",
            "partitions": _PARTITIONS,
            "codec": "msgpack",
            "seed": 1,
            "recording": None,
            "schedule": str(self._folder / "schedule.npy"),
            "classes": ["default"],
            "class_of": str(self._folder / "class_of.npy"),
            "result": str(self._folder / "left.npy"),
        }
        child.tell(plan)
        child.tell("begin")
        try:
            await child.fact("acknowledged", 120)
        finally:
            await child.clear()

    async def run(self, name: str) -> Figures:
        """One contestant: first the backlog, then the low rate."""
        self._runs += 1
        tag = f"drain-{name}-{self._runs}"
        kafka, triton = self._bench.place.kafka, self._bench.place.triton
        topics.create(kafka, tag, _PARTITIONS)
        job = Job(
            kafka, triton, "fraud", f"{_BACKLOG}-in", f"{tag}-out", f"{tag}-dead", tag, _SLO_MS, "msgpack", {}, {}
        )
        contestant = contestants.find(name)
        child = await contestant.start(job, self._folder / f"{tag}.log")
        try:
            events_per_s, cpu_us = await self._drain(child, job.target)
            await child.end()
            await self._check_scored(job.target)
        finally:
            await child.clear()
        latency = (await self._bench.run(name, self._scenario))["receipt_ms"]
        return Figures(events_per_s, cpu_us, latency["p50"], latency["p99"])

    async def _drain(self, child: Child, topic: str) -> tuple[float, float]:
        """Events per second and CPU microseconds per event, between the first tenth and the last outcome."""
        meter = Meter()
        meter.watch("contestant", child.pid)
        began: tuple[int, float] | None = None
        ends_at = time.monotonic() + _LONGEST_SECONDS
        async with Reader(topic, KafkaSettings(bootstrap_servers=self._bench.place.kafka)) as reader:
            while (done := sum((await reader.end_offsets()).values())) < self._events or began is None:
                if began is None and done >= self._events / 10:
                    began = (done, time.perf_counter())
                    meter.begin()
                if child.has_ended or time.monotonic() > ends_at:
                    raise LoadTestError(f"only {done} of {self._events} events came out: {child.last_words()}")
                await asyncio.sleep(0.02)
        took = time.perf_counter() - began[1]
        meter.look()
        count = max(1, done - began[0])
        return count / took, 1e6 * meter.seconds()["contestant"] / count

    async def _check_scored(self, topic: str) -> None:
        """Figures of a backlog that the fallback answered would be no ceiling of the model's."""
        counts: Counter[str] = Counter()
        async with Reader(topic, KafkaSettings(bootstrap_servers=self._bench.place.kafka)) as reader:
            async for records in reader.until(await reader.end_offsets()):
                counts.update(headers.text(record.headers, headers.OUTCOME) or "scored" for record in records)
        if counts["scored"] < _SCORED_SHARE * counts.total():
            raise LoadTestError(
                f"only {counts['scored']} of {counts.total()} events were scored, run it again: {counts}"
            )


def _low_rate(rate: int, seconds: float) -> Scenario:
    arrivals = {"kind": "constant", "rate": rate}
    content = {"name": "low_rate", "slo_ms": _SLO_MS, "arrivals": arrivals, "seconds": seconds, "warm_up_s": 1}
    return parse(content, "low_rate")


def ratios_of(service: Sequence[Figures], passthrough: Sequence[Figures]) -> dict[str, Spread]:
    """Service over pass-through, of each pair of neighbouring runs: a machine that drifts is the same to both."""
    pairs = list(zip(service, passthrough, strict=True))
    return {
        "throughput": Spread.of([ours.events_per_s / theirs.events_per_s for ours, theirs in pairs]),
        "p50 at the low rate": Spread.of([ours.p50_ms / theirs.p50_ms for ours, theirs in pairs]),
    }


def _report(runs: dict[str, list[Figures]], as_json: bool) -> None:
    median = {
        name: Figures(*(statistics.median(values) for values in zip(*rows, strict=True))) for name, rows in runs.items()
    }
    ratios = ratios_of(runs["service"], runs["passthrough"])
    if as_json:
        told = {name: ratio._asdict() for name, ratio in ratios.items()}
        print(json.dumps({name: figures._asdict() for name, figures in median.items()} | {"ratios": told}))
        return
    table = Table("", "events/s", "CPU µs/event", "p50 ms", "p99 ms", title=f"median of {len(runs['service'])} runs")
    for name, row in median.items():
        table.add_row(name, f"{row.events_per_s:,.0f}", f"{row.cpu_us:.1f}", f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}")
    console = Console()
    console.print(table)
    for name, ratio in ratios.items():
        said = f"median {ratio.median:.2f}, {ratio.low:.2f} to {ratio.high:.2f} in {ratio.rounds} runs"
        console.print(f"{name} of the service over that of pass-through: {said}")


async def main(arguments: argparse.Namespace) -> None:
    """All runs, alternating."""
    end_cleanly_on_sigterm()
    async with Bench(arguments.kafka, progress=_tell) as bench:
        folder = bench.place.folder / "ceiling"
        folder.mkdir(parents=True)
        comparison = Comparison(bench, folder, arguments.events, arguments.seconds, arguments.rate)
        await comparison.prepare()
        runs: dict[str, list[Figures]] = {name: [] for name in _CONTESTANTS}
        for number in range(arguments.runs):
            for name, rows in runs.items():
                rows.append(await comparison.run(name))
                _tell(f"run {number + 1} {name}: {rows[-1]}")
        _report(runs, arguments.json)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--kafka", choices=["embedded", "apache"], default="embedded")
    parser.add_argument("--json", action="store_true")
    try:
        asyncio.run(main(parser.parse_args()))
    except InferstreamError as error:
        sys.exit(f"loadtest: error: {error}")
