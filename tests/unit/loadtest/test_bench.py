"""The bench turns sweeps and searches into runs; what a run does is tested on a real stack."""

from pathlib import Path
from typing import Any

import pytest
from loadtest.bench import Bench
from loadtest.contestants import Options
from loadtest.errors import LoadTestError
from loadtest.place import Place
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


class FakeStack:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def kill(self, part: str) -> None:
        self.done.append(f"kill {part}")

    def start(self, part: str) -> None:
        self.done.append(f"start {part}")


class FakeConductor:
    """A run that went well."""

    def __init__(self, *given: Any, **options: Any) -> None:
        pass

    async def run(self) -> Run:
        return {"void": None, "sent": 100}


def bench_with(monkeypatch: pytest.MonkeyPatch, answers: list[bool], stack: FakeStack | None) -> Bench:
    """Triton answers so, each time it is asked."""

    async def answer(url: str, model: str) -> bool:
        return answers.pop(0)

    monkeypatch.setattr("loadtest.bench.triton_alone.answers", answer)
    monkeypatch.setattr("loadtest.bench.Conductor", FakeConductor)
    bench = Bench()
    parts = ("kafka", "triton") if stack else ("kafka",)
    bench._place = Place("k", "apache", "t:1", stack, parts, Path("factor"), Path("runs"), None)  # type: ignore[arg-type]
    return bench


async def test_a_triton_that_hangs_is_started_anew_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FakeStack()
    run = await bench_with(monkeypatch, [False, True, True], stack).run("service", parse(BASE, "x"))
    assert stack.done == ["kill triton", "start triton"]
    assert run["void"] is None


async def test_a_run_in_which_triton_itself_hung_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await bench_with(monkeypatch, [True, False], FakeStack()).run("service", parse(BASE, "x"))
    assert "Triton itself" in run["void"]


@pytest.mark.parametrize("stack", [FakeStack(), None])
async def test_without_an_answer_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, stack: FakeStack | None) -> None:
    """Neither where it stays so, nor where Triton is not ours to start."""
    with pytest.raises(LoadTestError, match="answers no call"):
        await bench_with(monkeypatch, [False, False], stack).run("service", parse(BASE, "x"))
