"""The bench turns sweeps and searches into runs; what a run does is tested on a real stack."""

from typing import Any

import pytest
from loadtest.bench import Bench
from loadtest.contestants import Options
from loadtest.result import Run
from loadtest.scenario import Scenario, parse

BASE = {"name": "mine", "arrivals": {"kind": "poisson", "rate": 100}, "seconds": 2}


class FakeBench(Bench):
    """Sustains up to a rate."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    async def run(self, contestant: str, scenario: Scenario, *, options: Options | None = None, seed: int = 1) -> Run:
        rate = scenario.arrivals.per_second(1_000)  # type: ignore[union-attr]
        in_time = 100 if rate <= self._limit else 50
        counts = {"in_time": in_time, "lost": 0}
        return {"rate": rate, "void": None, "sent": 100, "slo_ms": 50, "counts": counts, "per_second": []}


@pytest.mark.parametrize("limit", [700, 1_900, 3_000])
async def test_a_search_closes_in_on_the_highest_sustained_rate(limit: float) -> None:
    asked = parse({**BASE, "search": {"from_rate": 500, "to_rate": 4_000, "steps": 8}}, "x")
    runs = await FakeBench(limit).play("service", asked)
    assert len(runs) == 8
    best = max(run["rate"] for run in runs if run["counts"]["in_time"] == 100)
    assert limit / 1.02 <= best <= limit


async def test_a_sweep_is_played_in_order() -> None:
    asked = parse({**BASE, "sweep": {"load": [0.5, 1.0, 2.0]}}, "x")
    runs = await FakeBench(1_000).play("service", asked)
    assert [run["rate"] for run in runs] == [500, 1_000, 2_000]


async def test_a_single_scenario_is_one_run() -> None:
    runs: list[dict[str, Any]] = await FakeBench(1_000).play("service", parse(BASE, "x"))
    assert [run["rate"] for run in runs] == [100]
