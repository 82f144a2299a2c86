"""How near the service comes to the ceiling: the same records through pass-through and through the model.

`python -m loadtest.ceiling` brings up the local stack and alternates the two, each in a process of its own:
throughput from a backlog, CPU time per event, and latency at a low rate. It prints medians and their ratios.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from inferstream import local, settings
from inferstream.events import headers
from inferstream.kafka import Admin, KafkaSink, Reader
from inferstream.pipeline.interfaces import OutRecord
from inferstream.traffic import stream

PARTITIONS = 4
SENT_NS = "sent-ns"
_SLO_MS = 3_600_000  # a backlog must not expire: this measures work, not deadlines
_TICK = 0.002


class Run(NamedTuple):
    """One run of one contestant."""

    events_per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class Bench:
    """One local stack and the runs on it."""

    def __init__(self, endpoints: local.Endpoints, events: int, latency_seconds: float, rate: int) -> None:
        self._environ = {
            "INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": endpoints.kafka,
            "INFERSTREAM__TRITON__URL": endpoints.triton,
            "INFERSTREAM__WEB__PORT": "0",
            "INFERSTREAM__LOG__LEVEL": "warning",
            "INFERSTREAM__PIPELINES__FRAUD__SLO_MS": str(_SLO_MS),
        }
        self._kafka = settings.load(environ=self._environ).kafka
        self._events = events
        self._latency_seconds = latency_seconds
        self._rate = rate
        self._runs = 0

    async def prepare(self) -> None:
        """Write the backlog that every run reads."""
        async with Admin(self._kafka) as admin:
            await admin.create_topics({"backlog": PARTITIONS, "dead-letters": 1})
        sink = KafkaSink(self._kafka)
        await sink.start()
        encode, now = msgspec.msgpack.encode, int(time.time() * 1000)
        lists: list[list[OutRecord]] = [[] for _ in range(PARTITIONS)]
        for number, (transaction, _) in zip(range(self._events), stream(seed=1), strict=False):
            record = OutRecord(transaction.card_id.encode(), encode(transaction), [], now)
            lists[number % PARTITIONS].append(record)
        for partition, records in enumerate(lists):
            for start in range(0, len(records), 1_000):
                await sink.send("backlog", partition, records[start : start + 1_000])
        await sink.stop()

    async def run(self, contestant: str) -> Run:
        """One contestant: first the backlog, then the low rate."""
        self._runs += 1
        tag = f"{contestant}-{self._runs}"
        live, out_backlog, out_live = f"live-{tag}", f"out-backlog-{tag}", f"out-live-{tag}"
        async with Admin(self._kafka) as admin:
            await admin.create_topics({live: PARTITIONS, out_backlog: PARTITIONS, out_live: PARTITIONS})
        async with self._process(contestant, "backlog", out_backlog, f"g-{tag}-1") as process:
            events_per_s, cpu_us = await self._drain(process, out_backlog)
        async with self._process(contestant, live, out_live, f"g-{tag}-2"):
            p50, p99 = await self._latency(live, out_live)
        return Run(events_per_s, cpu_us, p50, p99)

    @asynccontextmanager
    async def _process(self, contestant: str, source: str, target: str, group: str) -> AsyncIterator[Process]:
        environ = {**os.environ, **self._environ}
        if contestant == "service":
            prefix = "INFERSTREAM__PIPELINES__FRAUD__"
            environ |= {f"{prefix}INPUT_TOPIC": source, f"{prefix}OUTPUT_TOPIC": target, f"{prefix}GROUP": group}
            command = [sys.executable, "-m", "inferstream", "run"]
        else:
            command = [sys.executable, "-m", "loadtest.passthrough", source, target, group]
        process = await asyncio.create_subprocess_exec(*command, env=environ)
        try:
            yield process
        finally:
            process.terminate()
            code = await process.wait()
            if code != 0:
                raise SystemExit(f"{contestant} ended with {code}")

    async def _drain(self, process: Process, topic: str) -> tuple[float, float]:
        """Events per second and CPU microseconds per event, between the first tenth and the last outcome."""
        async with Reader(topic, self._kafka) as reader:
            first: tuple[int, float, float] | None = None
            while True:
                done = sum((await reader.end_offsets()).values())
                now, cpu = time.perf_counter(), _cpu_seconds(process.pid)
                if first is None and done >= self._events / 10:
                    first = (done, now, cpu)
                if done >= self._events:
                    assert first is not None
                    count = max(1, done - first[0])
                    return count / (now - first[1]), 1e6 * (cpu - first[2]) / count
                await asyncio.sleep(0.02)

    async def _latency(self, source: str, target: str) -> tuple[float, float]:
        """p50 and p99 in ms from the intended time of sending to receipt, open loop at the low rate."""
        total = int(self._rate * self._latency_seconds)
        warm = self._rate
        async with Reader(target, self._kafka) as reader:
            sending = asyncio.create_task(self._send(source, warm + total))
            seen: list[float] = []
            async for records in reader.follow():
                now = time.time_ns()
                for record in records:
                    sent = int(headers.text(record.headers, SENT_NS))
                    seen.append((now - sent) / 1e6)
                if len(seen) >= warm + total:
                    break
            await sending
        cuts = statistics.quantiles(seen[warm:], n=100)
        return cuts[49], cuts[98]

    async def _send(self, topic: str, count: int) -> None:
        """Every event at its time, whatever comes back."""
        sink = KafkaSink(self._kafka)
        await sink.start()
        encode = msgspec.msgpack.encode
        prepared = [encode(t) for t, _ in zip((t for t, _ in stream(seed=2)), range(count), strict=False)]
        begin, sent = time.time_ns() + 50_000_000, 0
        while sent < count:
            due = min(count, int((time.time_ns() - begin) / 1e9 * self._rate) + 1)
            for number in range(sent, due):
                at = begin + int(number / self._rate * 1e9)
                record = OutRecord(b"key", prepared[number], [(SENT_NS, str(at).encode())], at // 1_000_000)
                sink.send(topic, number % PARTITIONS, [record])
            sent = max(sent, due)
            await asyncio.sleep(_TICK)
        await sink.flush()
        await sink.stop()


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _report(runs: dict[str, list[Run]], as_json: bool) -> None:
    median = {
        name: Run(*(statistics.median(values) for values in zip(*rows, strict=True))) for name, rows in runs.items()
    }
    ceiling, service = median["passthrough"], median["service"]
    throughputs = [s.events_per_s / p.events_per_s for s, p in zip(runs["service"], runs["passthrough"], strict=True)]
    ratios = {
        "throughput": service.events_per_s / ceiling.events_per_s,
        "throughput_min": min(throughputs),
        "throughput_max": max(throughputs),
        "p50": service.p50_ms / ceiling.p50_ms,
    }
    if as_json:
        print(json.dumps({name: run._asdict() for name, run in median.items()} | {"ratios": ratios}))
        return
    table = Table("", "events/s", "CPU µs/event", "p50 ms", "p99 ms", title=f"median of {len(runs['service'])} runs")
    for name, run in median.items():
        table.add_row(name, f"{run.events_per_s:,.0f}", f"{run.cpu_us:.1f}", f"{run.p50_ms:.2f}", f"{run.p99_ms:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"throughput of the service over pass-through: {ratios['throughput']:.2f} "
        f"(single runs {ratios['throughput_min']:.2f} to {ratios['throughput_max']:.2f})\n"
        f"p50 at the low rate over pass-through: {ratios['p50']:.2f}"
    )


async def main(arguments: argparse.Namespace) -> None:
    """All runs, alternating."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local.running(Path(folder), kafka=arguments.kafka, progress=_tell) as stack,
    ):
        bench = Bench(stack.endpoints, arguments.events, arguments.seconds, arguments.rate)
        await bench.prepare()
        runs: dict[str, list[Run]] = {"passthrough": [], "service": []}
        for number in range(arguments.runs):
            for contestant, rows in runs.items():
                rows.append(await bench.run(contestant))
                _tell(f"run {number + 1} {contestant}: {rows[-1]}")
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
    asyncio.run(main(parser.parse_args()))
