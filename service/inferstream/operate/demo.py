"""demo: the main job from end to end on this machine, live, with a summary that is measured and not claimed."""

import asyncio
import itertools
import json
import os
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from zlib import crc32

import aiohttp
import msgspec

from inferstream import local
from inferstream.errors import InferstreamError
from inferstream.events import headers
from inferstream.kafka import KafkaSink, Reader
from inferstream.operate.audit import Report, reconcile
from inferstream.operate.demo_view import LiveView, Moment, PlainView, View
from inferstream.operate.local import TOPIC_PARTITIONS, create_topics, environment
from inferstream.operate.measure import Measurements, SeenOutcome
from inferstream.operate.pipelines import choose
from inferstream.operate.produce import POISON
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import Settings, load
from inferstream.tasks.fraud import Transaction
from inferstream.traffic import stream

_PIPELINE = "fraud"
_TICK = 0.003
_WARM_UP_SECONDS = 1.0
_WARM_UP = ("demo-warm-up", b"1")
_POISON_EVERY = 500
_TRACED_EVERY = 10
_READY_SECONDS = 60.0
_LAST_OUTCOME_SECONDS = 10.0
_REFRESH_SECONDS = 0.25
_DRAIN_SECONDS = 20.0


class DemoError(InferstreamError):
    """The demo did not do what it shows."""


def run_demo(*, kafka: local.KafkaKind, seconds: int, rate: int, seed: int, as_json: bool) -> int:
    """Stack, service, traffic, summary; 0 only if every event got exactly one outcome and the service drained."""
    view: View = LiveView() if sys.stdout.isatty() and not as_json else PlainView()
    with (
        tempfile.TemporaryDirectory(prefix="inferstream-demo-") as folder,
        local.running(Path(folder), kafka=kafka, progress=view.say) as stack,
    ):
        settings = load(environ=environment(stack.endpoints))
        demo = Demo(settings, environment(stack.endpoints), Path(folder) / "logs" / "service.log", view)
        measured, report = asyncio.run(demo.run(seconds, rate, seed))
    view.summary(measured, report)
    if as_json:
        print(json.dumps(measured.summary()), flush=True)
    return int(bool(report.problems) or report.repeats > 0 or not measured.is_complete)


class Demo:
    """One run on a local stack."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], log: Path, view: View) -> None:
        self._settings = settings
        self._environ = environ
        self._log = log
        self._view = view
        self._pipeline = settings.pipelines[_PIPELINE]
        self._measured = Measurements(self._pipeline.slo_ms)

    async def run(self, seconds: int, rate: int, seed: int) -> tuple[Measurements, Report]:
        """All of it: what was measured, and what the audit found."""
        await create_topics(self._settings)
        port = local.free_port()
        async with self._service(port) as service:
            self._view.say("starting the service")
            await self._until_ready(service, port)
            sink = KafkaSink(self._settings.kafka)
            await sink.start()
            collecting = asyncio.create_task(self._collect())
            showing = asyncio.create_task(self._show(port, seconds))
            try:
                self._view.say(
                    f"sending {rate} events/s for {seconds} s, after a second of warm-up that is not counted"
                )
                await self._send(sink, rate, seconds, seed)
                await self._until_answered(service)
            finally:
                await _cancelled(collecting, showing)
                self._view.close()
                await sink.stop()
            self._view.say("draining the service and reconciling the topics")
        report = await reconcile(self._settings, choose(self._settings, _PIPELINE))
        return self._measured, report

    @asynccontextmanager
    async def _service(self, port: int) -> AsyncIterator[Process]:
        """The service as its users run it: a process of its own, ended by SIGTERM."""
        environ = {**os.environ, **self._environ, "INFERSTREAM__WEB__HOST": "127.0.0.1"}
        environ["INFERSTREAM__WEB__PORT"] = str(port)
        with self._log.open("wb") as log:
            service = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "inferstream", "run", env=environ, stdout=log, stderr=log
            )
        try:
            yield service
            if service.returncode is None:
                service.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(service.wait(), _DRAIN_SECONDS)
            if code != 0:
                raise DemoError(f"the service ended with {code}; its log ends with:\n{local.tail(self._log)}")
        finally:
            if service.returncode is None:
                service.kill()
                await service.wait()

    async def _until_ready(self, service: Process, port: int) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                self._raise_if_ended(service)
                try:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise DemoError(
            f"the service was not ready after {_READY_SECONDS:.0f} s; its log ends with:\n{local.tail(self._log)}"
        )

    async def _send(self, sink: KafkaSink, rate: int, seconds: int, seed: int) -> None:
        """Open loop: the schedule is fixed beforehand, an event that is late goes out at once."""
        warm_up = int(rate * _WARM_UP_SECONDS)
        events = warm_up + rate * seconds
        begin_ms, sent = time.time() * 1000, 0
        prepared = zip(itertools.count(), stream(seed), strict=False)
        while sent < events:
            now_ms = time.time() * 1000
            due = min(events, int((now_ms - begin_ms) * rate / 1000) + 1)
            by_partition: dict[int, list[OutRecord]] = {}
            for number, (transaction, is_fraud) in itertools.islice(prepared, max(0, due - sent)):
                intended_ms = begin_ms + number * 1000 / rate
                record = self._record(number, transaction, is_fraud, intended_ms, number < warm_up)
                by_partition.setdefault(crc32(record.key or b"") % TOPIC_PARTITIONS, []).append(record)
            for partition, records in by_partition.items():
                sink.send(self._pipeline.input_topic, partition, records)
            sent = max(sent, due)
            await asyncio.sleep(_TICK)
        await sink.flush()

    def _record(
        self, number: int, transaction: Transaction, is_fraud: bool, intended_ms: float, is_warm_up: bool
    ) -> OutRecord:
        """An event as a producer would write it; now and then a broken one, now and then a traced one."""
        transaction.timestamp_ms = int(intended_ms)
        given = [(headers.CONTENT_TYPE, b"application/msgpack"), (headers.SCHEMA, b"transaction.v1")]
        if number % _TRACED_EVERY == 0:
            given.append(("traceparent", b"00-%032x-%016x-00" % (number + 1, number + 1)))
        is_poison = number % _POISON_EVERY == _POISON_EVERY - 1
        if is_warm_up:
            given.append(_WARM_UP)
        else:
            now_ms = time.time() * 1000
            self._measured.was_sent(None if is_poison else transaction, is_fraud, intended_ms, now_ms)
        value = POISON[number // _POISON_EVERY % len(POISON)] if is_poison else msgspec.msgpack.encode(transaction)
        return OutRecord(transaction.card_id.encode(), value, given, int(intended_ms))

    async def _collect(self) -> None:
        """Read the outcomes as a consumer would."""
        decode = msgspec.msgpack.Decoder(SeenOutcome).decode
        async with Reader(self._pipeline.output_topic, self._settings.kafka) as reader:
            async for records in reader.follow():
                now_ms = time.time() * 1000
                for record in records:
                    if record.value is not None and _WARM_UP not in record.headers:
                        self._measured.came_back(decode(record.value), now_ms)

    async def _until_answered(self, service: Process) -> None:
        """A few seconds for the last outcomes; what is still missing then counts against us."""
        deadline = time.monotonic() + _LAST_OUTCOME_SECONDS
        while not self._measured.is_complete and time.monotonic() < deadline:
            self._raise_if_ended(service)
            await asyncio.sleep(0.02)

    async def _show(self, port: int, seconds: int) -> None:
        began = time.monotonic()
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    stages = stage_figures(await answer.text())
                elapsed = max(0.0, time.monotonic() - began - _WARM_UP_SECONDS)
                self._view.show(Moment(min(elapsed, seconds), seconds, self._measured, stages))
                await asyncio.sleep(_REFRESH_SECONDS)

    def _raise_if_ended(self, service: Process) -> None:
        if service.returncode is not None:
            raise DemoError(f"the service ended with {service.returncode}; its log ends with:\n{local.tail(self._log)}")


def stage_figures(metrics: str) -> dict[str, str]:
    """A few words for each stage of the data path, from the service's metrics."""
    values = dict(_samples(metrics))

    def mean(stage: str) -> str:
        count = values.get(f"inferstream_stage_seconds_count/{stage}", 0.0)
        total = values.get(f"inferstream_stage_seconds_sum/{stage}", 0.0)
        return _duration(total / count) if count else ""

    rows = values.get("inferstream_batch_rows_sum/", 0.0) / max(1.0, values.get("inferstream_batch_rows_count/", 0.0))
    return {
        "consume": f"{values.get('inferstream_records_total/', 0):,.0f}",
        "decode": mean("decode"),
        "batch": f"{mean('batch')} ×{rows:.0f}",
        "infer": mean("infer"),
        "decide": mean("decide"),
        "emit": mean("emit"),
        "commit": f"{values.get('inferstream_committed_total/', 0):,.0f}",
    }


def _samples(metrics: str) -> Iterator[tuple[str, float]]:
    """Name and stage of each sample of OpenMetrics text, and its value."""
    for line in metrics.splitlines():
        name, _, value = line.rpartition(" ")
        if line.startswith("#") or "_bucket" in name:
            continue
        stage = re.search(r'stage="(\w+)"', name)
        yield f"{name.partition('{')[0]}/{stage[1] if stage else ''}", float(value)


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


async def _cancelled(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
