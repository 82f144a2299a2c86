"""Whether the model on the server is the one the task was written for."""

from collections.abc import Sequence
from typing import Any

from inferstream.errors import ContractMismatch
from inferstream.tasks import TensorSpec
from inferstream.tasks.task import DTYPES, fits


def compare(
    metadata: Any, config: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], streams: bool = False
) -> None:
    """Raise ContractMismatch naming every difference between the model and the task, which `streams` or not."""
    wrong = [
        *_differences("input", metadata.inputs, inputs),
        *_differences("output", metadata.outputs, outputs),
    ]
    needless = {tensor.name for tensor in metadata.inputs} - {spec.name for spec in inputs}
    optional = {tensor.name for tensor in config.input if tensor.optional}
    wrong += [
        f"input '{name}' is wanted by the model and not given by the task" for name in sorted(needless - optional)
    ]
    if config.max_batch_size < 1:
        wrong.append("the model does not batch (max_batch_size 0)")
    if config.model_transaction_policy.decoupled != streams:
        wrong.append("the model does not stream (it is not decoupled)" if streams else "the model streams (decoupled)")
    if wrong:
        raise ContractMismatch(
            f"model '{metadata.name}' does not fit the task: {'; '.join(wrong)}. "
            "Load the model the task was made for, or name another in `pipelines.<name>.model` (or `fallback_model`)"
        )


def _differences(kind: str, tensors: Any, wanted: Sequence[TensorSpec]) -> list[str]:
    found = {tensor.name: tensor for tensor in tensors}
    wrong = []
    for spec in wanted:
        tensor = found.get(spec.name)
        if tensor is None:
            wrong.append(f"{kind} '{spec.name}' is missing (the model has: {', '.join(sorted(found)) or 'none'})")
        elif tensor.datatype != spec.datatype or spec.datatype not in DTYPES:
            wrong.append(f"{kind} '{spec.name}' is {tensor.datatype}, the task has {spec.datatype}")
        elif not fits(tuple(tensor.shape)[1:], spec.shape):
            wrong.append(f"{kind} '{spec.name}' has shape {list(tensor.shape)[1:]}, the task {list(spec.shape)}")
    return wrong
