"""Arrays to requests and responses to arrays, on the raw protocol messages."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

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
        message.raw_input_contents.append(array.tobytes())
    for spec in outputs:
        message.outputs.add(name=spec.name)
    return message


def arrays(response: Any, outputs: Sequence[TensorSpec], rows: int) -> Tensors:
    """The outputs of a ModelInferResponse. Raises ModelError unless each is what the task wants for these rows.

    A server may answer OK with empty, foreign or non-finite tensors; a score made of those would be a lie.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    contents = dict(zip((output.name for output in response.outputs), response.raw_output_contents, strict=False))
    shapes = {output.name: tuple(output.shape) for output in response.outputs}
    datatypes = {output.name: output.datatype for output in response.outputs}
    for spec in outputs:
        raw = contents.get(spec.name)
        if raw is None or datatypes[spec.name] != spec.datatype:
            raise _garbage(f"output '{spec.name}' is missing or is no {spec.datatype}")
        shape, dtype = shapes[spec.name], np.dtype(DTYPES[spec.datatype])
        array = np.frombuffer(raw, dtype, len(raw) // dtype.itemsize)
        if shape[:1] != (rows,) or not fits(shape[1:], spec.shape) or len(raw) != np.prod(shape) * dtype.itemsize:
            raise _garbage(f"output '{spec.name}' has shape {list(shape)} and {len(raw)} bytes for {rows} rows")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _garbage(f"output '{spec.name}' holds numbers that are not finite")
        found[spec.name] = array.reshape(shape)
    return found


def _garbage(what: str) -> ModelError:
    return ModelError(Cause.MODEL_GARBAGE, f"the model server answered OK, but {what}")
