"""From what an event says to arrays, and back for a result. What is wrong with an event is named, never shown."""

from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstream.tasks.task import DTYPES, TensorSpec, Unusable, fits
from inferstream.tasks.tensor.event import Raw

Array = npt.NDArray[Any]

_TEXTS = frozenset({str, bytes})


def to_array(spec: TensorSpec, given: list[Any] | Raw) -> Array:
    """The tensor of one row, [*shape], in its datatype. Raises Unusable naming the tensor, and what is wanted.

    Lists are as `event_of` has them decoded: nested as deep as declared, of elements of the declared kind.
    """
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
    level, shape = given, [len(given)]
    for _ in spec.shape[1:]:
        size = len(level[0]) if level else 0
        if any(len(part) != size for part in level):
            raise _unusable(spec, "is ragged: lists beside each other differ in length")
        level = list(chain.from_iterable(level))
        shape.append(size)
    if wanted.kind == "O":
        if not _TEXTS.issuperset(map(type, level)):
            raise _unusable(spec, "must hold nothing but strings or bytes")
        array = np.empty(len(level), object)
        array[:] = [element.encode() if isinstance(element, str) else element for element in level]
        return array.reshape(shape)
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is noticed as such
            return np.array(level, wanted).reshape(shape)
    except OverflowError:
        raise _unusable(spec, f"holds a number that {spec.datatype} has no room for") from None


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
