"""Metrics do not name what is Triton's, and stay as many as they were."""

from inferstream.settings import Settings, TritonSettings, WebSettings
from inferstream.signals import Signals
from inferstream.telemetry import metrics
from inferstream.web import told

URLS = ("triton-a.internal:8001", "triton-b.internal:8001")


def text(details: bool) -> str:
    signals = Signals()
    for url in URLS:
        for model in ("secret:2", "secret:3", "other"):
            signals.model_ready.cell("p", model, url).set(1)
        signals.server_rows.cell("p", "secret", url).add(7)
        signals.model_version.cell("p", url).set(2)
    signals.model_ready.cell("q", "other", URLS[1]).set(1)
    settings = Settings(web=WebSettings(page_details=details), triton=TritonSettings(url=",".join(URLS)))
    return metrics.render(told(signals.snapshot(), settings))


def test_endpoints_and_models_are_numbered_and_no_series_is_lost() -> None:
    shown, named = text(details=False), text(details=True)
    assert not any(word in shown for word in ("triton-a", "internal", "8001", "secret", "other"))
    assert 'inferstream_model_ready{pipeline="p",model="model 1:3",endpoint="endpoint 2"} 1' in shown
    assert 'inferstream_model_ready{pipeline="p",model="model 2",endpoint="endpoint 1"} 1' in shown
    assert 'inferstream_model_ready{pipeline="q",model="model 1",endpoint="endpoint 2"} 1' in shown
    assert 'inferstream_model_server_rows_total{pipeline="p",model="model 1",endpoint="endpoint 1"} 7' in shown
    assert 'inferstream_model_version{pipeline="p",endpoint="endpoint 2"} 2' in shown
    series = [line.rpartition(" ")[0] for line in shown.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series)) == len([line for line in named.splitlines() if not line.startswith("#")])


def test_names_are_there_for_those_who_want_them() -> None:
    assert f'inferstream_model_ready{{pipeline="p",model="secret:3",endpoint="{URLS[1]}"}} 1' in text(details=True)
