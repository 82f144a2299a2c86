"""The interface of a task and how one is found: by entry point `inferstream.tasks` or as `module:Class`."""

import dataclasses
import difflib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from inferstream.errors import SettingsError

Tensors = Mapping[str, npt.NDArray[Any]]

DTYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
"""Triton's datatypes as numpy has them; an element of BYTES is Python's `bytes`, of any length."""


class WrongTensor(ValueError):
    """A task's tensors are not what it declares. Says which, its shape and type; never what it holds."""


class Unusable(ValueError):
    """Raised by a task for an event it cannot use: it becomes a dead letter that says this text.

    Say what is wrong and what is wanted, never what the event holds.
    """


class TensorSpec(NamedTuple):
    """A named tensor of the model: Triton datatype and the shape of one row (without the batch axis; -1: any)."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Task(ABC):
    """One kind of inference, from typed events to typed results, a whole batch at a time.

    Options (thresholds, say) are the fields of a frozen dataclass and come from the pipeline's `options`. The task is
    that dataclass itself, or names it as `options_type` and is made with one.
    Methods must not block, keep state or change their arguments: they run on the event loop, unless `off_loop`.
    """

    options_type: ClassVar[type | None] = None
    """Dataclass of the options, where they are not the task's own fields."""
    event_type: ClassVar[Any] = dict
    """What the codec decodes a record to: a msgspec Struct, or any type msgspec knows."""
    schema: ClassVar[str | None] = None
    """Name of the event's schema; a record whose `schema` header names another one is a dead letter."""
    event_id: ClassVar[str | None] = None
    """Field of the event that identifies it to people; copied to the outcome."""
    model: ClassVar[str] = ""
    """Default name of the model on Triton."""
    student: ClassVar[str | None] = None
    """Shipped model with the same tensors that answers in the process when Triton cannot."""
    inputs: ClassVar[tuple[TensorSpec, ...]] = ()
    outputs: ClassVar[tuple[TensorSpec, ...]] = ()
    off_loop: ClassVar[bool] = False
    """Methods run in a thread: for a task that takes milliseconds a batch, which would hold up all else."""

    @abstractmethod
    def tensors(self, events: Sequence[Any]) -> Tensors:
        """Model inputs for the events: one array [rows, *shape] per entry of `inputs`.

        A row with a non-finite number makes its event a dead letter; the others go on.
        """

    @abstractmethod
    def decide(self, events: Sequence[Any], tensors: Tensors, outputs: Tensors) -> Sequence[Any]:
        """One result per event from the model's (or the student's) outputs, arrays [rows, *shape]."""

    def rules(self, events: Sequence[Any], tensors: Tensors) -> Sequence[Any] | None:
        """One result per event without any model, or None if this task cannot answer so."""
        return None


def load(name: str, options: Mapping[str, Any]) -> Task:
    """The task a pipeline names, with its options. Raises SettingsError saying what to write instead."""
    cls = _find(name)
    of = cls.options_type or cls
    known: set[str] = {f.name for f in dataclasses.fields(of)} if dataclasses.is_dataclass(of) else set()
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it knows: {', '.join(sorted(known)) or 'none'}"
            raise SettingsError(f"task '{name}' has no option '{option}'; {hint}")
    try:
        made: Any = msgspec.convert(dict(options), of, strict=False) if known else of()
        make: Callable[..., Task] = cls
        return made if isinstance(made, cls) else make(made)
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(f"options of task '{name}': {error}") from None


def _find(name: str) -> type[Task]:
    points = {point.name: point for point in entry_points(group="inferstream.tasks")}
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        elif name in points:
            found = points[name].load()
        else:
            known = ", ".join(sorted(points))
            raise SettingsError(f"task '{name}' is not installed; known: {known}, or write 'module:Class'")
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"task '{name}' cannot be loaded: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise SettingsError(f"task '{name}' is {found!r}, not a subclass of inferstream.tasks.Task")
    return found


def finite_rows(tensors: Tensors) -> npt.NDArray[np.bool_]:
    """Which rows hold only finite numbers, over all float tensors of a batch."""
    rows = len(next(iter(tensors.values())))
    finite = np.ones(rows, np.bool_)
    for array in tensors.values():
        if array.dtype.kind == "f":
            finite &= np.isfinite(array).reshape(rows, -1).all(axis=1)
    return finite


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape agrees with another in which -1 stands for any size."""
    return len(shape) == len(wanted) and all(a == b or -1 in (a, b) for a, b in zip(shape, wanted, strict=True))


def as_declared(specs: Sequence[TensorSpec], tensors: Tensors, rows: int) -> Tensors:
    """The tensors of so many events, each in its declared type and shape. Raises WrongTensor."""
    for name, array in tensors.items():
        if np.shape(array)[:1] != (rows,):
            raise WrongTensor(f"tensor '{name}' has shape {list(np.shape(array))} for {rows} events")
    return {**tensors, **{spec.name: _as_declared(spec, tensors) for spec in specs}}


def _as_declared(spec: TensorSpec, tensors: Tensors) -> npt.NDArray[Any]:
    if spec.name not in tensors:
        raise WrongTensor(f"tensor '{spec.name}' is declared and not given")
    array, wanted = np.asarray(tensors[spec.name]), np.dtype(DTYPES[spec.datatype])
    if spec.datatype == "BYTES":
        # Not numpy's own strings of bytes: those lose zeros at their end.
        if array.dtype != wanted or not all(isinstance(element, bytes) for element in array.flat):
            raise WrongTensor(f"tensor '{spec.name}' is declared BYTES: give an object array whose elements are bytes")
    elif not np.can_cast(array.dtype, wanted, "same_kind"):
        raise WrongTensor(f"tensor '{spec.name}' is {array.dtype}, declared is {spec.datatype}")
    if not fits(array.shape[1:], spec.shape):
        raise WrongTensor(
            f"tensor '{spec.name}' has shape {list(array.shape[1:])} a row, declared is {list(spec.shape)}"
        )
    return array.astype(wanted, copy=False)
