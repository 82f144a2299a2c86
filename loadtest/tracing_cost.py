"""What traces cost the service: the same load with them on and off, in turns, at a collector of its own.

`python -m loadtest.tracing_cost` prints CPU time per event of each, medians of five alternating runs, their ratio, what
share of a core the difference is at that rate, and how long slices of the export held the interpreter. With `--slo-ms 1
--ratio 0` every event misses its deadline, and so wants a trace; `--collector` says how the collector fares; with
`--path` only what the data path itself does for an event that leaves none is measured.
"""

import argparse
import asyncio
import math
import re
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import aiohttp

from inferstream.app import SystemClock
from inferstream.events.envelope import Event, Provenance
from inferstream.events.headers import Headers
from inferstream.events.outcome import Answerer, Status
from inferstream.events.timeline import Timeline
from inferstream.local import free_port
from inferstream.pipeline.observe.traces import Traces, Tracing
from inferstream.pipeline.outcomes import Route
from inferstream.policy.sampling import TokenBucket
from inferstream.signals import Signals
from loadtest.bench import Bench
from loadtest.contestants import WEB_PORT
from loadtest.processes import end_cleanly_on_sigterm
from loadtest.scenario import Scenario, parse
from loadtest.traces import State, collector

_OTLP = "INFERSTREAM__TELEMETRY__OTLP__ENDPOINT"
_ENABLED = "INFERSTREAM__TELEMETRY__TRACES__ENABLED"
_RATIO = "INFERSTREAM__TELEMETRY__TRACES__RATIO"
_SLICES = re.compile(r'^inferstream_trace_slice_seconds_bucket\{le="([^"]+)"\} (\d+)', re.MULTILINE)
_SLICES_SUM = re.compile(r"^inferstream_trace_slice_seconds_sum (\S+)", re.MULTILINE)


def scenario(rate: float, seconds: float, slo_ms: int, environ: dict[str, str]) -> Scenario:
    """A steady load on the real model."""
    content = {"name": "tracing", "slo_ms": slo_ms, "arrivals": {"kind": "poisson", "rate": rate}, "seconds": seconds}
    return parse({**content, "warm_up_s": 2.0, "environ": environ}, "tracing_cost")


class Slices:
    """How long slices of the export took, by the service's own count, added up over its runs."""

    def __init__(self) -> None:
        self._ended: dict[float, int] = {}
        self._running: dict[float, int] = {}
        self._ended_s = self._running_s = 0.0

    async def watch(self, port: int) -> None:
        """Look each second, until cancelled. What a service counts in its last second is not seen."""
        async with aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        self._saw(await answer.text())
                await asyncio.sleep(1)

    def _saw(self, metrics: str) -> None:
        counts = {float(le): int(n) for le, n in _SLICES.findall(metrics)}
        if counts.get(math.inf, 0) < self._running.get(math.inf, 0):  # another process
            self._ended, self._ended_s = self.counts, self._ended_s + self._running_s
        self._running = counts
        self._running_s = sum(map(float, _SLICES_SUM.findall(metrics)))

    @property
    def counts(self) -> dict[float, int]:
        """By bound in seconds: how many took at most so long."""
        return {le: self._ended.get(le, 0) + n for le, n in self._running.items()}

    def __str__(self) -> str:
        counts = self.counts
        total = counts.get(math.inf, 0)
        if not total:
            return "no slice was seen"
        longest = next(le for le, n in sorted(counts.items()) if n >= 0.999 * total)
        mean_us = (self._ended_s + self._running_s) / total * 1e6
        share = f"{counts[0.001] / total:.3%} within 1 ms, p99.9 within {longest * 1e3:g} ms"
        return f"{total} slices of {mean_us:.0f} us of CPU time, {share}"


async def compare(given: argparse.Namespace) -> dict[str, list[float]]:
    """CPU microseconds per event of the service, with traces and without, run by run."""
    end_cleanly_on_sigterm()
    took: dict[str, list[float]] = {"off": [], "on": []}
    with (
        tempfile.TemporaryDirectory(prefix="inferstream-tracing-") as folder,
        collector(Path(folder), given.collector) as (url, file),
    ):
        slices, port = Slices(), free_port()
        watching = asyncio.create_task(slices.watch(port))
        alike = {WEB_PORT: str(port), _OTLP: url, _RATIO: str(given.ratio)}  # metrics go to the collector in both
        variants = {"off": {**alike, _ENABLED: "false"}, "on": alike}
        async with Bench(given.kafka) as bench:
            for number in range(given.runs):
                order = [*variants.items()]
                for name, environ in order if number % 2 == 0 else reversed(order):
                    load = scenario(given.rate, given.seconds, given.slo_ms, environ)
                    run = await bench.run("service", load)
                    took[name].append(run["cpu_us_per_event"]["contestant"])
                    mib = run["memory_mib"]["contestant"]
                    memory = f"{mib['begin']:.0f} to at most {mib['most']:.0f} MiB"
                    print(f"{name:4} {took[name][-1]:6.1f} us/event, {memory}, {run['counts']}", flush=True)
        spans = sum(1 for _ in file.open())
        watching.cancel()
        print(f"{spans} spans were collected; {slices}")
    return took


class _Nowhere:
    def offer(self, way: Timeline) -> None:
        """Nothing comes here."""


def path_us(headers: Headers) -> float:
    """Microseconds an event with these headers costs the stages, unsampled, in batches of 256: the best of many."""
    tracing = Tracing(0.0, TokenBucket(50), _Nowhere())
    traces = Traces(Route("p", "t", "g", "in", "out", "dead", 1), tracing, SystemClock(), Signals())
    now = time.monotonic()
    answer = Provenance(Answerer("model", "m", "1"), now, 1_000)
    record = SimpleNamespace(topic="in", partition=0, offset=0, timestamp=0, key=b"", value=b"x", headers=headers)
    events = [
        Event(record, (0, 1, "default"), "default", now + 3_600, 0, now, 0, provenance=answer, status=Status.SCORED)
        for _ in range(256)
    ]
    best = math.inf
    for _ in range(300):
        began = time.perf_counter()
        traces.taken(events)
        traces.call(events, "triton:8001")
        traces.decided(events, now)
        traces.written(events, now, now)
        best = min(best, time.perf_counter() - began)
    return best / len(events) * 1e6


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.tracing_cost", description=__doc__)
    parser.add_argument("--kafka", default="apache", choices=["apache", "embedded"])
    parser.add_argument("--rate", type=float, default=5_000, help="events per second")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run")
    parser.add_argument("--slo-ms", type=int, default=500, help="within which an event wants its answer")
    parser.add_argument("--ratio", type=float, default=0.01, help="share of the events that leave a trace")
    parser.add_argument("--runs", type=int, default=5, help="of each")
    parser.add_argument("--collector", default="live", choices=get_args(State), help="how it fares")
    parser.add_argument("--path", action="store_true", help="only what the data path does for an unsampled event")
    given = parser.parse_args()
    if given.path:
        header = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
        print(f"{path_us(()):.2f} us/event without headers, {path_us((header,)):.2f} with an unsampled traceparent")
        return
    took = asyncio.run(compare(given))
    off, on = (statistics.median(took[name]) for name in ("off", "on"))
    share = (on - off) * given.rate / 1e6
    print(f"off {off:.1f} us/event, on {on:.1f} us/event, ratio {on / off:.3f}, {share:+.2%} of a core", end="")
    print(f" at {given.rate:.0f}/s (medians of {given.runs})")


if __name__ == "__main__":
    main()
