"""A model server that speaks the v2 inference protocol over gRPC and misbehaves as told, while it runs."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inferstream import local
from inferstream.tasks import Task

SCORE = 0.25
"""What a healthy answer gives every row; garbage that holds numbers holds another one."""
_LIE = 0.75


class Asked(NamedTuple):
    """A call: its rows, and what is needed to answer or refuse it."""

    model: str
    version: str
    rows: npt.NDArray[np.float32]
    context: Any


Behaviour = Callable[[Asked], Awaitable[Any]]


class ModelServer:
    """The server of a task's model, on a port it keeps; an async context manager. `behaviour` answers the calls."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.port = local.free_port()
        self.behaviour: Behaviour = healthy()
        self.is_frozen = False
        """Nothing is answered, not even whether the model is ready."""
        self.ready: Callable[[str, str], bool] = lambda model, version: True
        self.calls: list[Asked] = []
        self._server: Any = None
        self._slammer: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen. Idempotent."""
        if self._slammer is not None:
            self._slammer.close()
            await self._slammer.wait_closed()
            self._slammer = None
        if self._server is None:
            self._server = grpc.aio.server()
            service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(self), self._server)
            self._server.add_insecure_port(self.url)
            await self._server.start()

    async def down(self) -> None:
        """Close the port and every connection, calls or no calls. Idempotent."""
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    async def slam(self) -> None:
        """Accept connections and close them at once, until `up`."""
        await self.down()
        self._slammer = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", self.port)

    async def flap(self, seconds: float) -> None:
        """One second down, one second up, at the level of TCP."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.down()
            await asyncio.sleep(1)
            await self.up()
            await asyncio.sleep(1)

    @property
    def amplification(self) -> float:
        """Calls that came for each that was needed: one that holds a row for the second time was not."""
        seen: set[bytes] = set()
        again = 0
        for call in self.calls:
            rows = {row.tobytes() for row in call.rows}
            again += not rows.isdisjoint(seen)
            seen |= rows
        return len(self.calls) / (len(self.calls) - again)

    async def __aenter__(self) -> "ModelServer":
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.up()
        await self.down()


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The protocol, as far as the service uses it."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server

    async def _unless_frozen(self) -> None:
        if self._server.is_frozen:
            await asyncio.Event().wait()

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names
        await self._unless_frozen()
        return service_pb2.ServerMetadataResponse(name="hostile", version="1")

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unless_frozen()
        return service_pb2.ModelReadyResponse(ready=self._server.ready(request.name, request.version))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unless_frozen()
        answer = service_pb2.ModelMetadataResponse(name=request.name, versions=["1"])
        for kind, specs in (("inputs", self._server.task.inputs), ("outputs", self._server.task.outputs)):
            for spec in specs:
                getattr(answer, kind).add(name=spec.name, datatype=spec.datatype, shape=[-1, *spec.shape])
        return answer

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unless_frozen()
        answer = service_pb2.ModelConfigResponse()
        answer.config.name, answer.config.max_batch_size = request.name, 1024
        answer.config.instance_group.add(count=1)
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unless_frozen()
        rows = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(request.inputs[0].shape)
        asked = Asked(request.model_name, request.model_version, rows, context)
        self._server.calls.append(asked)
        return await self._server.behaviour(asked)


def healthy(seconds: float = 0.005) -> Behaviour:
    """Right answers after so long, one call at a time, as one instance would."""
    instance = asyncio.Lock()

    async def answer(asked: Asked) -> Any:
        async with instance:
            await asyncio.sleep(seconds)
        return response(asked, np.full((len(asked.rows), 1), SCORE, np.float32))

    return answer


async def silent(asked: Asked) -> Any:
    """The call is taken and never answered."""
    await asyncio.Event().wait()


def refusing(code: grpc.StatusCode, refuses: Callable[[npt.NDArray[np.float32]], bool] = lambda row: True) -> Behaviour:
    """This status for every call that holds a row which it `refuses`."""
    answer = healthy()

    async def behave(asked: Asked) -> Any:
        if any(refuses(row) for row in asked.rows):
            await asked.context.abort(code, "as told")
        return await answer(asked)

    return behave


def in_turn(kinds: Sequence[str]) -> Behaviour:
    """One kind of garbage after the other."""
    turns = itertools.cycle(kinds)

    async def answer(asked: Asked) -> Any:
        return GARBAGE[next(turns)](asked)

    return answer


def response(asked: Asked, array: npt.NDArray[Any], name: str = "probability", datatype: str = "FP32") -> Any:
    """An answer that holds this array."""
    message = service_pb2.ModelInferResponse(model_name=asked.model, model_version=asked.version or "1")
    message.outputs.add(name=name, datatype=datatype, shape=array.shape)
    message.raw_output_contents.append(array.tobytes())
    return message


def _lies(rows: int, *shape: int) -> npt.NDArray[np.float32]:
    return np.full((rows, *shape), _LIE, np.float32)


def _cut_short(asked: Asked) -> Any:
    message = response(asked, _lies(len(asked.rows), 1))
    message.raw_output_contents[0] = message.raw_output_contents[0][:-1]
    return message


GARBAGE: dict[str, Callable[[Asked], Any]] = {
    "too few rows": lambda asked: response(asked, _lies(len(asked.rows) - 1, 1)),
    "too many rows": lambda asked: response(asked, _lies(len(asked.rows) + 1, 1)),
    "not a number": lambda asked: response(asked, np.full((len(asked.rows), 1), np.nan, np.float32)),
    "another shape": lambda asked: response(asked, _lies(len(asked.rows), 2)),
    "empty": lambda asked: service_pb2.ModelInferResponse(),
    "no such output": lambda asked: response(asked, _lies(len(asked.rows), 1), name="other"),
    "another datatype": lambda asked: response(asked, _lies(len(asked.rows), 1).astype(np.float64), datatype="FP64"),
    "cut short": _cut_short,
}
"""Answers with status OK that are none."""
