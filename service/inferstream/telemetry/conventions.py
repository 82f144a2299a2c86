"""Span names and attributes as OpenTelemetry's semantic conventions 1.44 have them for messaging and RPC.

What they have no word for (there is no convention for inference that is not generative) is under `inferstream.*`.
Kafka's record key is left out although recommended: it may be an account or a card.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv._incubating.attributes import rpc_attributes as rpc
from opentelemetry.semconv.attributes import error_attributes as error
from opentelemetry.semconv.attributes import server_attributes as server
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import SpanKind

from inferstream.events.outcome import Status
from inferstream.events.timeline import Call, Timeline
from inferstream.events.trace_context import Context

SCHEMA_URL = Schemas.V1_44_0.value
METHOD = "inference.GRPCInferenceService/ModelInfer"

Value = str | int | float | bool


class Described(NamedTuple):
    """A span: its parent within the trace is the one it is a child of, by number, or the event's own parent (None)."""

    name: str
    kind: SpanKind
    child_of: int | None
    begin_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    links: Sequence[Context] = ()
    failure: str | None = None


def event_spans(way: Timeline) -> list[Described]:
    """The spans of one event: what was done with it first, then its parts in the order of the data path."""
    wrong = None if way.status is Status.SCORED else (way.cause.value if way.cause else way.status.value)
    if wrong is None and not way.is_in_time:
        wrong = "slo_miss"
    links = () if way.call is None else (way.call.context,)
    spans = [
        Described(
            f"process {way.input_topic}",
            SpanKind.CONSUMER,
            None,
            way.taken_ns,
            way.acknowledged_ns,
            _messaging("process", "process", way.input_topic, way.partition)
            | {
                messaging.MESSAGING_CONSUMER_GROUP_NAME: way.group,
                messaging.MESSAGING_KAFKA_OFFSET: way.offset,
                messaging.MESSAGING_MESSAGE_BODY_SIZE: way.body_bytes,
                "inferstream.pipeline": way.pipeline,
                "inferstream.slo.class": way.slo_class,
                "inferstream.slo.slack_ms": round(way.slack_ms, 3),
                "inferstream.outcome": way.status.value,
                "inferstream.attempts": way.attempts,
                "inferstream.sampling.reason": way.kept.reason,
            }
            | ({"inferstream.cause": way.cause.value} if way.cause else {})
            | ({"inferstream.ended_at_stage": way.stage} if way.stage else {}),
            links,
            wrong,
        ),
        Described("batch", SpanKind.INTERNAL, 0, way.taken_ns, way.asked_ns, {"inferstream.stage": "batch"}),
    ]
    if way.answerer is not None:
        answered = {
            "inferstream.stage": "infer",
            "inferstream.answerer": way.answerer.kind,
            "inferstream.model.name": way.answerer.name,
            "inferstream.model.version": way.answerer.version,
        }
        spans.append(Described("infer", SpanKind.INTERNAL, 0, way.asked_ns, way.answered_ns, answered, links))
    spans.append(
        Described(
            f"send {way.output_topic}",
            SpanKind.PRODUCER,
            0,
            way.emitted_ns,
            way.acknowledged_ns,
            _messaging("send", "send", way.output_topic, way.partition) | {"inferstream.stage": "emit"},
        )
    )
    return spans


def call_span(call: Call, way: Timeline) -> Described:
    """The span of a call to the model, a trace of its own, told with the first of its events."""
    attributes: dict[str, Value] = {
        rpc.RPC_SYSTEM_NAME: "grpc",
        rpc.RPC_METHOD: METHOD,
        rpc.RPC_RESPONSE_STATUS_CODE: "OK",
        "inferstream.pipeline": way.pipeline,
        "inferstream.batch.size": call.rows,
        "inferstream.stage": "infer",
    }
    if way.answerer is not None:
        attributes["inferstream.model.name"] = way.answerer.name
        attributes["inferstream.model.version"] = way.answerer.version
    host, _, port = call.server.rpartition(":")
    if host and port.isdigit():
        attributes[server.SERVER_ADDRESS], attributes[server.SERVER_PORT] = host, int(port)
    return Described(METHOD, SpanKind.CLIENT, None, way.asked_ns, way.answered_ns, attributes, tuple(call.members))


def failure(name: str) -> dict[str, Value]:
    """What a span that failed says of it."""
    return {error.ERROR_TYPE: name}


def _messaging(name: str, kind: str, topic: str, partition: int) -> dict[str, Value]:
    return {
        messaging.MESSAGING_SYSTEM: "kafka",
        messaging.MESSAGING_OPERATION_NAME: name,
        messaging.MESSAGING_OPERATION_TYPE: kind,
        messaging.MESSAGING_DESTINATION_NAME: topic,
        messaging.MESSAGING_DESTINATION_PARTITION_ID: str(partition),
    }
