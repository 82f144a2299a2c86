"""Many runs that belong together: who, which scenarios, how often; in turns, so that a drifting machine is fair to all.

`quick` takes about ten minutes; `full` is what RESULTS.md is made of. Nothing that could not be run is left
out in silence: it is in the document as unavailable, with its error.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from loadtest import contestants, scenario, store
from loadtest.bench import Bench
from loadtest.calibration import Measured
from loadtest.ceilings import triton_alone
from loadtest.contestants import Options
from loadtest.errors import LoadTestError
from loadtest.peers.flink_model_triton import __main__ as flink_model_triton
from loadtest.result import Run
from loadtest.scenario import Scenario

_THROUGHPUT = "throughput"
_SHORT_GRID_SECONDS = 1.0


class Part(NamedTuple):
    """Scenarios that these contestants run in turns, so many rounds."""

    contestants: Sequence[str]
    scenarios: Sequence[Scenario]
    rounds: int


class Campaign(NamedTuple):
    """What is run, and for whom the best options of a grid are looked for first."""

    parts: Sequence[Part]
    tuned: Sequence[str]


def quick() -> Campaign:
    """The ceilings; the service, a hand-written loop and FastStream at half, all and twice of the model's capacity."""
    three = ["service", "confluent", "faststream"]
    loads = [_at(scenario.load("goodput"), slo_ms=50, load=load, seconds=10, warm_up_s=1) for load in (0.5, 1.0, 2.0)]
    return Campaign(
        [Part(["passthrough", *three], [scenario.load(_THROUGHPUT), _idle()], 1), Part(three, loads, 3)], []
    )


def full(peers: Sequence[str]) -> Campaign:
    """Every contestant; every scenario; three rounds."""
    everyone = ["service", *peers]
    curve = [
        _at(scenario.load("goodput"), slo_ms=slo_ms, load=load, seconds=8, warm_up_s=2)
        for slo_ms, load in product((20, 50, 100), (0.1, 0.5, 0.8, 0.95, 1.1, 1.5, 2.0))
    ]
    faults = [scenario.load(name) for name in ("spike", "bursts", "triton_paused", "triton_restarted", "triton_slow")]
    own = [scenario.load(name) for name in ("backlog", "rebalance", "json_vs_msgpack")]
    return Campaign(
        [
            Part(["passthrough", *everyone], [scenario.load(_THROUGHPUT), _idle()], 3),
            Part(everyone, curve, 3),
            Part(["service", "confluent", "faststream", "flink"], faults, 1),
            Part(["service"], own, 1),
        ],
        peers,
    )


async def run(bench: Bench, campaign: Campaign, commands: Sequence[str]) -> dict[str, Any]:
    """All of it; the document of results."""
    machine = store.machine()
    await bench.calibrate()
    unavailable: dict[str, str] = {}
    grids: dict[str, Any] = {}
    options: dict[str, Options] = {}
    for name in campaign.tuned:
        await _tune(bench, name, grids, options, unavailable)
    runs: list[Run] = []
    for part in campaign.parts:
        runs += await _play(bench, part, options, unavailable)
    document = store.document(
        machine, commands, bench.calibrations["paced"], runs, grids=grids, unavailable=unavailable
    )
    rows = await triton_alone.measure(
        bench.place.triton, "fraud", batches=triton_alone.BATCHES, seconds=_SHORT_GRID_SECONDS, in_flight=(1, 2, 4)
    )
    document["triton_alone"] = [_figures(row) for row in rows]
    if "flink" in campaign.tuned:
        document["findings"] = {"flink-model-triton": await asyncio.to_thread(flink_model_triton.attempt)}
    return document


async def _play(bench: Bench, part: Part, options: Mapping[str, Options], unavailable: dict[str, str]) -> list[Run]:
    """The rounds: scenario by scenario, all contestants in turn, in the other direction every second round."""
    runs: list[Run] = []
    for round_, asked in product(range(part.rounds), part.scenarios):
        order = list(part.contestants) if round_ % 2 == 0 else list(reversed(part.contestants))
        for name in order:
            if name in unavailable:
                continue
            try:
                runs += await bench.play(name, asked, options=options.get(name), seed=round_ + 1)
            except LoadTestError as error:
                _tell(f"{name} {asked.name}: {error}")
                unavailable[name] = str(error)
    return runs


async def _tune(
    bench: Bench, name: str, grids: dict[str, Any], options: dict[str, Options], unavailable: dict[str, str]
) -> None:
    """The options of a peer's grid with which it gets most events through; all are published."""
    tried: list[dict[str, Any]] = []
    try:
        for choice in contestants.find(name).grid:
            run_ = (await bench.play(name, scenario.load(_THROUGHPUT), options=choice))[0]
            tried.append({"options": dict(choice), "metric": run_["answered_per_s"] or 0.0})
    except LoadTestError as error:
        unavailable[name] = str(error)
        return
    grids[name] = tried
    options[name] = max(tried, key=lambda each: each["metric"])["options"]


def _idle() -> Scenario:
    """A low rate with the real model: what the path itself costs in time."""
    return _at(scenario.load("steady"), rate=500.0, seconds=10, warm_up_s=3)


def _at(asked: Scenario, **changes: Any) -> Scenario:
    return asked.variant(**changes)


def _figures(row: Measured) -> dict[str, Any]:
    return {name: round(value, 4) for name, value in row._asdict().items()}


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
