"""The alert rules over synthetic series, by Prometheus' own engine: what pages, how soon, and what does not."""

from pathlib import Path

import pytest
from tests.slo.series import HEALTHY, Phase, Question, ask

from inferstream.operate.monitoring.alerts import alerts, narrowed
from inferstream.settings import Settings, load

pytestmark = pytest.mark.timeout(1_200)  # the first one may have to make promtool

PAGE = "InferstreamNotAnsweredInTime"
TICKET = "InferstreamNotAnsweredInTimeSlowly"
SCORED = "InferstreamNotScoredInTime"
BUDGET = 0.001  # of the objective 99.9 %
BEGINS = HEALTHY.minutes


@pytest.fixture
def settings() -> Settings:
    return load(environ={})


@pytest.mark.parametrize(
    ("phase", "alert", "within_minutes"),
    [
        (Phase(10, not_answered=1.0, not_scored=1.0), PAGE, 3),
        (Phase(20, not_answered=144 * BUDGET), PAGE, 8),
        (Phase(120, not_answered=15 * BUDGET), PAGE, 60),
        (Phase(420, not_answered=6.2 * BUDGET), PAGE, 360),
        (Phase(600, not_answered=3.5 * BUDGET), TICKET, 600),
        (Phase(120, not_scored=1.0), SCORED, 10),
        (Phase(10, rate=0, gauges={"lag_seconds": 5.0}), "InferstreamSilent", 3),
        (Phase(10, is_gone=True), "InferstreamAbsent", 3),
        (Phase(10, gauges={"assigned_partitions": 0.0}), "InferstreamWithoutPartitions", 6),
        (Phase(10, lacks="assigned_partitions"), "InferstreamWithoutPartitions", 6),
        (Phase(10, lost_a_second=0.5), "InferstreamLosesOffsets", 2),
        (Phase(10, gauges={"quarantined_partitions": 1.0}), "InferstreamQuarantines", 2),
        (Phase(10, gauges={"model_ready": 0.0}), "InferstreamModelDown", 3),
        (Phase(20, gauges={"stale_credentials": 1.0}), "InferstreamStaleCredentials", 11),
        (Phase(20, gauges={"lag_seconds": 31.0}), "InferstreamLags", 6),
        (Phase(120, gauges={"drift_psi.output": 0.3}), "InferstreamScoresDrift", 62),
        (Phase(1_500, gauges={"drift_psi.input": 0.3}), "InferstreamFeaturesDrift", 1_442),
    ],
    ids=lambda given: given if isinstance(given, str) else None,
)
def test_trouble_is_told_in_time(
    promtool: Path, tmp_path: Path, settings: Settings, phase: Phase, alert: str, within_minutes: float
) -> None:
    scrape_seconds = 15 if phase.minutes <= 120 else 60
    questions = [Question(BEGINS - 1, "", False), Question(BEGINS + within_minutes, alert, True)]
    assert ask(promtool, tmp_path, settings, [HEALTHY, phase], questions, scrape_seconds) == ""


def test_every_alert_is_tried() -> None:
    marks = test_trouble_is_told_in_time.pytestmark  # type: ignore[attr-defined]
    tried = {alert for _, alert, _ in marks[0].args[1]}
    assert tried == {alert.name for alert in alerts(load(environ={}))}


@pytest.mark.slow
def test_nine_tenths_of_the_budget_spent_for_thirty_days_is_silent(
    promtool: Path, tmp_path: Path, settings: Settings
) -> None:
    days = Phase(30 * 1_440, not_answered=0.9 * BUDGET, not_scored=0.9 * 0.01)
    hours = [Question(60.0 * hour, "", False) for hour in range(6, 720, 6)]
    assert ask(promtool, tmp_path, settings, [days], hours, scrape_seconds=150) == ""


def test_a_little_more_than_the_budget_is_a_ticket_and_no_page(
    promtool: Path, tmp_path: Path, settings: Settings
) -> None:
    days = Phase(4 * 1_440, not_answered=1.2 * BUDGET)
    questions = [Question(4 * 1_440 - 10, TICKET, True), Question(4 * 1_440 - 10, PAGE, False)]
    assert ask(promtool, tmp_path, settings, [days], questions, scrape_seconds=150) == ""


def test_one_miss_of_a_quiet_night_does_not_page(promtool: Path, tmp_path: Path, settings: Settings) -> None:
    a_second = 0.01  # 36 an hour: one is more than 14.4 times what the budget allows
    quiet, miss = Phase(360, rate=a_second), Phase(100 / 60, rate=a_second, not_answered=1.0)
    questions = [Question(360 + minute, PAGE, False) for minute in (1, 2, 3, 5, 10, 30)]
    assert ask(promtool, tmp_path, settings, [quiet, miss, Phase(60, rate=a_second)], questions) == ""


def test_the_page_ends_soon_after_the_trouble(promtool: Path, tmp_path: Path, settings: Settings) -> None:
    phases = [HEALTHY, Phase(5, not_answered=1.0), Phase(60)]
    questions = [Question(BEGINS + 5, PAGE, True), Question(BEGINS + 5 + 31, PAGE, False)]
    assert ask(promtool, tmp_path, settings, phases, questions) == ""


def test_a_stricter_objective_in_the_settings_pages_for_less(promtool: Path, tmp_path: Path) -> None:
    phases, at = [HEALTHY, Phase(30, not_answered=0.0005)], BEGINS + 25
    for objective, pages in (("0.999", False), ("0.99999", True)):
        chosen = load(environ={"INFERSTREAM__SLO__OBJECTIVE": objective})
        assert ask(promtool, tmp_path, chosen, phases, [Question(at, PAGE, pages)]) == ""


@pytest.mark.parametrize(
    ("phase", "alert", "within_minutes"),
    [
        (Phase(10, not_answered=1.0, not_scored=1.0), PAGE, 3),
        (Phase(10, rate=0, gauges={"lag_seconds": 5.0}), "InferstreamSilent", 3),
        (Phase(10, is_gone=True), "InferstreamAbsent", 3),
        (Phase(10, gauges={"assigned_partitions": 0.0}), "InferstreamWithoutPartitions", 6),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_releases_in_one_prometheus_neither_hide_nor_page_each_other(
    promtool: Path, tmp_path: Path, settings: Settings, phase: Phase, alert: str, within_minutes: int
) -> None:
    well, sick = [HEALTHY, Phase(phase.minutes)], [HEALTHY, phase]
    at = BEGINS + within_minutes
    assert ask(promtool, tmp_path, settings, sick, [Question(at, alert, True)], neighbour=well) == ""
    assert ask(promtool, tmp_path, settings, well, [Question(at, "", False)], neighbour=sick) == ""


def test_a_low_objective_is_no_reason_not_to_page(promtool: Path, tmp_path: Path) -> None:
    """Of a tenth of all events 14.4 times is more than there are."""
    generous = load(environ={"INFERSTREAM__SLO__OBJECTIVE": "0.9"})
    questions = [Question(BEGINS + 40, PAGE, True)]
    assert ask(promtool, tmp_path, generous, [HEALTHY, Phase(60, not_answered=1.0)], questions) == ""


def test_a_release_is_chosen_by_its_series_and_not_within_their_labels() -> None:
    expression = 'rate(inferstream_lag_seconds{pipeline="inferstream_fraud"}[2m]) > inferstream:slo_valid:increase5m'
    assert narrowed(expression, {"namespace": "prod"}) == (
        'rate(inferstream_lag_seconds{namespace="prod",pipeline="inferstream_fraud"}[2m])'
        ' > inferstream:slo_valid:increase5m{namespace="prod"}'
    )
