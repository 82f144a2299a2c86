"""From what an event says to arrays, and back for a result. What is wrong with an event is named, never shown."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstream.tasks.task import DTYPES, TensorSpec, Unusable, fits
from inferstream.tasks.tensor.event import Raw

Array = npt.NDArray[Any]

_TYPES: Mapping[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {str, bytes}}
_WORDS = {"b": "true and false", "i": "integers", "u": "integers", "f": "numbers", "O": "strings or bytes"}


def to_array(spec: TensorSpec, given: list[Any] | Raw) -> Array:
    """The tensor of one row, [*shape], in its datatype. Raises Unusable naming the tensor, and what is wanted."""
    wanted = np.dtype(DTYPES[spec.datatype])
    array = _from_bytes(spec, given, wanted) if isinstance(given, Raw) else _from_lists(spec, given, wanted)
    if not fits(array.shape, spec.shape):
        raise _unusable(spec, f"has shape {list(array.shape)}, wanted is {list(spec.shape)}")
    return array


def _from_bytes(spec: TensorSpec, given: Raw, wanted: np.dtype[Any]) -> Array:
    if wanted.kind == "O":
        raise _unusable(spec, "is BYTES, which is given as nested lists of strings or bytes")
    size = int(np.prod(given.shape, dtype=np.float64)) * wanted.itemsize  # as a float, so that nothing wraps
    if len(given.data) != size:
        raise _unusable(spec, f"has {len(given.data)} bytes; {spec.datatype} of shape {given.shape} has {size}")
    return np.frombuffer(given.data, wanted.newbyteorder("<")).astype(wanted, copy=False).reshape(given.shape)


def _from_lists(spec: TensorSpec, given: list[Any], wanted: np.dtype[Any]) -> Array:
    elements, shape = _elements(spec, given)
    if set(map(type, elements)) - _TYPES[wanted.kind]:  # before numpy sees them: it reads "1" as a number, 1.5 as 1
        raise _unusable(spec, f"must hold nothing but {_WORDS[wanted.kind]}")
    if wanted.kind == "O":
        array = np.empty(len(elements), object)
        array[:] = [element.encode() if isinstance(element, str) else element for element in elements]
        return array.reshape(shape)
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is noticed as such
            return np.array(elements, wanted).reshape(shape)
    except OverflowError:
        raise _unusable(spec, f"holds a number that {spec.datatype} has no room for") from None


def _elements(spec: TensorSpec, given: list[Any]) -> tuple[list[Any], list[int]]:
    """What nested lists hold, and their shape. No more of them is looked at than fits what is declared."""
    shape = _outline(given, len(spec.shape))
    if not fits(shape, spec.shape):
        raise _unusable(spec, f"has shape {shape}, wanted is {list(spec.shape)}")
    level = given
    for size in shape[1:]:
        if not all(part.__class__ is list and len(part) == size for part in level):
            raise _ragged(spec)
        level = [element for part in level for element in part]
    if any(element.__class__ is list for element in level):
        raise _ragged(spec)
    return level, shape


def _outline(given: list[Any], rank: int) -> list[int]:
    """The shape, going by the first of each list; of what is nested deeper than that one axis more."""
    shape: list[int] = []
    part: Any = given
    while isinstance(part, list) and len(shape) <= rank:
        shape.append(len(part))
        part = part[0] if part else None
    return shape


def _ragged(spec: TensorSpec) -> Unusable:
    return _unusable(spec, "is ragged: lists beside each other differ in length or depth")


def _unusable(spec: TensorSpec, what: str) -> Unusable:
    return Unusable(f"tensor '{spec.name}' ({spec.datatype}) {what}")


def to_lists(array: Array) -> list[Any]:
    """One row of an output as nested lists. BYTES are text where all of them are UTF-8, else bytes."""
    if array.dtype.kind != "O":
        return list(array.tolist())
    try:
        texts = [element.decode() for element in array.ravel()]
    except UnicodeDecodeError:
        texts = list(array.ravel())
    flat = np.empty(array.size, object)
    flat[:] = texts
    return list(flat.reshape(array.shape).tolist())


def to_raw(array: Array) -> Raw:
    """One row of an output of numbers, as raw elements."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return Raw(little.tobytes(), list(array.shape))
