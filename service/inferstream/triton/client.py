"""Models on a server behind the pipeline's interface."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any

import grpc
import structlog
from tritonclient.grpc import service_pb2

from inferstream.errors import ContractMismatch, ModelError, Unavailable
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.interfaces import Prediction
from inferstream.policy.endpoint import EndpointState
from inferstream.policy.sharing import Sharing
from inferstream.settings import TritonSettings
from inferstream.tasks import Task, Tensors
from inferstream.tasks.streaming import StreamingTask
from inferstream.triton import metadata, stream, tensors, unary
from inferstream.triton.refusals import reason, said
from inferstream.triton.server import TritonServer

log = structlog.get_logger()

_POLL_TIMEOUT = 0.3  # seconds: an answer about readiness that takes longer is a no
_ASK_TIMEOUT = 5.0
_CAUSES = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Cause.MODEL_TIMEOUT,
    grpc.StatusCode.UNAVAILABLE: Cause.MODEL_UNAVAILABLE,
    grpc.StatusCode.CANCELLED: Cause.MODEL_UNAVAILABLE,
    grpc.StatusCode.NOT_FOUND: Cause.MODEL_UNAVAILABLE,
    grpc.StatusCode.INVALID_ARGUMENT: Cause.MODEL_REJECTED,
}


class TritonModel:
    """One model on a server, as one task uses it.

    Whether it takes calls is `policy.endpoint`'s decision, from the answers to calls and polls. The first time the
    model answers, and after it was away or refused a call, its metadata is compared with the task; a model of another
    shape is not asked. `when_ready` hears of every change.
    """

    def __init__(
        self,
        server: TritonServer,
        name: str,
        version: str,
        task: Task,
        settings: TritonSettings,
        sharing: Sharing | None = None,
    ) -> None:
        """`sharing` is that of all that the same pipeline asks of the model there, in whatever version."""
        self._server = server
        self._name = name
        self._version = version
        self._task = task
        self._settings = settings
        self._endpoint = EndpointState()
        self._was_ready = False
        self._poll_now = asyncio.Event()
        self._is_compared = self._is_warm = False
        self._has_fitted, self._misfit = False, ""
        self.mismatch: ContractMismatch | None = None
        """What is wrong with a model that never fitted the task. One that did fit, and does not any more, may again."""
        self.why_not_ready = "the server was not asked yet"
        """Of the last time that it was asked and was not."""
        self.config: Any = None
        """The model's configuration as the server has it; None until it was asked."""
        self.max_batch_size = 0
        """See `Model`; known once it was compared."""
        self._instances = 1
        self.when_ready: Callable[[bool], None] = lambda ready: None
        self._sharing = sharing or Sharing()
        self._answerer = Answerer("model", name, version)
        self._polling: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """It takes calls now."""
        return self._endpoint.takes_calls

    @property
    def url(self) -> str:
        """The server it is on."""
        return self._server.url

    @property
    def name(self) -> str:
        """On the server."""
        return self._name

    @property
    def version(self) -> str:
        """The version that is asked; empty: the server's choice."""
        return self._version

    @property
    def instances(self) -> int:
        """As the model's configuration says; one until it is known."""
        return self._instances

    @property
    def is_shared(self) -> bool:
        """By the server's own account of the rows it has computed."""
        return self._sharing.has_others

    def computed(self, rows: float) -> None:
        """The server has computed so many rows of the model since the last time, in all versions and for everybody."""
        self._sharing.computed(rows)

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
        try:
            await self._compare()
        except grpc.RpcError as error:
            why = reason(error, self._settings) or said(error)
            what = f"model '{self._name}' at {self._server.url} is not ready ({_code(error)})"
            raise Unavailable(f"{what}: {why}") from None

    async def _compare(self) -> None:
        name, version, task = self._name, self._version, self._task
        wanted = service_pb2.ModelMetadataRequest(name=name, version=version)
        meta = await self._server.ask("ModelMetadata", wanted, _ASK_TIMEOUT)
        wanted = service_pb2.ModelConfigRequest(name=name, version=version)
        self.config = (await self._server.ask("ModelConfig", wanted, _ASK_TIMEOUT)).config
        metadata.compare(meta, self.config, task.inputs, task.outputs, isinstance(task, StreamingTask))
        self.max_batch_size = self.config.max_batch_size
        self._instances = max(1, sum(g.count * max(1, len(g.gpus)) for g in self.config.instance_group))
        self._is_compared, self._has_fitted, self._misfit = True, True, ""

    async def turn_to(self, version: str) -> None:
        """Ask this version from the next call on; calls under way end with the one they began with.

        Raises Unavailable or ContractMismatch if it is not ready or does not fit the task: then nothing changes.
        """
        if version == self._version:
            return
        next_one = TritonModel(self._server, self._name, version, self._task, self._settings)
        is_answered, is_ready = await next_one._ask()
        if not is_ready:
            what = f"version '{version}' of model '{self._name}' is not ready at {self._server.url}"
            raise next_one.mismatch or Unavailable(what if is_answered else f"{what}: it does not answer")
        self._version = version
        self._instances, self.max_batch_size = next_one.instances, next_one.max_batch_size
        self._is_compared = self._is_warm = self._has_fitted = True
        self._poll_now.set()

    async def infer(self, inputs: Tensors, timeout: float, traceparent: bytes | None = None) -> Prediction:
        """One unary call. Raises ModelError; see `Model.infer`."""
        if timeout <= 0:
            raise ModelError(Cause.MODEL_TIMEOUT, "no time left for the call")
        task = self._task
        rows = len(next(iter(inputs.values())))
        self._endpoint.called()
        self._sharing.sent(rows)
        try:
            call = unary.Call(self._name, self._version, task, inputs, rows, traceparent)
            response, outputs = await unary.infer(self._server, call, timeout)
        except (grpc.RpcError, Unavailable, ModelError) as error:
            raise self._failed(error) from None
        except asyncio.CancelledError:
            self._endpoint.given_up()
            raise
        finally:
            self._sharing.ended(rows)
        self._answered()
        return Prediction(outputs, self._answered_by(response))

    async def stream(
        self, inputs: Tensors, timeout: float, traceparent: bytes | None = None
    ) -> AsyncGenerator[Prediction, None]:
        """One row's answers. Raises ModelError; see `StreamingModel.stream`."""
        if timeout <= 0:
            raise ModelError(Cause.MODEL_TIMEOUT, "no time left for the call")
        task, server = self._task, self._server
        message = tensors.request(self._name, self._version, task.inputs, task.outputs, inputs)
        self._endpoint.called()
        self._sharing.sent(1)
        is_heard = False
        try:
            async with aclosing(stream.answers(server, message, timeout, traceparent)) as responses:
                async for response in responses:
                    outputs = tensors.arrays(response, task.outputs, 1)
                    if not is_heard:
                        is_heard = True
                        self._answered()
                    yield Prediction(outputs, self._answered_by(response))
        except (grpc.RpcError, Unavailable, ModelError) as error:
            raise self._failed(error, is_heard) from None
        except (asyncio.CancelledError, GeneratorExit):
            self._endpoint.given_up()
            raise
        finally:
            self._sharing.ended(1)
        if not is_heard:
            self._answered()

    def _answered(self) -> None:
        self._endpoint.answered(time.monotonic())
        self._note()

    def _answered_by(self, response: Any) -> Answerer:
        if response.model_version != self._answerer.version:
            self._answerer = Answerer("model", self._name, response.model_version)
        return self._answerer

    def _failed(self, error: Exception, is_heard: bool = False) -> ModelError:
        """The error as the pipeline has it. A refusal says nothing against the server, nor does a stream cut short."""
        cause, words = Cause.MODEL_UNAVAILABLE, str(error)
        if isinstance(error, ModelError):
            cause = Cause(error.cause)
        elif isinstance(error, grpc.RpcError):
            cause = _CAUSES.get(error.code(), Cause.MODEL_ERROR)
            words = f"model '{self._name}': {_code(error)} {reason(error, self._settings) or said(error)}"
        if cause is Cause.MODEL_REJECTED:
            self._is_compared = False  # it may be another one than it was
            self._endpoint.answered(time.monotonic())
        elif cause is not Cause.MODEL_TIMEOUT or not is_heard:
            self._endpoint.failed(cause, time.monotonic())
        self._note()
        return ModelError(cause, words)

    async def _poll(self) -> None:
        while True:
            started = time.monotonic()
            is_answered, is_ready = await self._ask()
            now = time.monotonic()
            is_silent = not is_answered and now - started >= _POLL_TIMEOUT
            if not is_silent:
                self._endpoint.polled(is_ready, now)
            elif self._endpoint.unanswered(now):
                self._server.reconnect()
            self._note()
            if not is_silent:
                await self._until_next_poll()

    async def _until_next_poll(self) -> None:
        """Ends early when a call raises a suspicion."""
        seconds = self._endpoint.poll_in(self._settings.ready_poll_ms / 1000, time.monotonic())
        self._poll_now.clear()
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._poll_now.wait()

    async def _ask(self) -> tuple[bool, bool]:
        """Whether the server answered, and whether the model is ready."""
        try:
            wanted = service_pb2.ModelReadyRequest(name=self._name, version=self._version)
            answer = await self._server.ask("ModelReady", wanted, _POLL_TIMEOUT)
            if answer.ready and not self._is_compared:
                await self._compare()
            if answer.ready and not self._is_warm:
                await self._warm_up()
        except grpc.RpcError as error:
            self._server.heard(error)
            self.why_not_ready = f"asked whether it is ready, the server says {error.code().name}"
            is_answered = error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
            if is_answered:  # a server that hangs is the same when it goes on
                self._is_compared = self._is_warm = False
            return is_answered, False
        except Unavailable:
            return True, False
        except ContractMismatch as error:
            self._does_not_fit(error)
            return True, False
        if not answer.ready:
            self.why_not_ready = "the server says that it is not ready"
            self._is_compared = self._is_warm = False
        self._server.heard(None)
        return True, bool(answer.ready)

    def _does_not_fit(self, error: ContractMismatch) -> None:
        """Said once. Events are answered by others as long as it lasts, where the model has been of use before."""
        if not self._has_fitted:
            self.mismatch = error
        elif str(error) != self._misfit:
            self._misfit = str(error)
            log.error("model_does_not_fit", url=self._server.url, reason=self._misfit)

    async def _warm_up(self) -> None:
        """A row of zeros, so that no event pays for what a model does on its first call. Its answer says nothing."""
        self._is_warm, task = True, self._task
        zeros = tensors.row_of_zeros(task.inputs)
        if isinstance(task, StreamingTask) or zeros is None:
            return
        message = tensors.request(self._name, self._version, task.inputs, task.outputs, zeros)
        with suppress(grpc.RpcError, Unavailable):
            await self._server.ask("ModelInfer", message, _ASK_TIMEOUT)

    def _note(self) -> None:
        """Something may have changed."""
        if self._endpoint.state == "suspect":
            self._poll_now.set()
        is_ready = self._endpoint.state in ("up", "probing")
        if is_ready != self._was_ready:
            self._was_ready = is_ready
            self.when_ready(is_ready)


def _code(error: grpc.RpcError) -> str:
    return str(error.code().name)
