"""Spans made of what the pipelines tell of events, exported by OTLP from a thread of its own, in small slices.

A slice is what is sent at once. It is made in portions, each of which holds the interpreter for a fraction of a
millisecond, so that events need not wait for it. The queue is bounded; what does not fit, or cannot be delivered in
time, is dropped and counted.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from inferstream import __version__
from inferstream.events.timeline import Timeline
from inferstream.pipeline.observe.traces import Tracing
from inferstream.policy.sampling import TokenBucket
from inferstream.settings import TelemetrySettings
from inferstream.signals import Signals
from inferstream.telemetry import conventions
from inferstream.telemetry.encoding import Request, encoded, frame

log = structlog.get_logger()

_SLICE = 64  # spans, or a few more: an event's stay together. To send 64 costs hardly more than to send one
_PAUSE_SECONDS = 0.002  # between portions, so that the event loop gets its turn
_IDLE_SECONDS = 0.2  # a call's other events join its span meanwhile
_TIMEOUT_SECONDS = 1.0  # of one export
_STOP_SECONDS = 0.9  # with what metrics take at the end, less than two seconds
_MOST_WAITING = 2_048  # events
_RECONNECT: Any = (("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 2_000))
_SCOPE = InstrumentationScope("inferstream", __version__, conventions.SCHEMA_URL)


class Sender(Protocol):
    """What brings spans to a collector."""

    def add(self, spans: Sequence[Span]) -> None:
        """To the next slice."""

    def send(self) -> bool:
        """The slice, once, and begin a new one; whether the collector has it. May raise whatever goes wrong."""

    def shutdown(self) -> None:
        """End what is under way."""


class SpanSender(OTLPSpanExporter):
    """OpenTelemetry's exporter in two steps, at host:port or http(s)://host:port.

    A slice is sent once, on a connection that is kept: to make it anew after each failure, as the exporter itself does,
    holds the interpreter for longer than a portion may, all through an outage of the collector.
    """

    def __init__(self, endpoint: str) -> None:
        is_plain = not endpoint.startswith("https://")
        super().__init__(endpoint=endpoint, insecure=is_plain, timeout=_TIMEOUT_SECONDS, channel_options=_RECONNECT)
        self._frame = frame(Resource.create({"service.name": "inferstream", "service.version": __version__}), _SCOPE)
        self._request = Request(self._frame)

    def add(self, spans: Sequence[Span]) -> None:
        """See `Sender`."""
        self._request.add(spans)

    def send(self) -> bool:
        """See `Sender`."""
        request, self._request = self._request, Request(self._frame)
        stub: Any = self._client
        call = stub.Export.future(request=request.message, metadata=self._headers, timeout=self._timeout)
        has_ended = threading.Event()  # gRPC's own ways to wait look ten times a second
        call.add_done_callback(lambda _: has_ended.set())
        has_ended.wait()
        return call.exception() is None


@asynccontextmanager
async def tracing(settings: TelemetrySettings, signals: Signals) -> AsyncIterator[Tracing | None]:
    """What the pipelines need to leave traces, for as long as it is open; None where they leave none."""
    endpoint, wanted = settings.otlp.endpoint, settings.traces
    if endpoint is None or not wanted.enabled:
        yield None
        return
    export = SpanExport(SpanSender(endpoint), signals)
    export.start()
    try:
        yield Tracing(wanted.ratio, TokenBucket(wanted.per_second), export)
    finally:
        await asyncio.to_thread(export.stop)


class SpanExport:
    """The queue between the event loop and the exporting thread. `offer` is called on the loop and never waits."""

    def __init__(self, sender: Sender, signals: Signals) -> None:
        self._sender = sender
        self._waiting: deque[Timeline] = deque()
        self._stopping = threading.Event()
        self._exported, self._failed, self._full = (
            signals.spans.cell(result) for result in ("exported", "not_delivered", "queue_full")
        )
        self._slice_seconds = signals.trace_slice.cell()
        self._rested_at = 0.0
        self._is_failing = self._is_over = False
        self._thread = threading.Thread(target=self._run, name="trace-export", daemon=True)

    def start(self) -> None:
        """Begin to export."""
        self._thread.start()

    def offer(self, way: Timeline) -> None:
        """See `pipeline.interfaces.Spans`."""
        if len(self._waiting) >= _MOST_WAITING:
            self._full.add(len(conventions.event_spans(way)))
        else:
            self._waiting.append(way)

    def stop(self) -> None:
        """Export what is left, as far as that goes within seconds. Blocks so long."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)
        self._is_over = True
        self._sender.shutdown()

    def _run(self) -> None:
        while self._waiting or not self._stopping.is_set():
            self._stopping.wait(_IDLE_SECONDS)
            self._rested_at = time.thread_time()
            for spans in self._slices():
                if self._is_over:
                    return
                self._send(spans)
                self._rest()

    def _slices(self) -> Iterator[int]:
        """Hand what waits to the sender, an event's spans at a time; how many there are when they should go."""
        count = 0
        for _ in range(len(self._waiting)):
            spans = self._spans(self._waiting.popleft())
            self._sender.add(spans)
            self._rest()
            count += len(spans)
            if count >= _SLICE:
                yield count
                count = 0
        if count:
            yield count

    def _rest(self) -> None:
        """Let others have the interpreter, and note how long they have waited."""
        self._slice_seconds.observe(time.thread_time() - self._rested_at)
        time.sleep(_PAUSE_SECONDS)
        self._rested_at = time.thread_time()

    def _spans(self, way: Timeline) -> list[Span]:
        described = conventions.event_spans(way)
        contexts = [way.kept.context, *(way.kept.context.child() for _ in described[1:])]
        spans = [
            encoded(one, context, way.kept.parent if one.child_of is None else contexts[one.child_of])
            for one, context in zip(described, contexts, strict=True)
        ]
        if way.call is not None and not way.call.is_told:
            way.call.is_told = True
            spans.append(encoded(conventions.call_span(way.call, way), way.call.context, None))
        return spans

    def _send(self, count: int) -> None:
        try:
            delivered = self._sender.send()
        except Exception as error:  # a sender's fault must not end the thread
            log.debug("trace_export_failed", error=type(error).__name__)
            delivered = False
        (self._exported if delivered else self._failed).add(count)
        if delivered == self._is_failing:
            self._is_failing = not delivered
            (log.info if delivered else log.warning)("traces_delivered" if delivered else "traces_not_delivered")
