"""Composition root and lifecycle: check -> build -> start -> ready -> drain -> stop."""

import asyncio
import gc
import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog

from inferstream import __version__
from inferstream.errors import InferstreamError, Unavailable
from inferstream.inprocess import load_reference
from inferstream.kafka import Admin, KafkaSink, KafkaSource, KafkaTransactions, are_stale, control, pinned
from inferstream.needs import (
    check_rights,
    check_topics,
    load_student,
    load_tasks,
    models_on_triton,
    refuse_an_unnamed_version,
    topics_of,
)
from inferstream.pipeline.observe.traces import Tracing
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.rollout.pin import Pinned
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.settings import Settings, default_group
from inferstream.signals import Signals, Snapshot
from inferstream.tasks.streaming import StreamingTask
from inferstream.telemetry import metrics
from inferstream.telemetry.otlp import exporting
from inferstream.telemetry.tracing import tracing
from inferstream.triton import Fleet, TritonModel, TritonServer, keep_accounts
from inferstream.web import Front, Live, WebServer, told

log = structlog.get_logger()

_LAG_INTERVAL = 0.1  # seconds between two looks at the event loop's lateness
_CREDENTIALS_INTERVAL = 5.0  # seconds between two looks at Kafka's certificates and passwords
_WAIT_IN_SILENCE = 5.0  # seconds for the models, at the start
_LAG_WINDOW = 10  # looks of which the worst is shown
_STUCK_SECONDS = 10.0  # an event loop that late is not live
_SETTLE_SHARE, _END_SHARE = 0.5, 0.9  # of the drain timeout: for what is under way; until we end, whatever hangs
# Of the garbage collector: by default it goes over the events under way again and again. Ten thousand
# objects take it 0.1 to 0.2 ms at once; many more would hold the loop.
_COLLECT_AFTER = (10_000, 20, 50)
_ANSWERING = frozenset({"model", "fallback"})  # a canary or shadow that comes later and does not fit ends nothing


def collect_seldom() -> None:
    """Of a process that has started: what lives now lives for good, and need not be looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)

    def unix_ms(self) -> float:
        return time.time() * 1000


class App:
    """The service: all pipelines of the settings in one process. Made on the running loop, run once.

    A worker has a `front` of its own instead of the health port.
    """

    def __init__(self, settings: Settings, front: "Callable[[App], Front] | None" = None) -> None:
        self._settings = settings
        self._signals = Signals()
        self._signals.build.cell(__version__).set(1)
        self._tasks = load_tasks(settings)
        self._fleets: dict[str, Fleet] = {}
        self._pins: dict[str, Pinned] = {}
        self._pipelines: dict[str, Pipeline] = {}
        self._tracing: Tracing | None = None
        self._stop = asyncio.Event()
        self._started = False
        self._beat = time.monotonic()
        self._is_worker = front is not None
        if settings.web.page:
            self._signals.misses.keep()
        self._front = front(self) if front else self._web()

    @property
    def signals(self) -> Signals:
        """What the service counts."""
        return self._signals

    def why_not_live(self) -> str | None:
        """The event loop must turn, and every pipeline get on unless what keeps it is known."""
        late = time.monotonic() - self._beat
        if late > _STUCK_SECONDS:
            return f"the event loop is {late:.0f} s late"
        stuck = ((name, pipeline.stuck) for name, pipeline in self._pipelines.items())
        return next((f"pipeline '{name}': {why}" for name, why in stuck if why is not None), None)

    def why_not_ready(self) -> str | None:
        """Ready once started; afterwards it never depends on the model server."""
        if self._stop.is_set():
            return "draining"
        return None if self._started else "starting"

    def stop(self) -> None:
        """Drain and end. A second time: end now; of a worker its parent decides that."""
        if self._stop.is_set():
            if self._is_worker:
                return
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
        await self._front.start()
        stack.push_async_callback(self._front.stop)
        watch = asyncio.create_task(self._watch_loop())
        stack.push_async_callback(_cancelled, watch)
        if not self._is_worker:  # of those the parent tells
            await stack.enter_async_context(exporting(self._settings.telemetry.otlp, self._snapshot, self._signals))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
            stack.callback(loop.remove_signal_handler, number)

    async def _work(self, stack: AsyncExitStack) -> None:
        """Look at the cluster, build every pipeline, run them. Ends only by an error."""
        self._tracing = await stack.enter_async_context(tracing(self._settings.telemetry, self._signals))
        kafka = self._settings.kafka
        async with Admin(kafka) as admin:
            await check_rights(self._settings, admin)
            partitions = await admin.partition_counts()
            check_topics(self._settings, partitions)
            topics = {topic for p in self._settings.pipelines.values() for topic in topics_of(p).values()}
            sizes = await admin.max_message_bytes(topics)
        servers = [TritonServer(url, self._settings.triton) for url in self._settings.triton.urls]
        for server in servers:
            if server.shared is not None:
                server.shared.when_off = partial(_shares_no_memory, server.url)
            stack.push_async_callback(server.stop)
        self._signals.stale_credentials.cell("triton").read = lambda: any(server.is_stale for server in servers)
        sink = KafkaSink(kafka, sizes)
        sink.when_replaced(self._producer_replaced)
        stack.push_async_callback(sink.stop)
        await sink.start()
        for name in self._settings.pipelines:
            await self._find_models(name, servers, stack)
            self._pipelines[name] = self._pipeline(name, sink, partitions, sizes)
            self._pins[name].when_resumed = self._pipelines[name].resume_canary
            stack.push_async_callback(self._pipelines[name].leave)
        try:
            async with asyncio.TaskGroup() as group:
                for pipeline in self._pipelines.values():
                    group.create_task(pipeline.run())
                for pin in self._pins.values():
                    group.create_task(pin.run())
                group.create_task(self._watch_models())
                group.create_task(self._watch_credentials())
                group.create_task(keep_accounts(servers, self._asked(), self._answering(), self._signals))
        except BaseExceptionGroup as errors:
            ours = errors.subgroup(InferstreamError)
            raise (ours or errors).exceptions[0] from None

    async def _find_models(self, name: str, servers: Sequence[TritonServer], stack: AsyncExitStack) -> None:
        """The models of a pipeline on every server; its own in the version that is pinned, if one is."""
        settings, task = self._settings.pipelines[name], self._tasks[name]
        asked = models_on_triton(self._settings, name, task)
        notes = pinned(settings.group or default_group(name), settings.input_topic, self._settings.kafka)
        pin = self._pins[name] = Pinned(name, asked["model"], notes, SystemClock(), self._signals)
        stack.push_async_callback(pin.stop)
        await pin.read()
        refuse_an_unnamed_version(name, asked, pin.version)
        fleet = self._fleets[name] = Fleet(name, task, servers, self._settings.triton, self._signals)
        stack.push_async_callback(fleet.stop)
        for role, (model, version) in asked.items():
            fleet.add(role, model, pin.version if role == "model" else version)
        pin.models = fleet.of("model")

    def _asked(self) -> dict[str, Collection[tuple[str, str]]]:
        """Name and version of each pipeline's models; the one that answers in any, since it may be switched."""
        found = {name: models_on_triton(self._settings, name, task) for name, task in self._tasks.items()}
        return {name: {*{**asked, "model": (asked["model"][0], "")}.values()} for name, asked in found.items()}

    def _answering(self) -> dict[str, list[TritonModel]]:
        return {name: fleet.of("model") for name, fleet in self._fleets.items()}

    def _producer_replaced(self, reason: str) -> None:
        self._signals.producers_replaced.cell(reason).add()
        log.warning("producer_replaced", reason=reason)

    def _offsets_lost(self, pipeline: str, partition: int, count: int) -> None:
        self._signals.lost_offsets.cell(pipeline).add(count)
        log.error("offsets_lost", pipeline=pipeline, partition=partition, count=count)

    def _pipeline(
        self, name: str, sink: KafkaSink, partitions: Mapping[str, int], sizes: Mapping[str, int]
    ) -> Pipeline:
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
        student = load_student(settings, task)  # first what may be amiss: a client would be left open
        reference = load_reference(settings.drift_file, settings.model or task.model)
        source = KafkaSource(settings.input_topic, group, kafka, settings.output_topic)
        source.when_lost(partial(self._offsets_lost, name))
        exactly_once = settings.delivery == "exactly_once"
        transactions = KafkaTransactions(settings.input_topic, group, kafka, sizes) if exactly_once else None
        notes = control(group, settings.input_topic, kafka)
        fleet = self._fleets[name]
        models = fleet.of("model")
        ports = Ports(
            source,
            sink,
            models,
            student,
            SystemClock(),
            self._signals,
            fleet.of("fallback"),
            notes,
            transactions,
            canary_models=fleet.of("canary"),
            shadow_models=fleet.of("shadow"),
            shadow_partitions=partitions.get(settings.shadow.topic, 0),
            reference=reference,
            streaming_models=models if isinstance(task, StreamingTask) else (),
            tracing=self._tracing,
        )
        session = kafka.session_timeout_ms / 1000
        timing = Timing(
            kafka.commit_interval_ms / 1000,
            kafka.rebalance_timeout_ms / 2000,
            fenced_pause=session / 4,  # by then a heartbeat has told us that we were thrown out
            stuck_after=max(30.0, 3 * session),
        )
        return Pipeline(route, task, settings, timing, ports)

    async def _watch_models(self) -> None:
        """Become ready with the models, or without them after the start timeout; a model that does not fit ends us."""
        triton = self._settings.triton
        give_up = time.monotonic() + triton.start_timeout_ms / 1000
        tell_at = time.monotonic() + _WAIT_IN_SILENCE
        while True:
            for fleet in self._fleets.values():
                if (wrong := fleet.mismatch(_ANSWERING if self._started else None)) is not None:
                    raise wrong
            missing = [name for name, f in self._fleets.items() if not any(m.is_ready for m in f.of("model"))]
            joined = all(pipeline.is_joined for pipeline in self._pipelines.values())
            if not self._started and joined and (not missing or time.monotonic() > give_up):
                if missing and triton.require_model_at_start:
                    raise Unavailable(f"model of pipeline '{missing[0]}' is not ready at Triton {triton.url}")
                self._become_ready(missing)
                tell_at = 0.0 if missing else math.inf
            if missing and time.monotonic() > tell_at:
                tell_at = math.inf
                self._tell_missing(missing)
            await asyncio.sleep(0.05 if not self._started else triton.ready_poll_ms / 1000)

    async def _watch_credentials(self) -> None:
        """Those of Kafka, by a thread: a disk that hangs must not hold the loop."""
        level = self._signals.stale_credentials.cell("kafka")
        while True:
            level.set(await asyncio.to_thread(are_stale))
            await asyncio.sleep(_CREDENTIALS_INTERVAL)

    def _become_ready(self, missing: list[str]) -> None:
        collect_seldom()
        self._started = True
        tell = log.warning if missing else log.info
        tell("ready", pipelines=sorted(self._pipelines), without_model=missing)

    def _tell_missing(self, missing: list[str]) -> None:
        """Why the fallback answers, or nobody yet."""
        for name in missing:
            for model in self._fleets[name].of("model"):
                log.warning(
                    "model_not_ready", pipeline=name, model=model.name, url=model.url, reason=model.why_not_ready
                )

    async def _drain(self) -> bool:
        """Answer and commit what was taken, and leave. False: something was left for the next one.

        Bounded by the drain timeout as a whole, also where a client library or the event loop hangs.
        """
        log.info("draining", timeout_ms=self._settings.drain_timeout_ms)
        timeout = self._settings.drain_timeout_ms / 1000
        end = threading.Timer(_END_SHARE * timeout, self._end_at_once)
        end.daemon = True
        end.start()
        settle = _SETTLE_SHARE * timeout
        drained = await asyncio.gather(*(pipeline.drain(settle) for pipeline in self._pipelines.values()))
        log.info("drained" if all(drained) else "not_drained", unsettled=int(self._signals.unsettled.total()))
        return all(drained)

    def _end_at_once(self) -> None:
        drained = all(pipeline.is_drained for pipeline in self._pipelines.values())
        log.warning("closing_takes_too_long", drained=drained)
        os._exit(0 if drained else Unavailable.exit_code)

    def _web(self) -> WebServer:
        web = self._settings.web
        live = Live(self._settings, self._snapshot, self._signals.misses.last, self.why_not_ready) if web.page else None
        return WebServer(web, self, self._metrics, metrics.CONTENT_TYPE, live)

    async def _snapshot(self) -> Snapshot:
        return self._signals.snapshot()

    async def _metrics(self) -> str:
        return metrics.render(told(self._signals.snapshot(), self._settings))

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


def _shares_no_memory(url: str, reason: str) -> None:
    log.info("shared_memory_off", url=url, reason=reason, instead="large tensors go over the wire")


async def _cancelled(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
