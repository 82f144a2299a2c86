"""Trace context in headers: read strictly, passed on whole, never raising on what others write."""

from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from inferstream.events import trace_context
from inferstream.events.trace_context import Context

VALID = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def theirs(raw: bytes) -> Context | None:
    """What OpenTelemetry's own propagator makes of it."""
    carrier = {"traceparent": raw.decode("latin-1")}
    found = get_current_span(TraceContextTextMapPropagator().extract(carrier)).get_span_context()
    return Context(found.trace_id, found.span_id, bool(found.trace_flags & 1)) if found.is_valid else None


@given(
    st.builds(
        lambda version, trace, span, flags: f"{version}-{trace}-{span}-{flags}".encode(),
        st.text("0123456789abcdef", min_size=2, max_size=2).filter(lambda v: v != "ff"),
        st.text("0123456789abcdef", min_size=32, max_size=32),
        st.text("0123456789abcdef", min_size=16, max_size=16),
        st.text("0123456789abcdef", min_size=2, max_size=2),
    )
)
@example(VALID)
@example(b"00-00000000000000000000000000000000-b7ad6b7169203331-01")
@example(b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")
def test_what_is_well_formed_is_read_as_opentelemetry_reads_it(raw: bytes) -> None:
    assert trace_context.parse(raw) == theirs(raw)


@given(st.one_of(st.none(), st.binary(max_size=600), st.binary(max_size=80).map(lambda tail: VALID + tail)))
@example(VALID.upper())
@example(VALID.replace(b"00-", b"ff-", 1))
@example(VALID + b"-more")
@example(VALID[:-1])
def test_anything_else_is_no_context_and_never_an_error(raw: bytes | None) -> None:
    found = trace_context.parse(raw)
    if found is not None:
        assert raw is not None
        assert found.trace_id
        assert found.span_id
        assert raw.startswith(VALID[:3]) is False or len(raw) == len(VALID)


def test_a_later_version_may_say_more() -> None:
    assert trace_context.parse(b"01" + VALID[2:] + b"-more") == trace_context.parse(VALID)
    assert trace_context.parse(VALID + b"-more") is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_again(trace_id: int, span_id: int, is_sampled: bool) -> None:
    context = Context(trace_id, span_id, is_sampled)
    assert trace_context.parse(context.header()) == context
    headers = [("traceparent", context.header())]
    assert trace_context.may_be_kept(headers, 0) == is_sampled
    low = trace_id & ((1 << 56) - 1)
    assert trace_context.may_be_kept(headers, low + 1)
    assert trace_context.may_be_kept(headers, low) == is_sampled


def test_of_repeated_headers_the_last_valid_one_counts() -> None:
    other = VALID.replace(b"b7ad", b"aaaa")
    given_headers = [("traceparent", other), ("traceparent", VALID), ("traceparent", b"nonsense")]
    assert trace_context.read(given_headers) == trace_context.parse(VALID)


def test_cloudevents_context_stands_in_only_where_there_is_no_other() -> None:
    other = VALID.replace(b"b7ad", b"aaaa")
    assert trace_context.read([("ce_traceparent", other)]) == trace_context.parse(other)
    assert trace_context.read([("traceparent", VALID), ("ce_traceparent", other)]) == trace_context.parse(VALID)
    assert trace_context.read([("other", VALID)]) is None


def test_one_traceparent_is_left_over_five_hops() -> None:
    headers: list[tuple[str, bytes | None]] = [("own", b"1"), ("tracestate", b"a=b"), ("ce_traceparent", VALID)]
    for _ in range(5):
        context = trace_context.read(headers)
        assert context is not None
        headers = trace_context.replaced(headers, context.child())
    assert [name for name, _ in headers].count("traceparent") == 1
    assert dict(headers)["tracestate"] == b"a=b"
    assert dict(headers)["ce_traceparent"] == VALID


def test_a_tracestate_too_large_to_be_one_goes() -> None:
    for state in (b"a=" + b"b" * 600, b",".join(b"k%d=v" % n for n in range(40))):
        kept = trace_context.replaced([("tracestate", state)], trace_context.new_trace())
        assert [name for name, _ in kept] == ["traceparent"]


def test_a_child_is_of_the_same_trace_and_another_span() -> None:
    parent = trace_context.new_trace()
    child = parent.child()
    assert child.trace_id == parent.trace_id
    assert child.span_id != parent.span_id
    assert child.is_sampled
