"""What one moment of the live page says."""

import msgspec
import pytest

from inferstream.settings import PipelineSettings, Settings, TritonSettings, WebSettings
from inferstream.signals import Miss, Signals
from inferstream.web.figures import HISTORY, Figures, Frame

SLO_MS = 50
URLS = "triton-a.internal:8001,triton-b.internal:8001"


def settings(**web: bool) -> Settings:
    pipelines = {"p": PipelineSettings(slo_ms=SLO_MS)}
    return Settings(web=WebSettings(**web), pipelines=pipelines, triton=TritonSettings(url=URLS))


def miss(number: int, late_ms: float = 0.0, at_ms: int = 0) -> Miss:
    return Miss(at_ms or number, "p", "default", 3, number, "scored", "", late_ms, 1, 2, 3, 4)


def look(figures: Figures, signals: Signals, now: float, *misses: Miss) -> Frame:
    return figures.frame(signals.snapshot(), misses, now, int(now * 1000), None)


def counted() -> Signals:
    signals = Signals()
    signals.expect("p", ["default"])
    return signals


def test_shares_are_those_of_the_objective_and_poison_is_nobodys_miss() -> None:
    figures, signals = Figures(settings()), counted()
    look(figures, signals, 0)
    for outcome, count, in_time in (("scored", 90, 80), ("fallback", 10, 10), ("expired", 10, 0)):
        signals.outcomes.cell("p", "default", outcome).add(count)
        signals.in_time.cell("p", "default", outcome).add(in_time)
    signals.outcomes.cell("p", "default", "dead_lettered").add(7)
    signals.poison.cell("p", "default").add(7)
    (own,) = look(figures, signals, 1).pipelines[0].classes
    assert (own.name, own.slo_ms, own.per_second) == ("default", SLO_MS, 117.0)
    assert own.in_time == own.in_time_since_start == pytest.approx(90 / 110)


def test_figures_are_of_the_last_five_seconds() -> None:
    figures, signals = Figures(settings()), counted()
    rates = []
    for second in range(12):
        rates.append(look(figures, signals, second).pipelines[0].per_second)
        if second < 6:
            signals.outcomes.cell("p", "default", "scored").add(10)
    assert rates == [None, 10, 10, 10, 10, 10, 10, 8, 6, 4, 2, 0]


def test_after_a_while_without_anybody_the_first_moment_compares_with_nothing() -> None:
    figures, signals = Figures(settings()), counted()
    look(figures, signals, 0)
    signals.outcomes.cell("p", "default", "scored").add(1_000_000)
    figures.begin()
    assert look(figures, signals, 600).pipelines[0].per_second is None


def test_the_history_is_bounded() -> None:
    figures, signals = Figures(settings()), counted()
    for second in range(HISTORY + 20):
        look(figures, signals, second)
    assert [point.at_ms for point in figures.history] == [1000 * s for s in range(20, HISTORY + 20)]


def test_the_path_says_what_waits_where() -> None:
    figures, signals = Figures(settings()), counted()
    look(figures, signals, 0)
    signals.records.cell("p").add(30)
    signals.behind.cell("p").set(400)
    signals.lag.cell("p", "0").set(2.0)
    signals.lag.cell("p", "1").set(7.0)
    signals.queued.cell("p").set(5)
    signals.in_flight.cell("p").set(2)
    signals.unsettled.cell("p").set(9)
    signals.batch_rows.cell("p").observe(8, 3)
    signals.stage.cell("p", "infer").observe(0.004, 24)
    path = look(figures, signals, 1).pipelines[0]
    assert (path.taken_per_second, path.behind, path.lag_seconds, path.queued) == (30, 400, 7, 5)
    assert (path.in_flight, path.batch_rows, path.unsettled) == (2, 8, 9)
    assert path.stages_ms["infer"] == pytest.approx(4.0)
    assert path.stages_ms["decide"] is None


def test_causes_stand_below_their_outcome_most_frequent_first() -> None:
    figures, signals = Figures(settings()), counted()
    signals.causes.cell("p", "default", "fallback", "model_error").add(100)
    look(figures, signals, 0)
    signals.causes.cell("p", "default", "fallback", "model_timeout").add(3)
    signals.causes.cell("p", "default", "fallback", "predicted_late").add(5)
    fallback = look(figures, signals, 1).pipelines[0].outcomes[1]
    assert (fallback.name, fallback.causes) == ("fallback", [("predicted_late", 5.0), ("model_timeout", 3.0)])


@pytest.mark.parametrize("details", [False, True])
def test_endpoints_are_numbered_and_named_only_on_request(details: bool) -> None:
    figures, signals = Figures(settings(page_details=details)), counted()
    for url, ready in (("triton-b.internal:8001", 0), ("triton-a.internal:8001", 1)):
        signals.model_ready.cell("p", "hush", url).set(ready)
    frame = look(figures, signals, 0)
    named = ["triton-b.internal:8001 · hush", "triton-a.internal:8001 · hush"]
    shown = [(one.name, one.is_ready) for one in frame.pipelines[0].endpoints]
    assert shown == list(zip(named if details else ["endpoint 2", "endpoint 1"], [False, True], strict=True))
    told = msgspec.json.encode(frame)
    assert (b"internal" in told or b"hush" in told) is details


def test_models_beside_the_first_are_numbered_as_well() -> None:
    figures, signals = Figures(settings()), counted()
    for model in ("fraud", "fraud:2"):
        signals.model_ready.cell("p", model, "triton-a.internal:8001").set(1)
    shown = [one.name for one in look(figures, signals, 0).pipelines[0].endpoints]
    assert shown == ["endpoint 1 · model 1", "endpoint 1 · model 2"]


def test_misses_of_several_processes_are_the_newest_of_each_kind() -> None:
    figures, signals = Figures(settings()), counted()
    in_time = [miss(number, at_ms=1_000 + number) for number in range(40)]
    late = [miss(number, late_ms=5.0) for number in range(100, 103)]
    shown = look(figures, signals, 0, *late, *in_time).missed
    assert [one.offset for one in shown] == [*range(39, 27, -1), 102, 101, 100]


def test_workers_are_told_of_where_there_are_some() -> None:
    figures, signals = Figures(settings()), counted()
    assert look(figures, signals, 0).workers is None
    signals.ready_workers.cell().set(3)
    assert look(figures, signals, 1).workers == 3
