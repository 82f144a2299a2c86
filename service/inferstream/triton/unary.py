"""One call to a model: through shared memory if it is large and the server shares ours, else over the wire."""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple, Protocol

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from inferstream.tasks import Task, Tensors, TensorSpec
from inferstream.tasks.task import DTYPES
from inferstream.triton import tensors
from inferstream.triton.shared_memory import Ended, Region, SharedMemory

_ALIGNED_BYTES = 64
_REFUSED = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED})
"""The server has looked at the call and is done with it. NOT_FOUND is what it says of a region it does not know."""


class Server(Protocol):
    """What is needed of a connection."""

    @property
    def shared(self) -> SharedMemory | None: ...
    async def ask(self, method: str, message: Any, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Any: ...


class Call(NamedTuple):
    """What is asked: name and version of the model, the task's tensors, [rows, *shape] by input name.

    `traceparent` makes the server's spans children of ours. Without one nothing is sent: Triton traces whatever has a
    valid context, sampled or not.
    """

    model: str
    version: str
    task: Task
    inputs: Tensors
    rows: int
    traceparent: bytes | None = None


class Answered(NamedTuple):
    """The server's answer and the arrays in it, [rows, *shape] by output name."""

    response: Any
    outputs: Tensors


class Place(NamedTuple):
    """Where a tensor lies in a region."""

    offset: int
    size_bytes: int


async def infer(server: Server, call: Call, timeout: float) -> Answered:
    """One call. Raises grpc.RpcError, Unavailable, or ModelError for garbage."""
    shared, region, refusal, began = server.shared, None, "", time.monotonic()
    if shared is not None and shared.is_worth(_size_bytes(call)) and (places := _places(call)):
        region = shared.take(max(place.offset + place.size_bytes for place in places.values()))
        if region is not None:
            try:
                return await _through(shared, region, places, server, call, timeout)
            except grpc.RpcError as error:
                if error.code() not in _REFUSED:
                    raise
                # Whether it is the region that is refused or what the tensors say, the wire will tell.
                refusal, timeout = str(error.details())[:300], timeout - (time.monotonic() - began)
    message = tensors.request(call.model, call.version, call.task.inputs, call.task.outputs, call.inputs)
    response = await server.ask("ModelInfer", message, timeout, _trace_of(call))
    if shared is not None and region is not None:
        shared.refused(region, refusal)
    return Answered(response, tensors.arrays(response, call.task.outputs, call.rows))


async def _through(
    shared: SharedMemory, region: Region, places: Mapping[str, Place], server: Server, call: Call, timeout: float
) -> Answered:
    """The call by way of a region, which is given back whatever comes of it."""
    ended: Ended = "given up"
    try:
        response = await server.ask("ModelInfer", _request(call, region, places), timeout, _trace_of(call))
        ended = "answered"
        in_region = {spec.name: _read(region, places[spec.name]) for spec in call.task.outputs if spec.name in places}
        return Answered(response, tensors.arrays(response, call.task.outputs, call.rows, in_region))
    except grpc.RpcError as error:
        if error.code() in _REFUSED:
            ended = "refused"
        raise
    finally:
        shared.give_back(region, ended)


def _trace_of(call: Call) -> Sequence[tuple[str, str]]:
    return () if call.traceparent is None else (("traceparent", call.traceparent.decode()),)


def _size_bytes(call: Call) -> int:
    """Of all tensors whose size is known. Quick: asked of every call, and most are small."""
    return sum(array.nbytes for array in call.inputs.values()) + call.rows * _row_bytes(tuple(call.task.outputs))


@cache
def _row_bytes(specs: tuple[TensorSpec, ...]) -> int:
    """Of a row of tensors; 0 if the size of one is open."""
    if any(spec.datatype == "BYTES" or -1 in spec.shape for spec in specs):
        return 0
    return sum(prod(spec.shape) * np.dtype(DTYPES[spec.datatype]).itemsize for spec in specs)


def _places(call: Call) -> dict[str, Place]:
    """A place for each tensor; none where an input has no fixed size. Outputs of open size come over the wire."""
    if any(spec.datatype == "BYTES" for spec in call.task.inputs):
        return {}
    sizes = [
        (spec.name, prod(call.inputs[spec.name].shape) * np.dtype(DTYPES[spec.datatype]).itemsize)
        for spec in call.task.inputs
    ]
    if _row_bytes(tuple(call.task.outputs)):
        sizes += [
            (spec.name, call.rows * prod(spec.shape) * np.dtype(DTYPES[spec.datatype]).itemsize)
            for spec in call.task.outputs
        ]
    places, offset = {}, 0
    for name, size_bytes in sizes:
        places[name] = Place(offset, size_bytes)
        offset += -(-size_bytes // _ALIGNED_BYTES) * _ALIGNED_BYTES
    return places


def _request(call: Call, region: Region, places: Mapping[str, Place]) -> Any:
    message = service_pb2.ModelInferRequest(model_name=call.model, model_version=call.version)
    for spec in call.task.inputs:
        array = np.ascontiguousarray(call.inputs[spec.name], DTYPES[spec.datatype])
        place = places[spec.name]
        np.frombuffer(region.memory, array.dtype, array.size, place.offset)[:] = array.reshape(-1)
        _say_where(message.inputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape), region, place)
    for spec in call.task.outputs:
        output = message.outputs.add(name=spec.name)
        if spec.name in places:
            _say_where(output, region, places[spec.name])
    return message


def _say_where(tensor: Any, region: Region, place: Place) -> None:
    tensor.parameters["shared_memory_region"].string_param = region.key
    tensor.parameters["shared_memory_offset"].int64_param = place.offset
    tensor.parameters["shared_memory_byte_size"].int64_param = place.size_bytes


def _read(region: Region, place: Place) -> bytes:
    """A copy: the region is somebody else's soon."""
    return region.memory[place.offset : place.offset + place.size_bytes]
