"""What the demo says it measured."""

import itertools
from typing import Any

import pytest
from rich.console import Console

from inferstream.events.outcome import Status
from inferstream.operate import demo_view
from inferstream.operate.audit import Report
from inferstream.operate.demo import stage_figures
from inferstream.operate.measure import Measurements, SeenOutcome
from inferstream.signals import Signals
from inferstream.tasks.fraud import FraudResult, Transaction
from inferstream.telemetry import metrics
from inferstream.traffic import stream

EVENTS: list[Transaction] = [event for event, _ in itertools.islice(stream(2), 10)]
NOW = 1_700_000_000_000.0


def seen(event: Transaction, decision: Any = "approve", status: Status = Status.SCORED) -> SeenOutcome:
    result = FraudResult(0.5, decision, ("AMOUNT_HIGH",))
    return SeenOutcome(status, int(NOW) + 50, {"timestamp_ms": NOW}, event.transaction_id, result)


def measured() -> Measurements:
    """Ten events: eight approved in time, a fraud found, one answered late; and a broken one."""
    found = Measurements(50)
    for number, event in enumerate(EVENTS):
        found.was_sent(event, number == 8, NOW, NOW + 1)
    found.was_sent(None, False, NOW, NOW + 1)
    for event in EVENTS[:8]:
        found.came_back(seen(event), NOW + 10)
    found.came_back(seen(EVENTS[8], "decline"), NOW + 20)
    found.came_back(seen(EVENTS[9]), NOW + 60)
    found.came_back(SeenOutcome(Status.DEAD_LETTERED, int(NOW) + 50, {"timestamp_ms": NOW}, cause="empty"), NOW + 60)
    return found


def test_late_answers_count_against_the_share_and_broken_events_do_not() -> None:
    figures = measured().summary()
    assert figures["events"] == 11
    assert figures["slo_met_ratio"] == 0.9
    assert figures["outcomes"] == {"scored": 10, "fallback": 0, "expired": 0, "dead_lettered": 1}
    assert figures["latency_ms"]["p50"] == 10
    assert figures["fraud"] == {"precision": 1.0, "recall": 1.0}


def test_a_missing_outcome_counts_against_the_share() -> None:
    found = Measurements(50)
    for event in EVENTS:
        found.was_sent(event, False, NOW, NOW)
    found.came_back(seen(EVENTS[0]), NOW + 1)
    assert not found.is_complete
    assert found.share_in_time() == pytest.approx(0.1)


def text_of(renderable: Any) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    console.file.close()
    return console.export_text()


def test_the_live_page_shows_the_path_the_figures_and_why() -> None:
    signals = Signals()
    signals.records.cell("fraud").add(11)
    signals.stage.cell("fraud", "infer").observe(0.0012, 10)
    page = text_of(demo_view.page(demo_view.Moment(3, 20, measured(), stage_figures(metrics.render(signals))), 5))
    for stage in ("consume", "→ decode", "→ batch", "→ infer", "→ decide", "→ emit", "→ commit"):
        assert stage in page
    assert "1.2 ms" in page
    assert "decline" in page
    assert "amount_high" in page
    assert "90.00% in time" in page


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (Report(11, {}, 0, 0, {}, {}), "every one of 11 events has exactly one outcome"),
        (Report(11, {}, 0, 0, {"missing": ["x"]}, {"missing": 1}), "FAILED: 1 missing"),
        (Report(11, {}, 2, 0, {}, {}), "FAILED: 2 repeated"),
    ],
)
def test_the_summary_repeats_the_audits_word(report: Report, said: str) -> None:
    assert said in text_of(demo_view.summary(measured(), report))


def test_the_summary_says_what_was_never_seen() -> None:
    found = Measurements(50)
    found.was_sent(EVENTS[0], False, NOW, NOW)
    assert "1 outcomes were not seen" in text_of(demo_view.summary(found, Report(1, {}, 0, 0, {}, {})))


def test_a_sparkline_is_as_long_as_its_values() -> None:
    assert demo_view.sparkline([0, 4, 8]) == " ▄█"
    assert demo_view.sparkline([0, 0]) == "  "
