"""What the demo says it measured."""

import itertools
from typing import Any

import pytest
from rich.console import Console

from inferstream.events.outcome import Status
from inferstream.operate.audit import Report
from inferstream.operate.demo import view
from inferstream.operate.demo.fraud import FraudShow
from inferstream.operate.demo.measure import Measurements, SeenOutcome, SeenPart, Sent
from inferstream.operate.demo.stages import stage_figures
from inferstream.signals import Signals
from inferstream.tasks.fraud import Transaction
from inferstream.telemetry import metrics
from inferstream.traffic import stream

EVENTS: list[Transaction] = [event for event, _ in itertools.islice(stream(2), 10)]
NOW = 1_700_000_000_000.0


def seen(event: Transaction, decision: str = "approve", status: Status = Status.SCORED) -> SeenOutcome:
    result = {"probability": 0.5, "decision": decision, "reasons": ["AMOUNT_HIGH"]}
    return SeenOutcome(status, int(NOW) + 50, {"timestamp_ms": NOW}, event.transaction_id, result)


def measured() -> Measurements:
    """Ten events: eight approved in time, a fraud found, one answered late; and a broken one."""
    found = Measurements(50, FraudShow())
    for number, event in enumerate(EVENTS):
        found.was_sent(Sent(event.transaction_id, event, number == 8), NOW, NOW + 1)
    found.was_sent(None, NOW, NOW + 1)
    for event in EVENTS[:8]:
        found.came_back(seen(event), NOW + 10)
    found.came_back(seen(EVENTS[8], "decline"), NOW + 20)
    found.came_back(seen(EVENTS[9]), NOW + 60)
    found.came_back(SeenOutcome(Status.DEAD_LETTERED, int(NOW) + 50, {"timestamp_ms": NOW}, cause="empty"), NOW + 60)
    return found


def all_sent() -> Measurements:
    """Ten events, none answered."""
    found = Measurements(50, FraudShow())
    for event in EVENTS:
        found.was_sent(Sent(event.transaction_id, event, False), NOW, NOW)
    return found


def test_late_answers_count_against_the_share_and_broken_events_do_not() -> None:
    figures = measured().summary()
    assert figures["events"] == 11
    assert figures["slo_met_ratio"] == 0.9
    assert figures["outcomes"] == {"scored": 10, "fallback": 0, "expired": 0, "dead_lettered": 1}
    assert figures["latency_ms"]["p50"] == 10
    assert figures["fraud"] == {"precision": 1.0, "recall": 1.0}


def test_a_missing_outcome_counts_against_the_share() -> None:
    found = all_sent()
    found.came_back(seen(EVENTS[0]), NOW + 1)
    assert not found.is_complete
    assert found.share_in_time() == pytest.approx(0.1)


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.DEAD_LETTERED])
def test_a_good_event_without_a_result_is_not_in_time_however_soon_that_is_said(status: Status) -> None:
    found = all_sent()
    found.came_back(SeenOutcome(status, int(NOW) + 50, {"timestamp_ms": NOW}, EVENTS[0].transaction_id), NOW + 1)
    assert found.share_in_time_so_far() == 0


def test_a_partial_outcome_is_shown_and_answers_nothing() -> None:
    parts: list[tuple[str, Any]] = []

    class Streaming(FraudShow):
        def partial(self, event: Transaction, result: Any, at_ms: float) -> None:
            parts.append((event.transaction_id, result))

    found = Measurements(50, Streaming())
    found.was_sent(Sent(EVENTS[0].transaction_id, EVENTS[0], False), NOW, NOW)
    found.part_came(SeenPart(EVENTS[0].transaction_id, {"text": "a"}), NOW + 1)
    found.part_came(SeenPart("nobody's", {"text": "b"}), NOW + 1)
    assert parts == [(EVENTS[0].transaction_id, {"text": "a"})]
    assert found.received == 0
    found.came_back(seen(EVENTS[0]), NOW + 2)
    assert found.is_complete
    assert found.share_in_time() == 1


def text_of(renderable: Any) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    console.file.close()
    return console.export_text()


def test_the_live_page_shows_the_path_the_figures_and_why() -> None:
    signals = Signals()
    signals.records.cell("fraud").add(11)
    signals.stage.cell("fraud", "infer").observe(0.0012, 10)
    page = text_of(view.page(view.Moment(3, 20, measured(), stage_figures(metrics.render(signals))), 5))
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
    assert said in text_of(view.summary(measured(), report))


def test_the_summary_says_what_was_never_seen() -> None:
    assert "10 outcomes were not seen" in text_of(view.summary(all_sent(), Report(1, {}, 0, 0, {}, {})))


def test_a_sparkline_is_as_long_as_its_values() -> None:
    assert view.sparkline([0, 4, 8]) == " ▄█"
    assert view.sparkline([0, 0]) == "  "
