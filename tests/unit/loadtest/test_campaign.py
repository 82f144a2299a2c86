"""A campaign goes on when a run fails, keeps what was measured, and tells what is missing."""

from pathlib import Path
from typing import Any

import pytest
from loadtest import scenario
from loadtest.calibration import Calibration, Measured
from loadtest.campaign import Campaign
from loadtest.contestants import Options, Program, find
from loadtest.errors import ContestantUnavailable, LoadTestError, ScenarioError
from loadtest.forms import Form, Part
from loadtest.place import Place
from loadtest.result import Run
from loadtest.scenario import Scenario
from tests.unit.loadtest.results import run

from inferstream.errors import InferstreamError

STEADY = scenario.load("steady")


class FakeBench:
    """Plays without processes; `failing` are numbers of plays."""

    def __init__(self, failing: set[int] | None = None, error: InferstreamError | None = None) -> None:
        self.calibrations = {"paced": Calibration(2.0, 0.5)}
        self.place = Place("", "apache", "triton:1", None, (), Path(), Path())
        self.played: list[tuple[str, int]] = []
        self._failing = failing or set()
        self._error = error or LoadTestError("it fell over")
        self.per_s = 1_000.0

    async def calibrate(self) -> None:
        pass

    async def play(
        self,
        name: str,
        asked: Scenario,
        *,
        options: Options | None = None,
        seed: int = 1,
        made: list[Run] | None = None,
    ) -> list[Run]:
        self.played.append((name, seed))
        if len(self.played) - 1 in self._failing:
            raise self._error
        made = [] if made is None else made
        made.append(run(name, seed=seed, seconds=asked.seconds, answered_per_s=self.per_s))
        return made


@pytest.fixture(autouse=True)
def _no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(url: str, model: str, **_: Any) -> list[Measured]:
        return [Measured(1, 1, 400.0, 2.0, 3.0)]

    monkeypatch.setattr("loadtest.ceilings.triton_alone.measure", measure)


@pytest.fixture(autouse=True)
def _nothing_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare(self: Program) -> None:
        pass

    monkeypatch.setattr(Program, "prepare", prepare)


async def played(
    bench: FakeBench,
    *parts: Part,
    kept: list[dict[str, Any]] | None = None,
    earlier: dict[str, Any] | None = None,
    tuned: tuple[str, ...] = (),
) -> dict[str, Any]:
    documents = [] if kept is None else kept
    form = Form(parts, tuned)
    return await Campaign(bench, form, ["a command"], documents.append, earlier).run()  # type: ignore[arg-type]


async def test_contestants_take_turns_the_other_way_round_every_second_round() -> None:
    bench = FakeBench()
    await played(bench, Part(["service", "passthrough"], [STEADY], 3))
    assert bench.played == [
        ("service", 1), ("passthrough", 1), ("passthrough", 2), ("service", 2), ("service", 3), ("passthrough", 3),
    ]  # fmt: skip


async def test_a_failed_run_is_told_and_the_others_of_its_contestant_count() -> None:
    found = await played(FakeBench(failing={1}), Part(["service"], [STEADY], 3))
    assert [one["seed"] for one in found["runs"]] == [1, 3]
    assert found["unavailable"] == {}
    (failed,) = found["failed"]
    assert (failed["contestant"], failed["scenario"], failed["seed"], failed["why"]) == (
        "service", "steady", 2, "it fell over",
    )  # fmt: skip


async def test_one_that_fails_three_times_in_a_row_is_not_waited_for_any_more() -> None:
    bench = FakeBench(failing={1, 2, 3})
    found = await played(bench, Part(["service"], [STEADY], 9))
    assert len(bench.played) == 4
    assert len(found["runs"]) == 1
    assert len(found["failed"]) == 3
    assert "3 failed runs in a row" in found["unavailable"]["service"]


async def test_a_run_between_failures_shows_that_it_can() -> None:
    bench = FakeBench(failing={0, 1, 3, 4})
    found = await played(bench, Part(["service"], [STEADY], 6))
    assert len(found["runs"]) == 2
    assert found["unavailable"] == {}


async def test_any_error_of_ours_is_a_failed_run_and_not_the_end() -> None:
    found = await played(FakeBench(failing={0}, error=InferstreamError("broken")), Part(["service"], [STEADY], 2))
    assert len(found["runs"]) == 1


async def test_a_contestant_that_cannot_be_installed_is_not_played(monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare(_: object) -> None:
        raise ContestantUnavailable("passthrough cannot be installed: no network")

    monkeypatch.setattr("loadtest.contestants.Program.prepare", prepare)
    bench = FakeBench()
    found = await played(bench, Part(["service", "passthrough"], [STEADY], 1))
    assert bench.played == [("service", 1)]
    assert found["unavailable"] == {"passthrough": "passthrough cannot be installed: no network"}


async def test_what_was_measured_is_kept_after_every_round() -> None:
    kept: list[dict[str, Any]] = []
    await played(FakeBench(), Part(["service"], [STEADY], 2), kept=kept)
    assert [len(document["runs"]) for document in kept] == [1, 2, 2, 2]
    assert kept[-1]["triton_alone"][0]["model"] == "fraud"


async def test_progress_tells_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    await played(FakeBench(), Part(["service"], [STEADY], 2))
    assert "1 of 2 played, about 1 min left" in capsys.readouterr().err


async def test_what_an_earlier_campaign_has_is_not_played_again() -> None:
    first = await played(FakeBench(), Part(["service", "passthrough"], [STEADY], 2))
    bench = FakeBench()
    found = await played(bench, Part(["service", "passthrough"], [STEADY], 3), earlier=first)
    assert bench.played == [("service", 3), ("passthrough", 3)]
    assert len(found["runs"]) == 6
    assert found["commands"] == ["a command", "a command"]


async def test_a_round_that_was_broken_off_is_played_anew_by_all() -> None:
    first = await played(FakeBench(), Part(["service", "passthrough"], [STEADY], 2))
    first["runs"] = [one for one in first["runs"] if (one["contestant"], one["seed"]) != ("passthrough", 2)]
    bench = FakeBench()
    found = await played(bench, Part(["service", "passthrough"], [STEADY], 2), earlier=first)
    assert bench.played == [("passthrough", 2), ("service", 2)]
    assert sorted((one["contestant"], one["seed"]) for one in found["runs"]) == [
        ("passthrough", 1), ("passthrough", 2), ("service", 1), ("service", 2),
    ]  # fmt: skip


async def test_a_run_that_failed_and_one_who_was_given_up_are_not_missing() -> None:
    first = await played(FakeBench(failing={0, 2, 4}), Part(["service", "passthrough"], [STEADY], 1))
    assert [one["contestant"] for one in first["failed"]] == ["service"]
    first["unavailable"] = {"naive": "given up after 3 failed runs in a row"}
    bench = FakeBench()
    found = await played(bench, Part(["service", "passthrough", "naive"], [STEADY], 1), earlier=first)
    assert bench.played == []
    assert (len(found["runs"]), len(found["failed"]), found["unavailable"]) == (1, 1, first["unavailable"])


async def test_one_that_could_not_be_installed_is_had_when_it_can_beside_the_others() -> None:
    first = await played(FakeBench(), Part(["service"], [STEADY], 1))
    first["unavailable"] = {"passthrough": "passthrough cannot be installed: no network"}
    bench = FakeBench()
    found = await played(bench, Part(["service", "passthrough"], [STEADY], 1), earlier=first)
    assert bench.played == [("service", 1), ("passthrough", 1)]
    assert (len(found["runs"]), found["unavailable"]) == (2, {})


async def test_what_could_not_be_asked_of_anybody_gives_nobody_up() -> None:
    wrong = ScenarioError("sends no event")
    found = await played(FakeBench(failing=set(range(4)), error=wrong), Part(["service"], [STEADY], 5))
    assert (len(found["failed"]), len(found["runs"]), found["unavailable"]) == (4, 1, {})


async def test_what_comes_last_is_not_worth_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(url: str, model: str, **_: Any) -> list[Measured]:
        raise LoadTestError("Triton hangs")

    monkeypatch.setattr("loadtest.ceilings.triton_alone.measure", measure)
    found = await played(FakeBench(), Part(["service"], [STEADY], 1))
    assert len(found["runs"]) == 1
    assert [(each["contestant"], each["why"]) for each in found["failed"]] == [("triton alone", "Triton hangs")]


async def test_one_choice_that_fails_costs_a_peer_no_more_than_that_choice() -> None:
    found = await played(FakeBench(failing={0}), Part(["confluent"], [STEADY], 1), tuned=("confluent",))
    assert len(found["grids"]["confluent"]) == len(find("confluent").grid) - 1
    assert (len(found["runs"]), found["unavailable"]) == (1, {})
    all_fail = set(range(len(find("confluent").grid)))
    found = await played(FakeBench(failing=all_fail), Part(["confluent"], [STEADY], 1), tuned=("confluent",))
    assert (found["grids"], found["unavailable"]) == ({}, {"confluent": "it fell over"})


async def test_runs_of_another_length_are_another_round() -> None:
    first = await played(FakeBench(), Part(["service"], [STEADY.variant(seconds=3)], 1))
    bench = FakeBench()
    await played(bench, Part(["service"], [STEADY], 1), earlier=first)
    assert bench.played == [("service", 1)]


async def test_another_load_or_slo_is_another_round() -> None:
    first = await played(FakeBench(), Part(["service"], [STEADY], 1))
    bench = FakeBench()
    await played(bench, Part(["service"], [STEADY.variant(slo_ms=20)], 1), earlier=first)
    assert bench.played == [("service", 1)]


async def test_a_peer_stays_tuned_as_it_was() -> None:
    bench = FakeBench()
    first = await played(bench, Part(["confluent"], [STEADY], 1), tuned=("confluent",))
    tries = len(bench.played) - 1
    assert tries == len(first["grids"]["confluent"]) > 1
    again = FakeBench()
    found = await played(again, Part(["confluent"], [STEADY], 2), tuned=("confluent",), earlier=first)
    assert again.played == [("confluent", 2)]
    assert found["grids"] == first["grids"]
