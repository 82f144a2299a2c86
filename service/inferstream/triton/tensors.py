"""Arrays to requests and responses to arrays, on the raw protocol messages."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from inferstream.errors import ModelError
from inferstream.events.outcome import Cause
from inferstream.tasks import Tensors, TensorSpec
from inferstream.tasks.task import DTYPES, fits


def request(
    model: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], tensors: Tensors
) -> Any:
    """A ModelInferRequest for arrays [rows, *shape], one per input."""
    message = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    for spec in inputs:
        array = np.ascontiguousarray(tensors[spec.name], DTYPES[spec.datatype])
        message.inputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        message.raw_input_contents.append(_raw(array))
    for spec in outputs:
        message.outputs.add(name=spec.name)
    return message


def arrays(
    response: Any, outputs: Sequence[TensorSpec], rows: int, elsewhere: Mapping[str, bytes] | None = None
) -> Tensors:
    """The outputs of a ModelInferResponse. Raises ModelError unless each is what the task wants for these rows.

    `elsewhere` are contents that the response does not hold itself, since they came through shared memory.
    A server may answer OK with empty, foreign or non-finite tensors; a score made of those would be a lie.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    contents = dict(zip((output.name for output in response.outputs), response.raw_output_contents, strict=False))
    if elsewhere:
        contents = {name: raw or elsewhere.get(name, b"") for name, raw in contents.items()}
    shapes = {output.name: tuple(output.shape) for output in response.outputs}
    datatypes = {output.name: output.datatype for output in response.outputs}
    for spec in outputs:
        raw = contents.get(spec.name)
        if raw is None or datatypes[spec.name] != spec.datatype:
            raise _garbage(f"output '{spec.name}' is missing or is no {spec.datatype}")
        shape, array = shapes[spec.name], _elements(raw, spec.datatype)
        if array is None or shape[:1] != (rows,) or not fits(shape[1:], spec.shape) or array.size != np.prod(shape):
            raise _garbage(f"output '{spec.name}' has shape {list(shape)} and {len(raw)} bytes for {rows} rows")
        if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
            raise _not_finite(spec.name, finite.reshape(rows, -1).all(axis=1))
        found[spec.name] = array.reshape(shape)
    return found


def zeros(spec: TensorSpec) -> npt.NDArray[Any]:
    """One row of nothing, [1, *shape]."""
    return np.full((1, *spec.shape), b"" if spec.datatype == "BYTES" else 0, DTYPES[spec.datatype])


def row_of_zeros(inputs: Sequence[TensorSpec]) -> Tensors | None:
    """One row of nothing for a model; None where a size is open."""
    return None if any(-1 in spec.shape for spec in inputs) else {spec.name: zeros(spec) for spec in inputs}


def _raw(array: npt.NDArray[Any]) -> bytes:
    """The elements on the wire: as they are in memory, or each `bytes` with its length before it."""
    if array.dtype.kind != "O":
        return array.tobytes()
    return bytes(serialize_byte_tensor(array).item()) if array.size else b""


def _elements(raw: bytes, datatype: str) -> npt.NDArray[Any] | None:
    """The elements in a row; None if the bytes are no whole number of them."""
    if datatype == "BYTES":
        try:
            array: npt.NDArray[Any] = deserialize_bytes_tensor(raw)
        except struct.error:
            return None
        return array
    dtype = np.dtype(DTYPES[datatype])
    return np.frombuffer(raw, dtype) if len(raw) % dtype.itemsize == 0 else None


def _not_finite(name: str, good: npt.NDArray[np.bool_]) -> ModelError:
    """Some rows can make a model overflow: then the batch counts as refused, so that these cost only themselves."""
    bad, rows = int(np.count_nonzero(~good)), len(good)
    if bad < rows:
        return ModelError(Cause.MODEL_REJECTED, f"output '{name}' is not finite in {bad} of {rows} rows")
    return _garbage(f"output '{name}' holds numbers that are not finite")


def _garbage(what: str) -> ModelError:
    return ModelError(Cause.MODEL_GARBAGE, f"the model server answered OK, but {what}")
