"""One run: fresh topics, a contestant, a generator, a collector, what goes wrong, and the books at the end."""

import asyncio
import secrets
import sys
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec
import numpy as np

from inferstream.operate.audit import reconcile
from inferstream.operate.pipelines import choose
from inferstream.settings import load as load_settings
from loadtest import collector, place, result, topics
from loadtest.arrivals import Replay
from loadtest.contestants import Contestant, Job, Options, Service, service_environ
from loadtest.errors import AccountingError, ScenarioError
from loadtest.faults import Saboteur
from loadtest.instances import Instances
from loadtest.pacer import Schedule
from loadtest.place import Place, Topics
from loadtest.processes import Child, Meter, environment
from loadtest.scenario import Fault, Scenario

_PREPARE_SECONDS = 120.0
_READY_SECONDS = 30.0
_LAST_ACKNOWLEDGEMENT_SECONDS = 60.0
_QUIET_SECONDS = 8.0  # nothing more comes
_REPEATS_SECONDS = 0.5  # after the last outcome, for duplicates
_LOOK_SECONDS = 0.25
_SHORTEST_SECONDS = 0.1


class Conductor:
    """Makes one run; used once."""

    def __init__(
        self,
        where: Place,
        contestant: Contestant | None,
        scenario: Scenario,
        *,
        options: Options,
        seed: int,
        capacity: float | None,
    ) -> None:
        self._place = where
        self._contestant = contestant
        self._options = options
        self._seed = seed
        self._schedule = scenario.schedule(seed, capacity)
        self._scenario = _as_long_as(scenario, self._schedule)
        self._class_of = scenario.classes_of(len(self._schedule), seed)
        self._tag = f"{scenario.name}-{contestant.name if contestant else 'yours'}-{secrets.token_hex(3)}"
        self._folder = where.folder / self._tag
        self._meter = Meter()
        self._events: list[dict[str, Any]] = []
        self._following: asyncio.Task[dict[str, Any]] | None = None
        self._seen = 0
        self._begin_ns = 0
        self._topics = where.topics or Topics(*(f"{self._tag}-{part}" for part in ("in", "out", "dead")))
        self._instances = self._make_instances()

    async def run(self) -> result.Run:
        """The figures, complete; or an error, and no figures."""
        if not len(self._schedule):
            raise ScenarioError(
                f"scenario {self._scenario.name} at an SLO of {self._scenario.slo_ms} ms sends no event: raise its "
                "rate or its seconds, or the SLO if the model cannot keep it at all"
            )
        self._folder.mkdir(parents=True)
        if self._contestant is not None:
            await self._contestant.prepare()
        await asyncio.to_thread(self._prepare_topics)
        children = {name: self._child(name) for name in ("collector", "generator")}
        try:
            observed = await self._perform(children["collector"], children["generator"])
        finally:
            await self._clear(*children.values())
        try:
            return await self._books(observed)
        finally:
            if self._place.topics is None:
                await asyncio.to_thread(topics.delete, self._place.kafka, self._tag)

    async def _books(self, observed: result.Observed) -> result.Run:
        name = self._contestant.name if self._contestant else "yours"
        run = result.build(self._scenario, observed, contestant=name, options=self._options, seed=self._seed)
        await self._audit()
        return run

    async def _perform(self, collecting: Child, generating: Child) -> result.Observed:
        """All processes, from start to end."""
        is_backlog = self._scenario.backlog_s > 0
        await _together(
            self._start_collecting(collecting),
            self._start_generating(generating),
            *([] if is_backlog else [self._start_instances()]),
        )
        generating.tell("begin")
        self._begin_ns = (await generating.fact("begin_unix_ns", _PREPARE_SECONDS))["begin_unix_ns"]
        sent, *_ = await _together(
            generating.fact("failed", self._length_s() + _LAST_ACKNOWLEDGEMENT_SECONDS),
            self._watch(),
            *([self._start_late()] if is_backlog else []),
            *(self._harm(fault) for fault in self._scenario.faults),
        )
        await self._drain()
        if self._instances is not None:
            await self._instances.end()
        collecting.tell("stop")
        assert self._following is not None
        told = await self._following
        return result.Observed(
            kafka=self._place.kafka_kind,
            schedule=self._schedule,
            begin_ns=self._begin_ns,
            class_of=self._class_of,
            left_ns=np.load(self._folder / "left.npy"),
            failed=sent["failed"],
            received=collector.load(self._folder / "received.npz"),
            is_brokers_clock=told["is_brokers_clock"],
            cpu_seconds=self._meter.seconds(),
            memory_mib=self._meter.mib(),
            events=self._events,
        )

    def _prepare_topics(self) -> None:
        if self._place.topics is None:
            topics.create(self._place.kafka, self._tag, self._scenario.partitions)

    def _make_instances(self) -> Instances | None:
        if self._contestant is None:
            return None
        return Instances(self._contestant, self._job(), self._folder, lambda pid: self._meter.watch("contestant", pid))

    def _job(self) -> Job:
        return place.job(self._place, self._topics, self._scenario, f"{self._tag}-group", self._options)

    def _child(self, name: str) -> Child:
        command = [sys.executable, "-m", f"loadtest.{name}"]
        return Child(name, command, environment(), self._folder / f"{name}.log")

    async def _start(self, child: Child, plan: Mapping[str, Any]) -> None:
        await child.start(listens=True)
        child.tell(plan)
        self._meter.watch(child.name, child.pid)

    def _generator_plan(self) -> Mapping[str, Any]:
        place.save_load(self._folder, self._schedule, self._class_of)
        return place.generator_plan(self._place, self._topics, self._scenario, self._seed, self._folder)

    async def _start_collecting(self, collecting: Child) -> None:
        plan = place.collector_plan(self._place, self._topics, len(self._schedule), self._folder)
        await self._start(collecting, plan)
        await collecting.fact("ready", _READY_SECONDS)
        self._following = asyncio.create_task(self._follow(collecting))

    async def _start_generating(self, generating: Child) -> None:
        await self._start(generating, await asyncio.to_thread(self._generator_plan))
        await generating.fact("prepared", _PREPARE_SECONDS)

    async def _start_instances(self) -> None:
        if self._instances is not None:
            await _together(*(self._instances.start() for _ in range(self._scenario.instances)))

    async def _follow(self, collecting: Child) -> dict[str, Any]:
        """Keep in mind how much the collector has seen; what it says last."""
        while True:
            told = await collecting.fact("seen", _READY_SECONDS)
            self._seen = told["seen"]
            if "records" in told:
                return told

    async def _start_late(self) -> None:
        """A backlog waits for its contestant: it starts when the live events begin."""
        assert self._instances is not None
        await self._until(0)
        self._note("contestant started")
        await self._start_instances()
        self._note("contestant ready")

    async def _harm(self, fault: Fault) -> None:
        await self._until(self._scenario.warm_up_s + fault.at_s)
        self._note(fault.words())
        saboteur = Saboteur(
            self._place.stack if "triton" in self._place.parts else None,
            self._instances,
            self._place.factor_file,
            lambda pid: self._meter.watch("triton", pid),
        )
        await saboteur.do(fault)
        if (over := fault.end()) is not None:
            self._note(over)

    async def _watch(self) -> None:
        """Meter the measured part, and notice a contestant's end."""
        if self._place.stack is not None:
            for part in self._place.parts:
                self._meter.watch(part, self._place.stack.pid(part))
        await self._until(self._scenario.warm_up_s)
        self._meter.begin()
        end_ns = self._begin_ns + int(self._length_s() * 1e9)
        while time.time_ns() < end_ns:
            await asyncio.sleep(_LOOK_SECONDS)
            self._meter.look()
            if self._instances is not None:
                self._instances.check()

    async def _drain(self) -> None:
        """Wait until every event has an outcome, or none come any more."""
        deadline = time.monotonic() + self._scenario.drain_s
        seen, at = self._seen, time.monotonic()
        while self._seen < len(self._schedule) and time.monotonic() < min(deadline, at + _QUIET_SECONDS):
            await asyncio.sleep(0.05)
            if self._seen > seen:
                seen, at = self._seen, time.monotonic()
        if self._seen < len(self._schedule):
            self._note(f"{result.GIVEN_UP} with {len(self._schedule) - self._seen} events unanswered")
        await asyncio.sleep(_REPEATS_SECONDS)

    async def _audit(self) -> None:
        """The service's own proof, from the topics. Raises AccountingError."""
        if not isinstance(self._contestant, Service):
            return
        settings = load_settings(environ=service_environ(self._job()))
        report = await reconcile(settings, choose(settings, "fraud"))
        if report.problems or report.inputs != len(self._schedule):
            found = msgspec.json.encode({"inputs": report.inputs, "problems": report.counts}).decode()
            raise AccountingError(f"the audit of {self._tag} failed, {len(self._schedule)} events were sent: {found}")

    async def _until(self, second: float) -> None:
        """Wait until so many seconds after the begin of the live events."""
        await asyncio.sleep(max(0.0, (self._begin_ns - time.time_ns()) / 1e9 + second))

    def _note(self, what: str) -> None:
        at_s = (time.time_ns() - self._begin_ns) / 1e9 - self._scenario.warm_up_s
        self._events.append({"at_s": round(at_s, 3), "what": what})

    def _length_s(self) -> float:
        return self._scenario.warm_up_s + self._scenario.seconds

    async def _clear(self, *children: Child) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for child in children:
            await child.clear()
        if self._instances is not None:
            await self._instances.clear()


def _as_long_as(scenario: Scenario, schedule: Schedule) -> Scenario:
    """A recording may be over before the scenario is: then the run is as long as the recording."""
    if not isinstance(scenario.arrivals, Replay) or not len(schedule):
        return scenario
    seconds = max(_SHORTEST_SECONDS, int(schedule[-1]) / 1e9 - scenario.warm_up_s)
    return scenario.variant(seconds=min(scenario.seconds, seconds))


async def _together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All of it at once; when one part fails the others are given up."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
