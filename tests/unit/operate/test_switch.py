"""The steps of a switch, on endpoints and notes in memory: what is loaded, tried, pinned, unloaded, in which order."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inferstream.errors import ContractMismatch, InferstreamError, SettingsError, Unavailable
from inferstream.operate import switch
from inferstream.operate.site import Site
from inferstream.operate.switch import Wanted, prepared
from inferstream.operate.trial import Trial
from inferstream.policy.pin import Pin
from inferstream.settings import PipelineSettings, Settings


class Control:
    """The versions of one endpoint."""

    def __init__(self, url: str, journal: list[str], *served: str) -> None:
        self.url = url
        self.versions = list(served)
        self.trouble: InferstreamError | None = None
        self.busy: set[str] = set()
        self._journal = journal
        self._calls = 0

    async def served(self) -> list[str]:
        return sorted(self.versions, key=int)

    async def load(self, versions: Collection[str], timeout: float) -> None:
        self._journal.append(f"{self.url} serves {','.join(sorted(versions))}")
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        self.versions = list(versions)

    async def calls(self, version: str) -> int:
        self._calls += version in self.busy
        return self._calls


class Place:
    """A site whose notes and endpoints are written down in one journal."""

    def __init__(self, *served: tuple[str, ...], configured: str = "1", pin: Pin | None = None, **triton: Any) -> None:
        self.journal: list[str] = []
        self.settings = Settings(triton={"model_control": "explicit", **triton})
        self.chosen = SimpleNamespace(name="p", settings=PipelineSettings())
        self.task, self.model, self.configured = None, "m", configured
        self.controls = [Control(f"t{number}", self.journal, *each) for number, each in enumerate(served)]
        self.endpoints = [SimpleNamespace(server=control.url, control=control) for control in self.controls]
        self.pinned = pin or Pin("m")
        self.trouble: InferstreamError | None = None
        self.others: dict[str, str] = {}

    async def pin(self) -> Pin:
        return self.pinned

    async def write(self, pin: Pin) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.journal.append(f"pinned {pin.version or 'nothing'}")
        self.pinned = pin

    async def served(self) -> dict[str, list[str]]:
        return {control.url: await control.served() for control in self.controls}

    async def asked_otherwise(self) -> dict[str, str]:
        return self.others

    async def switch(self, version: str | None = "2", *, back: bool = False, keep: bool = False) -> switch.Switched:
        wanted = Wanted(version, back, keep, 1.0)
        return await (await prepared(cast("Site", self), wanted, lambda text: None)).run()


@pytest.fixture(autouse=True)
def trials(monkeypatch: pytest.MonkeyPatch) -> dict[str, InferstreamError]:
    """Nothing is waited for; every version passes but those named here, by endpoint."""
    bad: dict[str, InferstreamError] = {}

    async def tried(server: str, asked: tuple[str, str], *rest: Any) -> Trial:
        if server in bad:
            raise bad[server]
        return Trial(1.0, 2.0)

    monkeypatch.setattr(switch, "tried", tried)
    for name in ("_FOLLOW_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(switch, name, 0.001)
    monkeypatch.setattr(switch, "_QUIET_SECONDS", 0.005)
    return bad


async def test_it_is_loaded_everywhere_then_pinned_and_the_old_one_goes_last() -> None:
    place = Place(("1",), ("1",))
    done = await place.switch()
    assert place.journal == ["t0 serves 1,2", "t1 serves 1,2", "pinned 2", "t0 serves 2", "t1 serves 2"]
    assert place.pinned == Pin("m", "2", "1")
    assert done.kept == {}


async def test_services_that_name_no_version_are_held_before_the_new_one_is_there() -> None:
    place = Place(("1",), configured="")
    await place.switch()
    assert place.journal == ["pinned 1", "t0 serves 1,2", "pinned 2", "t0 serves 2"]


async def test_one_that_is_served_already_is_not_loaded() -> None:
    place = Place(("1", "2"))
    await place.switch(keep=True)
    assert place.journal == ["pinned 2"]


async def test_back_leads_to_the_version_before() -> None:
    place = Place(("2",), pin=Pin("m", "2", "1"))
    await place.switch(None, back=True)
    assert place.pinned == Pin("m", "1", "2")
    assert place.journal == ["t0 serves 1,2", "pinned 1", "t0 serves 1"]


async def test_the_same_again_loads_what_is_missing_and_forgets_nothing() -> None:
    place = Place(("1",), pin=Pin("m", "2", "1"))
    await place.switch()
    assert place.pinned == Pin("m", "2", "1")
    assert place.journal == ["t0 serves 1,2", "pinned 2"]


async def test_if_it_does_not_load_at_one_endpoint_all_are_put_back() -> None:
    place = Place(("1",), ("1",), configured="")
    place.controls[1].trouble = ContractMismatch("broken")
    with pytest.raises(ContractMismatch, match="broken"):
        await place.switch()
    assert place.pinned == Pin("m")
    assert await place.served() == {"t0": ["1"], "t1": ["1"]}


async def test_what_is_not_served_is_told_once_by_the_error() -> None:
    told: list[str] = []
    place = Place(("1",), model_control="none")
    doing = await prepared(cast("Site", place), Wanted("2", False, False, 1.0), told.append)
    with pytest.raises(ContractMismatch, match="version 2 of model 'm' is not served at t0"):
        await doing.run()
    assert told == ["nothing is switched"]


async def test_if_it_fails_its_trial_all_are_put_back(trials: dict[str, InferstreamError]) -> None:
    place = Place(("1", "7"), ("1",))
    trials["t1"] = ContractMismatch("not a number")
    with pytest.raises(ContractMismatch, match="not a number"):
        await place.switch()
    assert place.pinned == Pin("m")
    assert await place.served() == {"t0": ["1", "7"], "t1": ["1"]}


async def test_if_they_cannot_be_put_back_services_stay_held(trials: dict[str, InferstreamError]) -> None:
    """Let go, they would be given the newest version, which is the one that failed."""
    place = Place(("1",), configured="")
    trials["t0"] = ContractMismatch("not a number")

    async def away() -> list[str]:
        raise Unavailable("gone")

    told: list[str] = []
    running = await prepared(cast("Site", place), Wanted("2", False, False, 1.0), told.append)
    load = place.controls[0].load

    async def loaded(versions: Collection[str], timeout: float) -> None:
        await load(versions, timeout)
        place.controls[0].served = away  # type: ignore[method-assign]

    place.controls[0].load = loaded  # type: ignore[method-assign]
    with pytest.raises(ContractMismatch, match="not a number"):
        await running.run()
    assert place.pinned == Pin("m", "1")
    assert told[-1] == "services stay held at version 1: version 2 may still be loaded"


async def test_another_pipeline_that_asks_any_version_is_not_surprised() -> None:
    place = Place(("1",))
    place.others["model of pipeline 'q'"] = ""
    with pytest.raises(ContractMismatch, match=r"^model of pipeline 'q' asks any version of model 'm', so it would"):
        await place.switch()
    assert place.journal == []
    place.controls[0].versions.append("2")
    await place.switch(keep=True)
    assert place.journal == ["pinned 2"]


async def test_if_it_is_unknown_whether_it_is_pinned_it_stays_loaded() -> None:
    place = Place(("1",))
    place.trouble = Unavailable("no broker")
    with pytest.raises(Unavailable, match="unknown, so it stays loaded: see `inferstream models status`"):
        await place.switch()
    assert await place.served() == {"t0": ["1", "2"]}


@pytest.mark.parametrize("reason", ["busy", "needed", "keep"])
async def test_the_old_one_stays_where_somebody_may_want_it(reason: str) -> None:
    place = Place(("1",))
    if reason == "busy":
        place.controls[0].busy.add("1")
    elif reason == "needed":
        place.others["model of pipeline 'q'"] = "1"
    done = await place.switch(keep=reason == "keep")
    assert await place.served() == {"t0": ["1", "2"]}
    assert place.pinned.version == "2"
    words = {"busy": "somebody still asks it", "needed": "model of pipeline 'q' asks it, too", "keep": "as asked"}[
        reason
    ]
    assert done.kept["t0"].startswith(words)


async def test_trouble_with_the_unloading_does_not_undo_the_switch() -> None:
    place = Place(("1", "2"))
    place.controls[0].trouble = Unavailable("gone")
    done = await place.switch()
    assert place.pinned.version == "2"
    assert done.kept == {"t0": "gone"}


async def test_without_model_control_nothing_is_ever_loaded() -> None:
    place = Place(("1",), ("1", "2"), model_control="none")
    with pytest.raises(ContractMismatch, match="version 2 of model 'm' is not served at t0: load it there"):
        await place.switch()
    assert place.journal == []
    place.controls[0].versions.append("2")
    await place.switch()
    assert place.journal == ["pinned 2"]


@pytest.mark.parametrize(
    ("version", "back", "words"),
    [
        (None, False, "name the version to switch to"),
        ("2", True, "name the version to switch to"),
        (None, True, "there is no version to go back to"),
        ("v2", False, "version 'v2' is no number"),
    ],
)
async def test_what_makes_no_sense_is_refused(version: str | None, back: bool, words: str) -> None:
    place = Place(("1",))
    with pytest.raises(SettingsError, match=words):
        await place.switch(version, back=back)
    assert place.journal == []
