"""Composition root and lifecycle: check -> build -> start -> ready -> drain -> stop."""

import asyncio
import gc
import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import chain
from typing import Any

import structlog

from inferstream import __version__, tasks
from inferstream.errors import ContractMismatch, InferstreamError, Unavailable
from inferstream.inprocess import Student
from inferstream.kafka import Admin, KafkaSink, KafkaSource
from inferstream.pipeline.emit import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.settings import PipelineSettings, Settings, default_group
from inferstream.signals import Signals
from inferstream.tasks import Task
from inferstream.telemetry import metrics
from inferstream.triton import TritonModel, TritonServer
from inferstream.web import WebServer

log = structlog.get_logger()

_LAG_INTERVAL = 0.1  # seconds between two looks at the event loop's lateness
_LAG_WINDOW = 10  # looks of which the worst is shown
_STUCK_SECONDS = 10.0  # an event loop that late is not live
_HARD_EXIT_SECONDS = 15.0  # on top of the drain timeout; then the process ends, whatever hangs


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def unix_ms(self) -> float:
        return time.time() * 1000


def load_tasks(settings: Settings) -> dict[str, Task]:
    """The task of each pipeline. Raises SettingsError."""
    return {name: tasks.load(p.task or name, p.options) for name, p in settings.pipelines.items()}


def load_student(pipeline: PipelineSettings, task: Task) -> Student | None:
    """The student a pipeline names, else the task's; None where there is none."""
    name = pipeline.student or task.student
    return None if name is None or name == "none" else Student(name, task)


def check_topics(settings: Settings, partitions: Mapping[str, int]) -> None:
    """Raise ContractMismatch naming every topic that is missing or has too few partitions."""
    wrong = []
    for name, p in settings.pipelines.items():
        for role, topic in (("input", p.input_topic), ("output", p.output_topic), ("dead letter", p.dead_letter_topic)):
            if topic not in partitions:
                wrong.append(f"{role} topic '{topic}' of pipeline '{name}' does not exist: create it")
        needed, given = partitions.get(p.input_topic, 0), partitions.get(p.output_topic, 0)
        if given and given < needed:
            wrong.append(
                f"output topic '{p.output_topic}' has {given} partitions, input topic '{p.input_topic}' has {needed}; "
                "outcomes keep their partition number, so give it at least as many"
            )
    if wrong:
        raise ContractMismatch("; ".join(wrong))


class App:
    """The service: all pipelines of the settings in one process. Made on the running loop, run once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signals = Signals()
        self._signals.build.cell(__version__).set(1)
        self._tasks = load_tasks(settings)
        self._models: dict[str, list[TritonModel]] = {}
        self._pipelines: dict[str, Pipeline] = {}
        self._stop = asyncio.Event()
        self._started = False
        self._beat = time.monotonic()
        self.web = WebServer(settings.web, self, lambda: metrics.render(self._signals), metrics.CONTENT_TYPE)

    @property
    def signals(self) -> Signals:
        """What the service counts."""
        return self._signals

    def why_not_live(self) -> str | None:
        """The event loop must turn."""
        late = time.monotonic() - self._beat
        return f"the event loop is {late:.0f} s late" if late > _STUCK_SECONDS else None

    def why_not_ready(self) -> str | None:
        """Ready once started; afterwards it never depends on the model server."""
        if self._stop.is_set():
            return "draining"
        return None if self._started else "starting"

    def stop(self) -> None:
        """Drain and end. A second time: end now."""
        if self._stop.is_set():
            log.warning("stopped_at_once", reason="second signal")
            os._exit(1)
        self._stop.set()

    async def run(self) -> int:
        """Work until told to stop; the exit code. Raises InferstreamError for what a user can mend."""
        async with AsyncExitStack() as stack:
            await self._listen(stack)
            work = asyncio.create_task(self._work(stack))
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
                return 0 if await self._drain() else Unavailable.exit_code
            finally:
                self._stop.set()
                await _cancelled(work, stopping)

    async def _listen(self, stack: AsyncExitStack) -> None:
        """The probes answer from the first moment, signals are heard, the loop is watched."""
        await self.web.start()
        stack.push_async_callback(self.web.stop)
        log.info("listening", port=self.web.port, version=__version__)
        watch = asyncio.create_task(self._watch_loop())
        stack.push_async_callback(_cancelled, watch)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
            stack.callback(loop.remove_signal_handler, number)

    async def _work(self, stack: AsyncExitStack) -> None:
        """Look at the cluster, build every pipeline, run them. Ends only by an error."""
        kafka = self._settings.kafka
        async with Admin(kafka) as admin:
            partitions = await admin.partition_counts()
            check_topics(self._settings, partitions)
            topics = {t for p in self._settings.pipelines.values() for t in (p.output_topic, p.dead_letter_topic)}
            sizes = await admin.max_message_bytes(topics)
        servers = [TritonServer(url, self._settings.triton) for url in self._settings.triton.urls]
        for server in servers:
            stack.push_async_callback(server.stop)
        sink = KafkaSink(kafka, sizes)
        stack.push_async_callback(sink.stop)
        await sink.start()
        for name in self._settings.pipelines:
            self._models[name] = [self._model(name, server) for server in servers]
            for model in self._models[name]:
                stack.push_async_callback(model.stop)
            self._pipelines[name] = self._pipeline(name, sink, partitions)
        try:
            async with asyncio.TaskGroup() as group:
                for pipeline in self._pipelines.values():
                    group.create_task(pipeline.run())
                group.create_task(self._watch_models())
        except* InferstreamError as errors:
            raise errors.exceptions[0] from None

    def _model(self, name: str, server: TritonServer) -> TritonModel:
        """The pipeline's model on the server, being polled."""
        pipeline, task = self._settings.pipelines[name], self._tasks[name]
        model_name = pipeline.model or task.model
        model = TritonModel(server, model_name, pipeline.model_version, task, self._settings.triton)
        level = self._signals.model_ready.cell(name, model_name, server.url)

        def turned(ready: bool) -> None:
            level.set(ready)
            tell = log.info if ready else log.warning
            tell("model_ready" if ready else "model_unavailable", pipeline=name, model=model_name, url=server.url)

        model.when_ready = turned
        model.start()
        return model

    def _pipeline(self, name: str, sink: KafkaSink, partitions: Mapping[str, int]) -> Pipeline:
        settings, kafka, task = self._settings.pipelines[name], self._settings.kafka, self._tasks[name]
        group = settings.group or default_group(name)
        route = Route(
            name,
            settings.task or name,
            group,
            settings.input_topic,
            settings.output_topic,
            settings.dead_letter_topic,
            partitions[settings.dead_letter_topic],
        )
        source = KafkaSource(settings.input_topic, group, kafka)
        ports = Ports(source, sink, self._models[name], load_student(settings, task), SystemClock(), self._signals)
        timing = Timing(kafka.commit_interval_ms / 1000, kafka.rebalance_timeout_ms / 2000)
        return Pipeline(route, task, settings, timing, ports)

    async def _watch_models(self) -> None:
        """Become ready with the models, or without them after the start timeout; a model that does not fit ends us."""
        triton = self._settings.triton
        give_up = time.monotonic() + triton.start_timeout_ms / 1000
        while True:
            for model in chain.from_iterable(self._models.values()):
                if model.mismatch is not None:
                    raise model.mismatch
            missing = [name for name, models in self._models.items() if not any(m.is_ready for m in models)]
            joined = all(pipeline.is_joined for pipeline in self._pipelines.values())
            if not self._started and joined and (not missing or time.monotonic() > give_up):
                if missing and triton.require_model_at_start:
                    raise Unavailable(f"model of pipeline '{missing[0]}' is not ready at Triton {triton.url}")
                self._become_ready(missing)
            await asyncio.sleep(0.05 if not self._started else triton.ready_poll_ms / 1000)

    def _become_ready(self, missing: list[str]) -> None:
        # What lives now lives for good: keep the collector from looking at it again.
        gc.collect()
        gc.freeze()
        self._started = True
        log.info("ready", pipelines=sorted(self._pipelines), without_model=missing)

    async def _drain(self) -> bool:
        """Answer and commit what was taken, within the drain timeout. False: something was left for the next one."""
        log.info("draining", timeout_ms=self._settings.drain_timeout_ms)
        timeout = self._settings.drain_timeout_ms / 1000
        loop = asyncio.get_running_loop()
        loop.call_later(timeout + _HARD_EXIT_SECONDS, os._exit, Unavailable.exit_code)
        drained = await asyncio.gather(*(pipeline.drain(timeout) for pipeline in self._pipelines.values()))
        log.info("drained" if all(drained) else "not_drained", unsettled=int(self._signals.unsettled.total()))
        return all(drained)

    async def _watch_loop(self) -> None:
        """Measure how late the event loop is: the worst of the last second is the signal."""
        recent: deque[float] = deque(maxlen=_LAG_WINDOW)
        level = self._signals.loop_lag.cell()
        while True:
            asked = time.monotonic()
            await asyncio.sleep(_LAG_INTERVAL)
            self._beat = time.monotonic()
            recent.append(self._beat - asked - _LAG_INTERVAL)
            level.set(max(recent))


async def _cancelled(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
