"""A version of a model tried before events meet it: it fits the task, its answers are whole, and it is quick enough."""

import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inferstream.errors import ContractMismatch, ModelError
from inferstream.settings import TritonSettings
from inferstream.tasks import Task, Tensors, TensorSpec
from inferstream.tasks.streaming import StreamingTask
from inferstream.tasks.task import DTYPES
from inferstream.triton import TritonModel, TritonServer

_CALLS = 15
_ROWS = 32
_CALL_SECONDS = 10.0


class Trial(NamedTuple):
    """How long a call took, in the median; None where the task's tensors cannot be made up."""

    row_ms: float | None
    batch_ms: float | None
    """Of a call with 32 rows, or as many as the model takes."""


async def tried(
    server: TritonServer, asked: tuple[str, str], task: Task, triton: TritonSettings, slo_ms: float
) -> Trial:
    """Ask a model, by name and version, what nobody waits for. Raises Unavailable or ContractMismatch."""
    name, version = asked
    model = TritonModel(server, name, version, task, triton)
    await model.check()
    if isinstance(task, StreamingTask) or any(-1 in s.shape or s.datatype not in DTYPES for s in task.inputs):
        return Trial(None, None)
    where = f"version '{version}' of model '{name}' at {server.url}"
    try:
        row_ms = await _median_ms(model, task, 1)
        batch_ms = await _median_ms(model, task, min(_ROWS, model.max_batch_size))
    except ModelError as error:
        raise ContractMismatch(f"{where} failed a test call ({error.cause}): {error}") from None
    if row_ms > slo_ms:
        raise ContractMismatch(
            f"{where} takes {row_ms:.0f} ms for a single row, and the tightest slo_ms of the pipeline is {slo_ms:g}"
        )
    return Trial(row_ms, batch_ms)


async def _median_ms(model: TritonModel, task: Task, rows: int) -> float:
    chance = np.random.default_rng(rows)
    took = []
    for _ in range(_CALLS):
        inputs: Tensors = {spec.name: _made_up(spec, rows, chance) for spec in task.inputs}
        started = time.monotonic()
        await model.infer(inputs, _CALL_SECONDS)
        took.append((time.monotonic() - started) * 1000)
    return float(np.median(took))


def _made_up(spec: TensorSpec, rows: int, chance: np.random.Generator) -> npt.NDArray[Any]:
    """Numbers that any model must take: floats around zero, small integers, both truths."""
    shape, dtype = (rows, *spec.shape), np.dtype(DTYPES[spec.datatype])
    if dtype.kind == "f":
        return chance.standard_normal(shape).astype(dtype)
    if dtype.kind == "O":
        return np.full(shape, b"", dtype)
    return chance.integers(0, 2, shape).astype(dtype)
