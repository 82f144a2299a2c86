"""demo: a pipeline from end to end on this machine, live, with a summary that is measured and not claimed."""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp

from inferstream import local, tasks
from inferstream.errors import SettingsError
from inferstream.events import codecs, headers
from inferstream.kafka import KafkaSink, Reader
from inferstream.needs import load_tasks, models_on_triton
from inferstream.operate.audit import Report, reconcile
from inferstream.operate.demo.measure import Measurements, SeenOutcome, SeenPart
from inferstream.operate.demo.send import WARM_UP, WARM_UP_SECONDS, Load, Sender
from inferstream.operate.demo.service import Service
from inferstream.operate.demo.shows import show_of
from inferstream.operate.demo.stages import stage_figures
from inferstream.operate.demo.view import LiveView, Moment, PlainView, View
from inferstream.operate.examples import example
from inferstream.operate.local import create_topics, environment
from inferstream.operate.pipelines import Chosen, choose
from inferstream.settings import Settings, load

_LAST_OUTCOME_SECONDS = 10.0
_REFRESH_SECONDS = 0.25


class Wanted(NamedTuple):
    """What was asked for on the command line; None: as the example says."""

    pipeline: str
    kafka: local.KafkaKind
    gpu: bool
    seconds: int | None
    rate: float | None
    seed: int
    as_json: bool


def run_demo(wanted: Wanted) -> int:
    """Stack, service, traffic, summary; 0 only if every event got exactly one outcome and the service drained."""
    view: View = LiveView() if sys.stdout.isatty() and not wanted.as_json else PlainView()
    file = example(wanted.pipeline)
    plan = load(file, {})
    if len(plan.pipelines) > 1:
        known = ", ".join(sorted(plan.pipelines))  # each has an example of its name
        raise SettingsError(f"example '{wanted.pipeline}' has several pipelines, and a demo shows one: say {known}")
    show_of(choose(plan, None).task)  # what has none is told before anything starts
    with (
        tempfile.TemporaryDirectory(prefix="inferstream-demo-") as folder,
        local.running(
            Path(folder), kafka=wanted.kafka, models=models_of(plan), gpu=wanted.gpu, progress=view.say
        ) as stack,
    ):
        environ = environment(stack.endpoints)
        service = Service(file, environ, Path(folder) / "logs" / "service.log")
        demo = Demo(load(file, environ), service, view)
        asked = Load(wanted.rate or plan.demo.rate, wanted.seconds or plan.demo.seconds, wanted.seed)
        measured, report = asyncio.run(demo.run(asked))
    view.summary(measured, report)
    if wanted.as_json:
        print(json.dumps(measured.summary()), flush=True)
    return int(bool(report.problems) or report.repeats > 0 or not measured.is_complete)


def models_of(settings: Settings) -> list[str]:
    """The models that the pipelines ask on Triton."""
    of = load_tasks(settings)
    return sorted({model for name, task in of.items() for model, _ in models_on_triton(settings, name, task).values()})


class Demo:
    """One run on a local stack."""

    def __init__(self, settings: Settings, service: Service, view: View) -> None:
        self._settings = settings
        self._service = service
        self._view = view
        self._chosen: Chosen = choose(settings, None)
        self._measured = Measurements(self._chosen.settings.slo_ms, show_of(self._chosen.task))

    async def run(self, asked: Load) -> tuple[Measurements, Report]:
        """All of it: what was measured, and what the audit found."""
        await create_topics(self._settings)
        self._view.say("starting the service")
        async with self._service.running():
            sink = KafkaSink(self._settings.kafka)
            await sink.start()
            collecting = asyncio.create_task(self._collect())
            showing = asyncio.create_task(self._show(asked.seconds))
            task = tasks.load(self._chosen.task, self._chosen.settings.options)
            sender = Sender(sink, self._chosen.settings, task, self._measured)
            self._view.say(
                f"sending {asked.rate:g} events/s for {asked.seconds} s, after a second of warm-up that is not counted"
            )
            try:
                await sender.send(asked)
                await self._until_answered()
            finally:
                await _cancelled(collecting, showing)
                self._view.close()
                await sink.stop()
            self._view.say("draining the service and reconciling the topics")
        report = await reconcile(self._settings, self._chosen)
        return self._measured, report

    async def _collect(self) -> None:
        """Read the outcomes as a consumer would. A partial one answers nothing."""
        codec = codecs.by_name(self._chosen.settings.outcome_codec)
        outcome, part = codec.decoder(SeenOutcome), codec.decoder(SeenPart)
        async with Reader(self._chosen.settings.output_topic, self._settings.kafka) as reader:
            async for records in reader.follow():
                now_ms = time.time() * 1000
                for record in records:
                    if record.value is None or WARM_UP in record.headers:
                        continue
                    if headers.text(record.headers, headers.OUTCOME_PART):
                        self._measured.part_came(part(record.value), now_ms)
                    else:
                        self._measured.came_back(outcome(record.value), now_ms)

    async def _until_answered(self) -> None:
        """A few seconds for the last outcomes; what is still missing then counts against us."""
        deadline = time.monotonic() + _LAST_OUTCOME_SECONDS
        while not self._measured.is_complete and time.monotonic() < deadline:
            self._service.raise_if_ended()
            await asyncio.sleep(0.02)

    async def _show(self, seconds: int) -> None:
        began = time.monotonic()
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(self._service.url("metrics")) as answer:
                        stages = stage_figures(await answer.text())
                except aiohttp.ClientError:  # whoever waits for outcomes says why it does not answer
                    await asyncio.sleep(_REFRESH_SECONDS)
                    continue
                elapsed = max(0.0, time.monotonic() - began - WARM_UP_SECONDS)
                self._view.show(Moment(min(elapsed, seconds), seconds, self._measured, stages))
                await asyncio.sleep(_REFRESH_SECONDS)


async def _cancelled(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
