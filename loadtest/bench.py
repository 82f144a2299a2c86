"""One local stack, or a user's own systems, and many runs on them.

async with Bench(kafka="apache") as bench:
    await bench.calibrate()
    runs = await bench.play("service", load("goodput"))
"""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, cast

from inferstream import local
from loadtest import contestants, repository, topics
from loadtest.calibration import Calibration
from loadtest.ceilings import triton_alone
from loadtest.contestants import Options
from loadtest.errors import LoadTestError, ScenarioError
from loadtest.place import Place, Topics
from loadtest.repository import Pace
from loadtest.result import Run
from loadtest.run import Conductor
from loadtest.scenario import Scenario
from loadtest.traces import collector, environ
from loadtest.verdict import is_sustained

Model = Literal["fraud", "paced", "slow"]

YOURS = "yours"
"""The name of a contestant that runs already, on a user's own topics."""


class Bench:
    """An asynchronous context manager. `kafka` is `embedded`, `apache`, or host:port of a broker that is there."""

    def __init__(
        self,
        kafka: str = "embedded",
        *,
        triton: str | None = None,
        topics: Topics | None = None,
        pace: Pace | None = None,
        folder: Path | None = None,
        progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._kafka = kafka
        self._triton = triton
        self._topics = topics
        self._pace = pace or Pace()
        self._wanted_folder = folder
        self._progress = progress
        self.calibrations: dict[Model, Calibration] = {}
        self._open = ExitStack()
        self._place: Place | None = None
        self._traces_url = ""

    async def __aenter__(self) -> "Bench":
        """Start what is not there yet. Raises LocalStackError or LoadTestError."""
        try:
            self._place = await asyncio.to_thread(self._start)
        except BaseException:
            self._open.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._open.close)

    @property
    def place(self) -> Place:
        """Where the runs are made."""
        if self._place is None:
            raise RuntimeError("use `async with Bench(...)`")
        return self._place

    async def calibrate(self, model: Model = "paced", seconds: float = 1.5) -> Calibration:
        """Find how long calls of a model take, by asking Triton directly; loads are fractions of what that gives."""
        self._progress(f"calibrating model {model}")
        rows = await triton_alone.measure(self.place.triton, model, seconds=seconds)
        self.calibrations[model] = Calibration.fit(rows)
        return self.calibrations[model]

    async def play(
        self,
        contestant: str,
        scenario: Scenario,
        *,
        options: Options | None = None,
        seed: int = 1,
        made: list[Run] | None = None,
    ) -> list[Run]:
        """All runs of a scenario: one, those of its sweep, or those of its search.

        They are added to `made` one by one, so that those before one that fails are not lost.
        """
        made = [] if made is None else made
        if scenario.search is not None:
            await self._search(contestant, scenario, options, seed, made)
        else:
            for one in scenario.variants():
                made.append(await self.run(contestant, one, options=options, seed=seed))
        return made

    async def run(self, contestant: str, scenario: Scenario, *, options: Options | None = None, seed: int = 1) -> Run:
        """One run of a contestant (`yours`: the one that runs already). Raises LoadTestError, and then no figures."""
        capacity = None
        if scenario.names_load:
            if scenario.model not in self.calibrations:
                await self.calibrate(scenario.model)
            capacity = self.calibrations[scenario.model].capacity_per_s(scenario.slo_ms)
        found = None if contestant == YOURS else contestants.find(contestant)
        if (found is None) != (self._topics is not None):
            raise ScenarioError(f"contestant '{YOURS}' and topics of your own belong together: give both or none")
        if scenario.instances > 1 and self._kafka == "embedded":
            raise ScenarioError(
                f"scenario {scenario.name} needs --kafka apache: the embedded broker has no room in a "
                "group for a second member"
            )
        if found is not None and scenario.warm_up_s < found.warm_up_s and not scenario.backlog_s:
            scenario = scenario.variant(warm_up_s=found.warm_up_s)
        if scenario.traces is not None:
            if not self._traces_url:
                opened = collector(self.place.folder.parent)
                self._traces_url, _ = await asyncio.to_thread(self._open.enter_context, opened)
            scenario = scenario.variant(environ={**scenario.environ, **environ(self._traces_url, scenario.traces)})
        load = getattr(scenario.arrivals, "load", None)
        pace = "" if load is None else f", load {load:g}"
        self._progress(f"{contestant}: {scenario.name}, SLO {scenario.slo_ms} ms{pace}, for {scenario.seconds:g} s")
        await self._wake_triton(scenario.model)
        conductor = Conductor(self.place, found, scenario, options=options or {}, seed=seed, capacity=capacity)
        run = await conductor.run()
        if not scenario.faults and not await self._triton_answers(scenario.model):
            run["void"] = run["void"] or "Triton itself has hung in this run"
        return run

    async def _triton_answers(self, model: Model) -> bool:
        """Whether it is up to a run; not asked where it is not ours to know."""
        return not self.place.triton or await triton_alone.answers(self.place.triton, model)

    async def _wake_triton(self, model: Model) -> None:
        """A Triton that hangs would be measured as its contestant's fault: ours is started anew."""
        if await self._triton_answers(model):
            return
        stack = self.place.stack
        if stack is None or "triton" not in self.place.parts:
            raise LoadTestError(f"model '{model}' at Triton {self.place.triton} answers no call: nothing was measured")
        self._progress("Triton answers no call any more: starting it anew")
        await asyncio.to_thread(stack.kill, "triton")
        await asyncio.to_thread(stack.start, "triton")
        if not await self._triton_answers(model):
            raise LoadTestError(f"model '{model}' answers no call, nor after a new start of Triton")

    async def _search(
        self, contestant: str, scenario: Scenario, options: Options | None, seed: int, made: list[Run]
    ) -> None:
        """Bisection."""
        assert scenario.search is not None
        low, high = scenario.search.from_rate, scenario.search.to_rate
        for _ in range(scenario.search.steps):
            rate = (low * high) ** 0.5
            made.append(await self.run(contestant, scenario.variant(rate=rate), options=options, seed=seed))
            low, high = (rate, high) if is_sustained(made[-1]) else (low, rate)

    def _start(self) -> Place:
        folder = self._wanted_folder or Path(
            self._open.enter_context(tempfile.TemporaryDirectory(prefix="inferstream-loadtest-"))
        )
        factor_file = folder / "factor"
        is_local = self._kafka in ("embedded", "apache")
        parts: tuple[local.Part, ...] = (
            *(("kafka",) if is_local else ()),
            *(("triton",) if self._needs_triton else ()),
        )
        stack = None
        if not is_local:  # before anything is started
            topics.partitions(self._kafka, *(topic for topic in self._topics or () if topic is not None))
        if parts:
            stack = self._open.enter_context(
                local.running(
                    folder / "stack",
                    kafka=cast("local.KafkaKind", self._kafka) if is_local else "embedded",
                    parts=parts,
                    model_repository=repository.build(folder / "models", self._pace, factor_file),
                    progress=self._progress,
                )
            )
        kafka = stack.endpoints.kafka if stack is not None and is_local else self._kafka
        if is_local:
            topics.warm_up(kafka)
        return Place(
            kafka=kafka,
            kafka_kind=self._kafka if is_local else "yours",
            triton=self._triton or (stack.endpoints.triton if stack is not None else ""),
            stack=stack,
            parts=parts,
            factor_file=factor_file,
            folder=folder / "runs",
            topics=self._topics,
        )

    @property
    def _needs_triton(self) -> bool:
        return self._triton is None and self._topics is None
