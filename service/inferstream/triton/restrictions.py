"""What a server keeps for those who send a key (`--grpc-restricted-protocol`), and what it costs us not to have it.

The service goes on without most of it, so nobody would notice; `inferstream check` asks.
"""

from typing import Any, NamedTuple

import grpc
from tritonclient.grpc import service_pb2

from inferstream.errors import Unavailable
from inferstream.settings import TritonSettings
from inferstream.triton.refusals import is_restricted, reason
from inferstream.triton.server import TritonServer

_ASK_TIMEOUT = 5.0


class Restriction(NamedTuple):
    """A protocol that we may not use. `is_vital`: without it no event is ever scored."""

    is_vital: bool
    text: str


class _Protocol(NamedTuple):
    name: str
    method: str
    message: Any
    costs: str
    is_vital: bool = False


def _protocols(settings: TritonSettings) -> list[_Protocol]:
    asked = [
        _Protocol("health", "ServerReady", service_pb2.ServerReadyRequest(), "the model is never ready", True),
        _Protocol(
            "statistics",
            "ModelStatistics",
            service_pb2.ModelStatisticsRequest(),
            "the metrics inferstream_model_server_* stay empty, and `models switch` cannot tell when a version is idle",
        ),
    ]
    if settings.shared_memory == "auto":
        message = service_pb2.SystemSharedMemoryStatusRequest()
        costs = "large tensors go over the wire; triton.shared_memory off says so"
        asked.append(_Protocol("shared-memory", "SystemSharedMemoryStatus", message, costs))
    return asked


async def restrictions(server: TritonServer, settings: TritonSettings) -> list[Restriction]:
    """All of them that the service would use. Inference, metadata and model-config are found by trying the model."""
    found = []
    for protocol in _protocols(settings):
        try:
            await server.ask(protocol.method, protocol.message, _ASK_TIMEOUT)
        except grpc.RpcError as error:
            if is_restricted(error):
                text = f"its protocol {protocol.name} is restricted, so {protocol.costs}; {reason(error, settings)}"
                found.append(Restriction(protocol.is_vital, text))
        except Unavailable:
            continue
    return found
