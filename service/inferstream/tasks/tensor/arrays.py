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
    types = _types(given)
    if types - {list} - _TYPES[wanted.kind]:  # before numpy sees them: it reads "1" as a number, and cuts 1.5 to 1
        raise _unusable(spec, f"must hold nothing but {_WORDS[wanted.kind]}")
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is noticed as such
            array = np.array(given, wanted)
    except OverflowError:
        raise _unusable(spec, f"holds a number that {spec.datatype} has no room for") from None
    except ValueError:
        raise _ragged(spec) from None
    if wanted.kind != "O":
        return array
    flat = array.ravel()
    for at, element in enumerate(flat):
        if isinstance(element, list):
            raise _ragged(spec)
        flat[at] = element.encode() if isinstance(element, str) else element
    return flat.reshape(array.shape)


def _types(given: list[Any]) -> set[type]:
    """The types of what is in nested lists, `list` among them."""
    types: set[type] = set(map(type, given))
    return types.union(*map(_types, given)) if types == {list} else types


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
