"""Many runs that belong together, in turns, so that a drifting machine is fair to all.

Nothing that could not be run is left out in silence: a contestant that cannot be had is in the document as unavailable,
a run that failed as failed, each with its error; the other runs of a contestant count all the same.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from inferstream.errors import InferstreamError
from loadtest import contestants, estimate, scenario, store
from loadtest.arrivals import Replay
from loadtest.bench import Bench
from loadtest.calibration import Measured
from loadtest.ceilings import triton_alone
from loadtest.cells import THROUGHPUT
from loadtest.contestants import Options
from loadtest.errors import LoadTestError, ScenarioError
from loadtest.forms import Form, Part
from loadtest.peers.flink_model_triton import __main__ as flink_model_triton
from loadtest.result import Run
from loadtest.scenario import Scenario

_SHORT_GRID_SECONDS = 0.7
_FLINK_S_OWN = "flink-model-triton"
_MOST_FAILURES = 3
_GIVEN_UP = "given up"


class Campaign:
    """All runs of a form on one bench; used once. `keep` is given the document of results now and then, so that what
    was measured outlives an end that comes too early. `earlier` is such a document, to go on with: rounds of a
    scenario in which nobody is missing are not played again, and peers stay tuned as they were."""

    def __init__(
        self,
        bench: Bench,
        form: Form,
        commands: Sequence[str],
        keep: Callable[[dict[str, Any]], object],
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        found = earlier or {}
        self._bench = bench
        self._form = form
        self._commands = [*found.get("commands", ()), *commands]
        self._keep = keep
        self._machine = store.machine()
        self._grids: dict[str, Any] = dict(found.get("grids", {}))
        self._options: dict[str, Options] = {name: _best(tried) for name, tried in self._grids.items()}
        # Who could not be had may be there now; who was given up stays so.
        self._unavailable = {
            name: why for name, why in found.get("unavailable", {}).items() if why.startswith(_GIVEN_UP)
        }
        self._failed: list[dict[str, Any]] = list(found.get("failed", ()))
        self._in_a_row: Counter[str] = Counter()
        self._runs: list[Run] = list(found.get("runs", ()))
        self._more: dict[str, Any] = {"findings": found["findings"]} if "findings" in found else {}
        self._totals_s = estimate.by_scenario(form)
        self._plays = sum(part.rounds * len(part.contestants) * len(part.scenarios) for part in form.parts)
        self._done: list[estimate.Done] = []

    async def run(self) -> dict[str, Any]:
        """All of it; the document of results."""
        names = dict.fromkeys(name for part in self._form.parts for name in part.contestants)
        for name in names:
            await self._prepare(name)
        await self._bench.calibrate()
        for name in self._form.tuned:
            await self._tune(name)
        for part in self._form.parts:
            await self._play(part)
        self._save()
        await self._at_last("triton alone", self._ask_directly())
        if "flink" in self._form.tuned and "flink" not in self._unavailable:
            await self._at_last(_FLINK_S_OWN, self._ask_of_flink())
        return self._save()

    async def _at_last(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Something that is not worth losing hours for."""
        try:
            await work
        except InferstreamError as error:
            _tell(f"{what}: {error}")
            self._failed.append(
                {"contestant": what, "scenario": "", "slo_ms": 0, "load": None, "seed": 1, "why": str(error)}
            )

    async def _ask_of_flink(self) -> None:
        self._more["findings"] = {_FLINK_S_OWN: await asyncio.to_thread(flink_model_triton.attempt)}

    async def _prepare(self, name: str) -> None:
        """Install it before the clock runs."""
        _tell(f"preparing {name}")
        try:
            await contestants.find(name).prepare()
        except LoadTestError as error:
            self._give_up(name, str(error))

    async def _play(self, part: Part) -> None:
        """The rounds: scenario by scenario, all contestants in turn, both in the other direction every second round."""
        for round_ in range(part.rounds):
            there_or_back = slice(None) if round_ % 2 == 0 else slice(None, None, -1)
            order = list(part.contestants)[there_or_back]
            for asked in list(part.scenarios)[there_or_back]:
                is_whole = self._was_played(part, asked, round_ + 1)
                if not is_whole:
                    self._forget(part, asked, round_ + 1)
                for name in order:
                    if is_whole:
                        self._leave_out(name, asked)
                    else:
                        await self._try(name, asked, round_ + 1)
                self._save()

    def _was_played(self, part: Part, asked: Scenario, seed: int) -> bool:
        """Whether an earlier campaign has all of a round: runs are compared with those made beside them."""
        there = {run["contestant"] for run in [*self._runs, *self._failed] if _is_of(run, asked, seed)}
        return there | self._unavailable.keys() >= {*part.contestants}

    def _forget(self, part: Part, asked: Scenario, seed: int) -> None:
        """What there is of a round that was broken off."""

        def stays(run: Mapping[str, Any]) -> bool:
            return run["contestant"] not in part.contestants or not _is_of(run, asked, seed)

        self._runs, self._failed = [*filter(stays, self._runs)], [*filter(stays, self._failed)]

    def _leave_out(self, name: str, asked: Scenario) -> None:
        self._totals_s[asked.name] -= estimate.of_run(name, asked)
        self._plays -= 1

    async def _try(self, name: str, asked: Scenario, seed: int) -> None:
        guess_s, began = estimate.of_run(name, asked), time.monotonic()
        if name not in self._unavailable:
            try:
                await self._bench.play(name, asked, options=self._options.get(name), seed=seed, made=self._runs)
                self._in_a_row[name] = 0
            except InferstreamError as error:
                self._note_failure(name, asked, seed, str(error), isinstance(error, ScenarioError))
            self._done.append(estimate.Done(asked.name, guess_s, time.monotonic() - began))
        else:
            self._leave_out(name, asked)
        left = estimate.words(estimate.left(self._totals_s, self._done))
        _tell(f"  {len(self._done)} of {self._plays} played, about {left} left")

    def _note_failure(self, name: str, asked: Scenario, seed: int, why: str, is_asked_wrong: bool) -> None:
        """One that fails again and again is not waited for any more; what it did before counts."""
        _tell(f"{name} {asked.name}: {why}")
        load = getattr(asked.arrivals, "load", None)
        where = {"contestant": name, "scenario": asked.name, "slo_ms": asked.slo_ms, "load": load, "seed": seed}
        self._failed.append({**where, "why": why})
        if is_asked_wrong:  # of any contestant
            return
        self._in_a_row[name] += 1
        if self._in_a_row[name] == _MOST_FAILURES:
            self._give_up(name, f"{_GIVEN_UP} after {_MOST_FAILURES} failed runs in a row; the last one: {why}")

    def _give_up(self, name: str, why: str) -> None:
        _tell(f"{name}: {why}")
        self._unavailable[name] = why

    async def _tune(self, name: str) -> None:
        """The options of a peer's grid with which it gets most events through; all are published."""
        tried: list[dict[str, Any]] = []
        if name in self._unavailable or name in self._grids:
            return
        why = ""
        for choice in contestants.find(name).grid:
            try:
                run_ = (await self._bench.play(name, scenario.load(THROUGHPUT), options=choice))[0]
            except InferstreamError as error:
                why = str(error)
                _tell(f"{name}: {why}")
                continue
            if not run_["void"]:
                tried.append({"options": dict(choice), "metric": run_["answered_per_s"] or 0.0})
        if not tried:
            self._give_up(name, why or "no run that tries its options counts")
            return
        self._grids[name] = tried
        self._options[name] = _best(tried)

    async def _ask_directly(self) -> None:
        """Both models without Kafka: all sizes of the real one, a single row of the paced one."""
        url = self._bench.place.triton
        sizes = {"batches": triton_alone.BATCHES, "in_flight": triton_alone.IN_FLIGHT}
        real = await triton_alone.measure(url, "fraud", **sizes, seconds=_SHORT_GRID_SECONDS)
        paced = await triton_alone.measure(url, "paced", batches=[1], in_flight=[1], seconds=_SHORT_GRID_SECONDS)
        self._more["triton_alone"] = [
            {"model": model, **_figures(row)} for model, rows in (("fraud", real), ("paced", paced)) for row in rows
        ]

    def _save(self) -> dict[str, Any]:
        document = store.document(
            self._machine,
            self._commands,
            self._bench.calibrations.get("paced"),
            self._runs,
            grids=self._grids,
            unavailable=self._unavailable,
            failed=self._failed,
        )
        document |= self._more
        self._keep(document)
        return document


def _best(tried: Sequence[Mapping[str, Any]]) -> Options:
    """The options of a grid with the highest figure."""
    options: Options = max(tried, key=lambda each: each["metric"])["options"]
    return options


def _is_of(run: Mapping[str, Any], asked: Scenario, seed: int) -> bool:
    """Whether a run, or one that failed, is of this round of a scenario; a sweep or a search has any SLO and load."""
    if (run["scenario"], run["seed"]) != (asked.name, seed):
        return False
    is_many = asked.search is not None or len(asked.variants()) > 1
    load = getattr(asked.arrivals, "load", None)
    # One that failed has no length; a recording may be over before its scenario is.
    is_as_long = isinstance(asked.arrivals, Replay) or run.get("seconds", asked.seconds) == asked.seconds
    return is_many or ((run["slo_ms"], run["load"]) == (asked.slo_ms, load) and is_as_long)


def _figures(row: Measured) -> dict[str, Any]:
    return {name: round(value, 4) for name, value in row._asdict().items()}


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
