"""Our encoding of spans against the library's."""

from hypothesis import given
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from tests.unit.telemetry.timelines import timelines

from inferstream.events.timeline import Timeline
from inferstream.events.trace_context import Context
from inferstream.telemetry import conventions
from inferstream.telemetry.conventions import Described
from inferstream.telemetry.encoding import Request, encoded, frame

RESOURCE = Resource({"service.name": "a", "service.version": "1"})
SCOPE = InstrumentationScope("b", "2", "https://c/3")


def as_the_library_has_it(one: Described, context: Context, parent: Context | None) -> ReadableSpan:
    failed = one.failure is not None
    return ReadableSpan(
        name=one.name,
        context=in_the_library(context),
        parent=None if parent is None else in_the_library(parent, is_remote=one.child_of is None),
        resource=RESOURCE,
        attributes={**one.attributes, **(conventions.failure(one.failure) if one.failure is not None else {})},
        links=[Link(in_the_library(linked)) for linked in one.links],
        kind=one.kind,
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=one.begin_ns,
        end_time=max(one.begin_ns, one.end_ns),
        instrumentation_scope=SCOPE,
    )


def in_the_library(context: Context, is_remote: bool = False) -> SpanContext:
    return SpanContext(context.trace_id, context.span_id, is_remote, TraceFlags(context.is_sampled))


@given(timelines())
def test_what_is_sent_is_what_the_library_would_send(way: Timeline) -> None:
    """Any event with its call: kinds, links, remote parents, failures and every type of attribute."""
    described = conventions.event_spans(way)
    contexts = [way.kept.context, *(way.kept.context.child() for _ in described[1:])]
    given = [
        (one, context, way.kept.parent if one.child_of is None else contexts[one.child_of])
        for one, context in zip(described, contexts, strict=True)
    ]
    if way.call is not None:
        given.append((conventions.call_span(way.call, way), way.call.context, None))
    request = Request(frame(RESOURCE, SCOPE))
    request.add([encoded(*one) for one in given])
    assert request.message == encode_spans([as_the_library_has_it(*one) for one in given])
