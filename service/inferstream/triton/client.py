"""One channel per server, and models on it behind the pipeline's interface."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inferstream.errors import ContractMismatch, ModelError, SettingsError, Unavailable
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.interfaces import Prediction
from inferstream.settings import TritonSettings
from inferstream.tasks import Task, Tensors
from inferstream.triton import metadata, tensors

_POLL_TIMEOUT = 0.3  # seconds: an answer about readiness that takes longer is a no
_ASK_TIMEOUT = 5.0
_CAUSES = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Cause.MODEL_TIMEOUT,
    grpc.StatusCode.UNAVAILABLE: Cause.MODEL_UNAVAILABLE,
    grpc.StatusCode.CANCELLED: Cause.MODEL_UNAVAILABLE,
    grpc.StatusCode.NOT_FOUND: Cause.MODEL_UNAVAILABLE,
}


def _options(settings: TritonSettings) -> list[tuple[str, int]]:
    """All channel arguments: giving any replaces every default of the client library."""
    return [
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # A server that comes back is found at once, not after gRPC's default backoff of seconds.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        # Pings are safe for a server with default flags only when rare; a frozen one is noticed by our own polls.
        ("grpc.keepalive_time_ms", 300_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.use_local_subchannel_pool", 1),
    ]


class TritonServer:
    """A connection to one model server, shared by the models on it. Must be made on the running loop."""

    def __init__(self, settings: TritonSettings) -> None:
        self.url = settings.url
        self._settings = settings
        options = _options(settings)
        if settings.tls:
            self._channel = grpc.aio.secure_channel(settings.url, _credentials(settings), options=options)
        else:
            self._channel = grpc.aio.insecure_channel(settings.url, options=options)
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def version(self) -> str:
        """Name and version the server gives itself. Raises Unavailable."""
        try:
            answer = await self.stub.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=_ASK_TIMEOUT)
        except grpc.RpcError as error:
            raise Unavailable(f"no answer from Triton at {self.url} ({_code(error)}); is `triton.url` right?") from None
        return f"{answer.name} {answer.version}"

    async def stop(self) -> None:
        """Close the connection. Idempotent."""
        await self._channel.close(grace=None)


class TritonModel:
    """One model on a server, as one task uses it.

    `is_ready` follows a poll; the first time the model answers, its metadata is compared with the task, and a
    model of another shape is never asked. `when_ready` hears of every change.
    """

    def __init__(self, server: TritonServer, name: str, version: str, task: Task, settings: TritonSettings) -> None:
        self._server = server
        self._name = name
        self._version = version
        self._task = task
        self._poll_seconds = settings.ready_poll_ms / 1000
        self._ready = False
        self._compared = False
        self.mismatch: ContractMismatch | None = None
        self.max_batch_size = 0
        self.when_ready: Callable[[bool], None] = lambda ready: None
        self._answerer = Answerer("model", name, version)
        self._polling: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """By the last poll, or the last call."""
        return self._ready

    def start(self) -> None:
        """Begin to poll."""
        self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Stop polling. The server's connection is closed by who made it."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    async def check(self) -> None:
        """Compare with the task now. Raises Unavailable or ContractMismatch."""
        name, version = self._name, self._version
        try:
            meta = await self._server.stub.ModelMetadata(
                service_pb2.ModelMetadataRequest(name=name, version=version), timeout=_ASK_TIMEOUT
            )
            config = await self._server.stub.ModelConfig(
                service_pb2.ModelConfigRequest(name=name, version=version), timeout=_ASK_TIMEOUT
            )
        except grpc.RpcError as error:
            raise Unavailable(
                f"model '{name}' at {self._server.url} is not ready ({_code(error)}): {_details(error)}"
            ) from None
        metadata.compare(meta, config.config, self._task.inputs, self._task.outputs)
        self.max_batch_size = config.config.max_batch_size
        self._compared = True

    async def infer(self, inputs: Tensors, timeout: float) -> Prediction:
        """One unary call. Raises ModelError; see `Model.infer`."""
        if timeout <= 0:
            raise ModelError(Cause.MODEL_TIMEOUT, "no time left for the call")
        task = self._task
        rows = len(next(iter(inputs.values())))
        message = tensors.request(self._name, self._version, task.inputs, task.outputs, inputs)
        try:
            response = await self._server.stub.ModelInfer(message, timeout=timeout)
        except grpc.RpcError as error:
            cause = _CAUSES.get(error.code(), Cause.MODEL_ERROR)
            if cause is Cause.MODEL_UNAVAILABLE:
                self._turn(False)
            raise ModelError(cause, f"model '{self._name}': {_code(error)} {_details(error)}") from None
        outputs = tensors.arrays(response, task.outputs, rows)
        if response.model_version != self._answerer.version:
            self._answerer = Answerer("model", self._name, response.model_version)
        return Prediction(outputs, self._answerer)

    async def _poll(self) -> None:
        while True:
            self._turn(await self._ask())
            await asyncio.sleep(self._poll_seconds)

    async def _ask(self) -> bool:
        try:
            answer = await self._server.stub.ModelReady(
                service_pb2.ModelReadyRequest(name=self._name, version=self._version), timeout=_POLL_TIMEOUT
            )
            if answer.ready and not self._compared:
                await self.check()
        except (grpc.RpcError, Unavailable):
            return False
        except ContractMismatch as error:
            self.mismatch = error
            return False
        return bool(answer.ready)

    def _turn(self, ready: bool) -> None:
        if ready != self._ready:
            self._ready = ready
            self.when_ready(ready)


def _credentials(settings: TritonSettings) -> grpc.ChannelCredentials:
    def content(file: Path | None) -> bytes | None:
        try:
            return None if file is None else file.read_bytes()
        except OSError as error:
            raise SettingsError(f"triton: the certificate or key file {file} cannot be read: {error}") from None

    return grpc.ssl_channel_credentials(
        content(settings.ca_file), content(settings.key_file), content(settings.certificate_file)
    )


def _code(error: grpc.RpcError) -> str:
    return str(error.code().name)


def _details(error: grpc.RpcError) -> str:
    """The server's own words: they name tensors and shapes, never data."""
    return str(error.details() or "")[:300]
