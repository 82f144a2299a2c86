"""Partial outcomes: what a stream has brought so far goes to the output topic while it goes on.

One record of a stream is on its way at a time, and what comes meanwhile goes into the next. So a quick broker gets
every answer by itself, a slow one gets fewer and larger parts, and nothing queues up. A partial outcome is settled by
nobody: the outcome holds all of it.
"""

import asyncio
from functools import partial
from typing import Any

from inferstream.errors import InferstreamError
from inferstream.events import headers
from inferstream.events.codecs import Codec
from inferstream.events.envelope import Event
from inferstream.events.outcome import Answerer, Source, outcome_id
from inferstream.events.partial import SCHEMA, PartialOutcome
from inferstream.events.timeline import Call
from inferstream.pipeline.interfaces import Clock, OutRecord, Sink
from inferstream.pipeline.outcomes import Route, reader_of_ids
from inferstream.signals import Signals
from inferstream.tasks import Tensors
from inferstream.tasks.streaming import StreamingTask


class Stream:
    """An event whose model answers bit by bit: its answers so far, whichever try they came from."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.answers: list[Tensors] = []
        self.answerer: Answerer | None = None
        self.asked_at = 0.0
        self.call: Call | None = None
        """Of the trace, if the event leaves one."""
        self.first_at = self.last_at = 0.0
        """When the first and the last answer came, monotonic seconds."""
        self.sent = self.parts = 0
        """Answers that went out, and in how many partial outcomes."""
        self.is_sending = self.is_over = False

    @property
    def deadline(self) -> float:
        return self.event.deadline

    @property
    def slo_class(self) -> str:
        return self.event.slo_class

    @property
    def taken_at(self) -> float:
        return self.event.taken_at

    def take(self, answer: Tensors, answerer: Answerer, now: float) -> None:
        """The next answer."""
        if not self.answers:
            self.first_at = now
        self.answers.append(answer)
        self.answerer = answerer
        self.last_at = now


class Partials:
    """Writes them. `offer` is called whenever a stream has something new, and never blocks."""

    def __init__(
        self, route: Route, task: StreamingTask, codec: Codec, sink: Sink, clock: Clock, signals: Signals
    ) -> None:
        self._route = route
        self._task = task
        self._encode = codec.encode
        self._content_type = codec.content_type.encode()
        self._sink = sink
        self._clock = clock
        self._event_id = reader_of_ids(task)
        self._written = signals.partials.cell(route.pipeline)

    def offer(self, stream: Stream) -> None:
        """Send what is new, unless a part of this stream is on its way."""
        if stream.is_sending or stream.is_over or stream.sent == len(stream.answers):
            return
        record = self._record(stream)
        if record is None:
            return
        stream.sent, stream.parts, stream.is_sending = len(stream.answers), stream.parts + 1, True
        sent = self._sink.send(self._route.output_topic, stream.event.record.partition, [record])
        sent.add_done_callback(partial(self._done, stream))

    def _done(self, stream: Stream, sent: "asyncio.Future[None]") -> None:
        stream.is_sending = False
        if sent.cancelled() or isinstance(sent.exception(), InferstreamError):
            stream.is_over = True  # the outcome meets the same trouble, and says so
            return
        self._written.add()
        self.offer(stream)

    def _record(self, stream: Stream) -> OutRecord | None:
        """None where there is none to write: the task's code fails, or the topic takes no record so large."""
        event, route = stream.event, self._route
        source = event.record
        id_ = outcome_id(route.group, route.input_topic, source.partition, source.offset)
        try:
            value = self._encode(
                PartialOutcome(
                    id_,
                    stream.parts,
                    stream.sent,
                    route.pipeline,
                    route.task_name,
                    Source(source.topic, source.partition, source.offset, source.timestamp),
                    self._event_id(event.payload),
                    self._result(stream),
                )
            )
        except Exception:  # a task is users' code; what is wrong with it shows when the result is made
            stream.is_over = True
            return None
        own = [
            (headers.CONTENT_TYPE, self._content_type),
            (headers.SCHEMA, SCHEMA.encode()),
            (headers.OUTCOME_PART, str(stream.parts).encode()),
            (headers.OUTCOME_ID, id_.encode()),
            *headers.carried(source.headers),
        ]
        record = OutRecord(source.key, value, own, int(self._clock.unix_ms()))
        if record.size_bytes() > self._sink.max_record_bytes(route.output_topic):
            stream.is_over = True
            return None
        return record

    def _result(self, stream: Stream) -> Any:
        return self._task.partial(stream.event.payload, stream.answers[stream.sent :])
