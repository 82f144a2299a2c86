"""Spans made after the fact: a tree that holds together, names and attributes as the conventions have them."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus
from opentelemetry.semconv._incubating.attributes import messaging_attributes, rpc_attributes
from opentelemetry.semconv.attributes import error_attributes, server_attributes
from tests.unit.telemetry.timelines import timelines

from inferstream.events import trace_context
from inferstream.events.outcome import Answerer, Status
from inferstream.events.timeline import Call, Kept, Timeline
from inferstream.settings import OtlpSettings, TelemetrySettings
from inferstream.signals import Signals, Snapshot
from inferstream.telemetry.otlp import exporting
from inferstream.telemetry.tracing import SpanExport, SpanSender, tracing

DEPRECATED = {
    "messaging.kafka.consumer.group",
    "messaging.kafka.destination.partition",
    "messaging.kafka.message.offset",
    "messaging.operation",
    "rpc.system",
    "rpc.service",
    "rpc.grpc.status_code",
}


class Memory:
    """Keeps what it is given; blocks or fails where a test wants it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.sizes: list[int] = []
        self.release = threading.Event()
        self.release.set()
        self.fails = False
        self._slice: list[Span] = []

    def add(self, spans: Sequence[Span]) -> None:
        self._slice += spans

    def send(self) -> bool:
        taken, self._slice = self._slice, []
        self.release.wait()
        self.sizes.append(len(taken))
        if self.fails:
            raise ConnectionError("away")
        self.spans += taken
        return True

    def shutdown(self) -> None:
        """Nothing is under way."""


def exported(*ways: Timeline) -> list[Span]:
    """What reaches the collector of these ways."""
    memory = Memory()
    export = SpanExport(memory, Signals())
    for way in ways:
        export.offer(way)
    export.start()
    export.stop()
    return memory.spans


def times(span: Span) -> tuple[int, int]:
    return span.start_time_unix_nano, span.end_time_unix_nano


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


@settings(max_examples=1_000, deadline=None)
@given(timelines())
def test_every_tree_holds_together(way: Timeline) -> None:
    spans = SpanExport(Memory(), Signals())._spans(way)
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    first, kept = spans[0], way.kept
    assert first.span_id == kept.context.span_id.to_bytes(8)
    assert first.trace_id == kept.context.trace_id.to_bytes(16)
    assert first.parent_span_id == (kept.parent.span_id.to_bytes(8) if kept.parent else b"")
    call_id = None if way.call is None else way.call.context.span_id.to_bytes(8)
    for child in spans[1:]:
        if child.span_id == call_id:
            continue
        assert child.trace_id == first.trace_id
        (begin, end), (outer_begin, outer_end) = times(child), times(by_id[child.parent_span_id])
        assert outer_begin <= begin <= end <= outer_end
    if call_id is not None:
        assert [link.span_id for link in by_id[call_id].links] == [first.span_id]
        assert call_id in {link.span_id for link in first.links}


@settings(max_examples=200, deadline=None)
@given(timelines())
def test_only_words_of_the_conventions_or_our_own_are_used(way: Timeline) -> None:
    modules = (messaging_attributes, rpc_attributes, error_attributes, server_attributes)
    known = {value for m in modules for name, value in vars(m).items() if name.isupper() and isinstance(value, str)}
    for span in SpanExport(Memory(), Signals())._spans(way):
        for name, value in attributes(span).items():
            assert name in known or name.startswith("inferstream."), name
            assert name not in DEPRECATED
            if name == "messaging.destination.partition.id":
                assert isinstance(value, str)


def _way(**changes: Any) -> Timeline:
    """An event that a producer sampled and the model scored."""
    parent = trace_context.new_trace()
    context = parent.child()
    call = Call(trace_context.new_trace(), 7, "triton:8001", [context])
    times = (10**18, 10**18 + 1_000, 10**18 + 3_000, 10**18 + 3_500, 10**18 + 9_000)
    model = Answerer("model", "fraud", "1")
    way = Timeline(
        Kept(context, parent, "head"), call, "p", "g", "in", "out", 3, 42, 100, "default", Status.SCORED, None, "",
        model, 1, True, 12.5, *times,
    )  # fmt: skip
    return way._replace(**changes)


def test_names_and_kinds_are_those_of_messaging_and_rpc() -> None:
    spans = exported(_way(is_in_time=True))
    assert [(span.name, span.kind) for span in spans] == [
        ("process in", Span.SPAN_KIND_CONSUMER),
        ("batch", Span.SPAN_KIND_INTERNAL),
        ("infer", Span.SPAN_KIND_INTERNAL),
        ("send out", Span.SPAN_KIND_PRODUCER),
        ("inference.GRPCInferenceService/ModelInfer", Span.SPAN_KIND_CLIENT),
    ]
    assert spans[0].status.code == SpanStatus.STATUS_CODE_UNSET
    assert attributes(spans[0])["messaging.operation.type"] == "process"


def test_a_missed_deadline_is_an_error_that_says_so() -> None:
    (first, *_) = exported(_way(is_in_time=False, slack_ms=-3.5))
    assert first.status.code == SpanStatus.STATUS_CODE_ERROR
    assert attributes(first)["error.type"] == "slo_miss"
    assert attributes(first)["inferstream.slo.slack_ms"] == -3.5


def test_the_span_of_a_call_is_told_once_for_all_its_events() -> None:
    way = _way()
    assert way.call is not None
    other = way._replace(kept=way.kept._replace(context=way.kept.context.child()))
    way.call.join(other.kept.context)
    calls = [span for span in exported(way, other) if span.kind == Span.SPAN_KIND_CLIENT]
    assert len(calls) == 1
    assert len(calls[0].links) == 2


def test_slices_are_small() -> None:
    memory = Memory()
    export = SpanExport(memory, Signals())
    for _ in range(50):
        export.offer(_way_without_call())
    export.start()
    export.stop()
    assert max(memory.sizes) <= 64
    assert sum(memory.sizes) == 200


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans by OTLP, in the order they come."""

    def __init__(self) -> None:
        self.span_ids: list[bytes] = []
        self.slices: list[int] = []
        self.schemas: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - its name on the wire
        scopes = [scope for part in request.resource_spans for scope in part.scope_spans]
        span_ids = [span.span_id for scope in scopes for span in scope.spans]
        self.slices.append(len(span_ids))
        self.schemas |= {scope.schema_url for scope in scopes}
        self.span_ids += span_ids
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collecting(port: int = 0) -> Iterator[tuple[Collector, int]]:
    """A collector, and where it listens."""
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(1))
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield collector, port
    finally:
        server.stop(None).wait()


def test_what_is_sent_at_once_is_made_in_portions_with_rests() -> None:
    """A portion holds the interpreter for a fraction of a millisecond; each is counted, and nothing is left out."""
    signals = Signals()
    with collecting() as (collector, port):
        export = SpanExport(SpanSender(f"http://127.0.0.1:{port}"), signals)
        for _ in range(18):
            export.offer(_way_without_call())
        export.start()
        export.stop()
    assert len(collector.span_ids) == count(signals, "exported") == 18 * 4
    assert len(set(collector.span_ids)) == 1 + 18 * 3, "the way is the same, its parts are new"
    assert collector.slices == [64, 8]
    assert collector.schemas == {"https://opentelemetry.io/schemas/1.44.0"}
    assert sum(signals.trace_slice.cell().counts) == 18 + len(collector.slices)


def test_a_collector_that_comes_back_is_found_on_the_connection_that_was_kept() -> None:
    signals = Signals()
    with collecting() as (_, port):
        pass
    export = SpanExport(SpanSender(f"http://127.0.0.1:{port}"), signals)
    export.start()
    export.offer(_way_without_call())
    deadline = time.monotonic() + 20
    while count(signals, "not_delivered") < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    with collecting(port) as (collector, _):
        while not collector.span_ids and time.monotonic() < deadline:
            export.offer(_way_without_call())
            time.sleep(0.1)
        export.stop()
    assert count(signals, "exported") == len(collector.span_ids) >= 4


_PLAIN: list[Timeline] = []


def _way_without_call() -> Timeline:
    if not _PLAIN:
        _PLAIN.append(_way()._replace(call=None))
    return _PLAIN[0]


def count(signals: Signals, result: str) -> int:
    return int(signals.spans.cell(result).value)


def test_a_collector_that_hangs_holds_nobody_and_memory_is_bounded() -> None:
    memory, signals = Memory(), Signals()
    memory.release.clear()
    export = SpanExport(memory, signals)
    export.start()
    way = _way_without_call()
    began = time.monotonic()
    for _ in range(5_000):
        export.offer(way)
    assert time.monotonic() - began < 2
    dropped = count(signals, "queue_full")
    assert dropped >= (5_000 - 2 * 2_048) * 4
    began = time.monotonic()
    export.stop()
    assert time.monotonic() - began < 2
    memory.release.set()


def test_what_is_not_delivered_is_counted_and_the_next_is_tried() -> None:
    memory, signals = Memory(), Signals()
    memory.fails = True
    export = SpanExport(memory, signals)
    export.offer(_way_without_call())
    export.start()
    deadline = time.monotonic() + 5
    while count(signals, "not_delivered") < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    memory.fails = False
    export.offer(_way_without_call())
    export.stop()
    assert (count(signals, "not_delivered"), count(signals, "exported")) == (4, 4)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1"])
def test_a_dead_collector_ends_nothing(endpoint: str) -> None:
    signals = Signals()
    export = SpanExport(SpanSender(endpoint), signals)
    export.start()
    export.offer(_way_without_call())
    began = time.monotonic()
    export.stop()
    assert time.monotonic() - began < 2


async def test_a_frozen_collector_of_both_traces_and_metrics_holds_the_end_for_two_seconds_at_most() -> None:
    signals = Signals()

    async def snapshot() -> Snapshot:
        return signals.snapshot()

    with socket.create_server(("127.0.0.1", 0)) as accepts_and_is_silent:
        port = accepts_and_is_silent.getsockname()[1]
        wanted = TelemetrySettings(otlp=OtlpSettings(endpoint=f"http://127.0.0.1:{port}"))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(exporting(wanted.otlp, snapshot, signals))
            leaves = await stack.enter_async_context(tracing(wanted, signals))
            assert leaves is not None
            for _ in range(500):
                leaves.spans.offer(_way_without_call())
            await asyncio.sleep(0.5)
            ending = time.monotonic()
    assert time.monotonic() - ending < 2
    assert count(signals, "exported") == 0
    assert signals.otlp_exports.total(result="sent") == 0
