"""The student: a small ONNX model that answers in the process when the server cannot."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from inferstream.errors import ContractMismatch, ModelError, SettingsError
from inferstream.events.outcome import Answerer, Cause
from inferstream.pipeline.interfaces import Prediction
from inferstream.tasks import Task, Tensors, TensorSpec
from inferstream.tasks.task import fits

_TYPES = {"FP16": "float16", "FP32": "float", "FP64": "double", "BYTES": "string"}
"""ONNX Runtime's names where they are not Triton's in small letters."""


class Student:
    """One session on one thread: tens of microseconds per batch, so it runs on the event loop."""

    def __init__(self, name: str, task: Task) -> None:
        """`name` is a shipped model or the path of an .onnx file. Raises SettingsError or ContractMismatch."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(_content(name), options, providers=["CPUExecutionProvider"])
        except SettingsError:
            raise
        except Exception as error:  # onnxruntime raises its own kinds, all without a common base
            raise SettingsError(f"student '{name}' is not a model ONNX Runtime can load: {error}") from None
        self._outputs = task.outputs
        self._names = [spec.name for spec in task.outputs]
        self._answerer = Answerer("student", *_named(name))
        self._compare(name, task)

    @property
    def is_ready(self) -> bool:
        """Always: it is in the process."""
        return True

    @property
    def instances(self) -> int:
        """One session on one thread."""
        return 1

    @property
    def max_batch_size(self) -> int:
        """Any number."""
        return 0

    @property
    def is_shared(self) -> bool:
        """Nobody else asks it."""
        return False

    @property
    def url(self) -> str:
        """In the process."""
        return ""

    async def infer(self, tensors: Tensors, timeout: float, traceparent: bytes | None = None) -> Prediction:
        """Answer at once; `timeout` has no use here."""
        try:
            outputs = self._session.run(self._names, dict(tensors))
        except Exception as error:  # see above
            raise ModelError(Cause.MODEL_ERROR, f"student: {type(error).__name__}") from None
        rows = len(next(iter(tensors.values())))
        for spec, output in zip(self._outputs, outputs, strict=True):
            if output.shape[:1] != (rows,) or not fits(output.shape[1:], spec.shape):
                what = f"output '{spec.name}' has shape {list(output.shape)} for {rows} rows"
                raise ModelError(Cause.MODEL_GARBAGE, f"student: {what}")
        if not all(np.isfinite(o).all() for o in outputs if o.dtype.kind == "f"):
            raise ModelError(Cause.MODEL_GARBAGE, "student: an output is not finite")
        return Prediction(dict(zip(self._names, outputs, strict=True)), self._answerer)

    async def stop(self) -> None:
        """Nothing to release."""

    def _compare(self, name: str, task: Task) -> None:
        has = {t.name for t in self._session.get_inputs()}, {t.name for t in self._session.get_outputs()}
        wants = {spec.name for spec in task.inputs}, {spec.name for spec in task.outputs}
        if has[0] != wants[0] or not wants[1] <= has[1]:
            raise ContractMismatch(
                f"student '{name}' does not fit the task: it has inputs {sorted(has[0])} and outputs {sorted(has[1])}, "
                f"the task {sorted(wants[0])} and {sorted(wants[1])}"
            )
        there = {tensor.name: tensor for tensor in (*self._session.get_inputs(), *self._session.get_outputs())}
        for spec in (*task.inputs, *task.outputs):
            if said := _differs(there[spec.name], spec):
                raise ContractMismatch(f"student '{name}' does not fit the task: '{spec.name}' {said}")


def _differs(tensor: Any, spec: TensorSpec) -> str:
    """What is wrong with a tensor of the model; empty if nothing is. Sizes may be open, those of rows must be."""
    wanted = f"tensor({_TYPES.get(spec.datatype, spec.datatype.lower())})"
    if tensor.type != wanted:
        return f"is {tensor.type}, the task has {wanted}"
    if not tensor.shape:  # not known before it runs
        return ""
    rows, *sizes = [size if isinstance(size, int) else -1 for size in tensor.shape]
    if rows != -1:
        return f"is of {rows} rows always; a call has any number of them"
    return "" if fits(sizes, spec.shape) else f"has shape {sizes} a row, the task has {list(spec.shape)}"


def _named(name: str) -> tuple[str, str]:
    """Name and version for the outcomes; of a file in a model repository those that it has there."""
    path = Path(name)
    if path.name == "model.onnx" and path.parent.name.isdecimal():
        return path.parent.parent.name, path.parent.name
    return path.stem, "1"


def _content(name: str) -> bytes:
    if name.endswith(".onnx"):
        path = Path(name)
        if not path.is_file():
            raise SettingsError(f"student '{name}': no such file")
        return path.read_bytes()
    shipped = files("inferstream") / "model_repository" / name / "1" / "model.onnx"
    with as_file(shipped) as path:
        if not path.is_file():
            raise SettingsError(f"student '{name}' is not shipped; name an .onnx file, or `none`")
        return path.read_bytes()
