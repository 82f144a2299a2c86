"""A trace collector for trying out and for tests: OTLP over gRPC and over HTTP, spans appended to a file as JSON lines.

    python -m inferstream.local.collector GRPC_PORT HTTP_PORT FILE

The service sends by gRPC, Triton by HTTP as JSON. Elsewhere use Jaeger, Grafana Tempo or any collector.
"""

import base64
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_LONGEST_BODY = 16 * 2**20
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


class Store:
    """The file; written by several threads."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)
        self._lock = threading.Lock()

    def add(self, request: Any) -> None:
        """All spans of an ExportTraceServiceRequest."""
        lines = [json.dumps(span) for span in _spans(request)]
        with self._lock:
            self._file.writelines(f"{line}\n" for line in lines)


def _spans(request: Any) -> Iterator[dict[str, Any]]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes).get("service.name", "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "service": service,
                    "name": span.name,
                    "kind": _KINDS[span.kind],
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "begin_ns": span.start_time_unix_nano,
                    "end_ns": span.end_time_unix_nano,
                    "is_error": span.status.code == span.status.STATUS_CODE_ERROR,
                    "attributes": _values(span.attributes),
                    "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links],
                }


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in attributes}


class _Grpc(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, store: Store) -> None:
        self._store = store

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        self._store.add(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes metrics, which go the same way, and leaves them: `/metrics` of the service has them."""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Http(BaseHTTPRequestHandler):
    store: Store

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _LONGEST_BODY))
        request = trace_service_pb2.ExportTraceServiceRequest()
        try:
            if "json" in self.headers.get("Content-Type", ""):
                json_format.ParseDict(_with_base64_ids(json.loads(body)), request, ignore_unknown_fields=True)
            else:
                request.ParseFromString(body)
        except (ValueError, json_format.ParseError) as error:
            self.send_error(400, str(error)[:200])
            return
        self.store.add(request)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


def _with_base64_ids(value: Any) -> Any:
    """OTLP writes ids in JSON as hexadecimal, where protobuf's own JSON has base64."""
    if isinstance(value, Mapping):
        return {
            key: base64.b64encode(bytes.fromhex(one)).decode()
            if key in ("traceId", "spanId", "parentSpanId") and isinstance(one, str)
            else _with_base64_ids(one)
            for key, one in value.items()
        }
    return [_with_base64_ids(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    """Listen until SIGTERM."""
    grpc_port, http_port, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    store = Store(file)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Grpc(store), server)  # type: ignore[no-untyped-call]
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    handler = type("Handler", (_Http,), {"store": store})
    web = ThreadingHTTPServer(("127.0.0.1", http_port), handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=web.shutdown).start())
    web.serve_forever(0.1)
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
