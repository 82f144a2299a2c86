"""Event types that leave open how much an event nests, and what bounds it then.

A byte of msgpack can be a list. Where a type says how long its lists may be the decoder sees to it; elsewhere 64 KiB
would become 65,000 objects.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import inspect

MOST = 4_096
"""Lists and maps in one event. One of fewer bytes cannot have more."""

_FIXED = (inspect.TupleType, inspect.StructType, inspect.DataclassType, inspect.TypedDictType, inspect.NamedTupleType)


def is_open(event_type: Any) -> bool:
    """Whether an event of this type may hold any number of lists and maps."""
    return any(_is_open(part) for part in _parts(inspect.type_info(event_type), set()))


class TooMuch(ValueError):
    """An event holds more lists and maps than `MOST`."""


def bounded(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A decoder for events of an open type. Raises TooMuch as well."""

    def decode_bounded(value: bytes) -> Any:
        if len(value) <= MOST:
            return decode(value)
        was_enabled = gc.isenabled()
        gc.disable()  # collections in the midst of it would go over the same new lists again and again
        try:
            payload = decode(value)
            if _holds_too_much(payload):
                payload = None
                raise TooMuch
            return payload
        finally:
            if was_enabled:
                gc.enable()

    return decode_bounded


def _holds_too_much(payload: Any) -> bool:
    pending = [payload] if isinstance(payload, _HOLDING) else []
    for one in pending:
        inner: Sequence[Any]
        if isinstance(one, dict):
            inner = list(one.values())
        elif isinstance(one, msgspec.Struct):
            inner = [getattr(one, name) for name in one.__struct_fields__]
        else:
            inner = one
        for begin in range(0, len(inner), MOST):  # so that little is looked at where there is too much
            part = inner[begin : begin + MOST]
            holding = {kind for kind in set(map(type, part)) if issubclass(kind, _HOLDING)}
            if holding:
                pending += [each for each in part if each.__class__ in holding]
            if len(pending) > MOST:
                return True
    return False


_HOLDING = (list, tuple, dict, msgspec.Struct)


def _is_open(part: inspect.Type) -> bool:
    if isinstance(part, (inspect.AnyType, inspect.CustomType)):
        return True
    if isinstance(part, inspect.DictType):
        return part.max_length is None and _may_hold(part.value_type)
    return isinstance(part, inspect.CollectionType) and part.max_length is None and _may_hold(part.item_type)


def _may_hold(of: inspect.Type) -> bool:
    holding = (inspect.CollectionType, inspect.DictType, *_FIXED, inspect.AnyType, inspect.CustomType)
    of = _plain(of)
    return any(isinstance(_plain(part), holding) for part in (of.types if isinstance(of, inspect.UnionType) else (of,)))


def _plain(of: inspect.Type) -> inspect.Type:
    """Without what is only said about it."""
    return of.type if isinstance(of, inspect.Metadata) else of


def _parts(of: inspect.Type, seen: set[Any]) -> Iterator[inspect.Type]:
    """The type and all that it is made of."""
    of = _plain(of)
    yield of
    if isinstance(of, inspect.StructType):
        if of.cls in seen:
            return
        seen.add(of.cls)
    fields = [field.type for field in getattr(of, "fields", ())]
    inner = [getattr(of, name) for name in ("item_type", "key_type", "value_type") if hasattr(of, name)]
    members = of.types if isinstance(of, inspect.UnionType) else getattr(of, "item_types", ())
    for part in (*fields, *inner, *members):
        yield from _parts(part, seen)
