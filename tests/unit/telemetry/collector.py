"""A collector of OTLP metrics on a free port, that can be slow, frozen or refuse."""

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc


class Collector(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the metrics of every request."""

    def __init__(self) -> None:
        self.port = 0
        self.metrics: list[Any] = []
        self.resources: list[Any] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = threading.Event()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """One request."""
        self.asked.set()
        self.may_answer.wait(30)
        for resource in request.resource_metrics:
            self.resources.append(resource.resource)
            for scope in resource.scope_metrics:
                self.metrics.extend(scope.metrics)
        return metrics_service_pb2.ExportMetricsServiceResponse()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector
    finally:
        collector.may_answer.set()
        server.stop(grace=None).wait(5)
