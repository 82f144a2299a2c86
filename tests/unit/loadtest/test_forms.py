"""The forms of the bench: what each is made of, and how it is narrowed to what is asked."""

import pytest
from loadtest import contestants, estimate, forms
from loadtest.contestants import find
from loadtest.errors import ScenarioError
from loadtest.estimate import Done
from loadtest.forms import Form, Wish, narrow
from loadtest.scenario import load

PEERS = contestants.peers()
MEDIUM = forms.medium(PEERS)
QUICK_MINUTES, MEDIUM_MINUTES, FULL_MINUTES = 9, 40, 130
SLOW_PEERS = {"naive", "quixstreams"}


def runs(form: Form, contestant: str) -> set[tuple[str, int, float | None, int]]:
    """Scenario, SLO, load and rounds."""
    return {
        (one.name, one.slo_ms, getattr(one.arrivals, "load", None), part.rounds)
        for part in form.parts
        if contestant in part.contestants
        for one in part.scenarios
    }


def minutes(form: Form) -> float:
    return (estimate.of_form(form) + estimate.START_SECONDS) / 60


def test_the_quick_form_takes_less_than_ten_minutes_the_medium_one_forty_and_the_full_one_two_hours() -> None:
    assert minutes(forms.quick()) < QUICK_MINUTES
    assert minutes(MEDIUM) < MEDIUM_MINUTES
    full = forms.full(PEERS)
    assert minutes(full) + estimate.of_tuning(full) / 60 < FULL_MINUTES


@pytest.mark.parametrize("name", ["service", "passthrough", *PEERS])
def test_in_the_medium_form_everybody_meets_every_kind_of_load(name: str) -> None:
    goodput = {("goodput", 50, load, 3) for load in (0.5, 1.0, 1.2, 1.5)}
    assert goodput <= runs(MEDIUM, name)


def test_the_medium_form_has_all_that_is_promised_of_the_service() -> None:
    mine = runs(MEDIUM, "service")
    assert {("goodput", 50, 2.0, 3), ("goodput", 50, 0.1, 3), ("goodput", 20, 0.8, 3)} <= mine
    assert {("goodput", 50, 2.0, 3), ("goodput", 50, 0.1, 3), ("goodput", 20, 0.8, 3)} <= runs(MEDIUM, "passthrough")
    assert {("spike", 50, 0.2, 3), ("shared_triton", 50, 2.0, 3), ("triton_killed", 50, 0.5, 1)} <= mine
    assert {"backlog", "mixed_classes", "triton_paused", "triton_restarted", "triton_slow"} <= {one[0] for one in mine}


def test_the_full_form_has_a_search_and_a_soak() -> None:
    full = forms.full(PEERS)
    lasting = [one for part in full.parts for one in part.scenarios if one.name == "soak"]
    assert [one.seconds for one in lasting] == [300]
    assert any(one.search for part in full.parts for one in part.scenarios)
    assert full.tuned == PEERS


def test_the_full_form_has_everybodys_curve_at_50_ms_and_that_of_the_best_at_20_and_100() -> None:
    full = forms.full(PEERS)
    for name in ("service", "passthrough", *PEERS):
        loads = (0.1, 0.5, 1.0, 1.2) if name in SLOW_PEERS else (0.1, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0)
        assert {("goodput", 50, load, 3) for load in loads} <= runs(full, name)
    for name in ("service", "passthrough", "confluent", "flink"):
        assert {("goodput", 20, load, 3) for load in (0.5, 0.8, 1.0, 1.5)} <= runs(full, name)
        assert {("goodput", 100, load, 3) for load in (0.5, 1.0, 1.5)} <= runs(full, name)


def test_one_slo_of_the_full_form_gives_each_of_its_runs_once() -> None:
    narrowed = narrow(forms.full(PEERS), Wish(slos_ms=[50], scenarios=["goodput"]))
    every = [
        (name, one.slo_ms, one.arrivals)
        for part in narrowed.parts
        for name in part.contestants
        for one in part.scenarios
    ]
    quick, slow = 2 + len(PEERS) - len(SLOW_PEERS), len(SLOW_PEERS)
    assert len(every) == len({str(run) for run in every}) == 7 * quick + 4 * slow


def test_a_form_is_narrowed_to_some_contestants_and_scenarios() -> None:
    wish = Wish(contestants=["service", "flink"], scenarios=["goodput", "spike"], rounds=1)
    narrowed = narrow(forms.full(PEERS), wish)
    assert {name for part in narrowed.parts for name in part.contestants} == {"service", "flink"}
    assert {one.name for part in narrowed.parts for one in part.scenarios} == {"goodput", "spike"}
    assert {part.rounds for part in narrowed.parts} == {1}
    assert narrowed.tuned == ["flink"]


def test_slos_and_loads_take_the_place_of_the_forms_own() -> None:
    narrowed = narrow(forms.quick(), Wish(slos_ms=[30], loads=[0.7, 0.9], scenarios=["goodput"]))
    assert runs(narrowed, "service") == {("goodput", 30, 0.7, 3), ("goodput", 30, 0.9, 3)}
    kept = narrow(forms.quick(), Wish(loads=[0.7], scenarios=["goodput"]))
    assert runs(kept, "service") == {("goodput", 50, 0.7, 3)}


def test_only_runs_at_an_even_rate_get_another_length() -> None:
    every = {one.name: one for part in narrow(forms.full(PEERS), Wish(seconds=600)).parts for one in part.scenarios}
    lasting = {name for name, one in every.items() if one.seconds == 600}
    assert lasting == {"goodput", "steady", "soak", "sustainable"}
    assert every["sustainable"].search is not None


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (Wish(contestants=["flnk"]), "there is no contestant 'flnk'; did you mean 'flink'?"),
        (Wish(contestants=["flink"]), "contestant 'flink' is not in this form"),
        (Wish(scenarios=["goodputt"]), "there is no scenario 'goodputt'; did you mean 'goodput'?"),
        (Wish(scenarios=["spike"]), "scenario 'spike' is not in this form of the bench, which has: throughput, steady"),
        (Wish(contestants=["passthrough"], scenarios=["goodput"]), "nothing is left to run"),
    ],
)
def test_what_a_form_does_not_have_is_told(wish: Wish, told: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        narrow(forms.quick(), wish)
    assert told in str(raised.value)


def test_what_is_left_follows_from_what_runs_of_a_scenario_take_here() -> None:
    assert estimate.left({"a": 100, "b": 50}, []) == 150
    assert estimate.left({"a": 100}, [Done("a", 10, 30)]) == 90
    assert estimate.left({"a": 100, "b": 50}, [Done("a", 10, 20)] * 3) == 140 + 50
    assert estimate.left({"a": 20}, [Done("a", 10, 20)] * 3) == 0


def test_a_backlog_takes_as_long_as_its_contestant_needs_up_to_what_is_waited_for() -> None:
    backlog = load("throughput")
    naive, concurrent, service = (estimate.of_run(name, backlog) for name in ("naive", "concurrent", "service"))
    assert naive > concurrent + 30 > service + 30
    assert naive < backlog.drain_s + 30


def test_tuning_is_a_backlog_for_each_choice_of_those_who_are_tuned() -> None:
    one = Form([], ["naive"])
    assert estimate.of_tuning(Form([])) == 0
    assert estimate.of_tuning(one) == len(find("naive").grid) * estimate.of_run("naive", load("throughput"))


@pytest.mark.parametrize(("seconds", "said"), [(20, "1 min"), (150, "2 min"), (5_900, "98 min"), (7_300, "2 h 2 min")])
def test_lengths_are_told_for_people(seconds: float, said: str) -> None:
    assert estimate.words(seconds) == said
