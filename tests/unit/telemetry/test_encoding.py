"""Our encoding of spans against the library's."""

from hypothesis import given
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from tests.unit.telemetry.timelines import timelines

from inferstream.events.timeline import Timeline
from inferstream.signals import Signals
from inferstream.telemetry.encoding import Request, frame
from inferstream.telemetry.tracing import SpanExport, SpanSender


@given(timelines())
def test_what_is_sent_is_what_the_library_would_send(way: Timeline) -> None:
    """Any event with its call: kinds, links, remote parents, failures and every type of attribute."""
    sender = SpanSender("http://127.0.0.1:1")
    spans = SpanExport(sender, Signals())._spans(way)
    sender.shutdown()
    request = Request(frame(spans[0]))
    request.add(spans)
    assert request.message == encode_spans(spans)
