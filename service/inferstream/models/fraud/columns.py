"""A table of payments of one's own: which columns there may be, and what is wrong with those there are.

Required: `time` (timestamp, or milliseconds since 1970 UTC), `customer`, `terminal` (text or integers), `amount`
(above 0; in euros, or in units of `currency`), `label` (1 or true: fraud). Any further field of the event that is a
feature may be there by its name: `currency`, `channel`, `merchant_category`, `country`, `card_country`, and each of
the aggregates. A field that is not there must not matter: it is the same in every row, and the model leaves it out.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from inferstream.models.family import Array, DataError
from inferstream.tasks.fraud import Aggregates
from inferstream.tasks.fraud.event import CHANNELS

REQUIRED = ("time", "customer", "terminal", "amount", "label")
CODES = {"currency": 3, "country": 2, "card_country": 2}
"""Columns of upper-case letters, and how many."""
AGGREGATES = Aggregates.__struct_fields__
KNOWN = (*REQUIRED, *CODES, "channel", "merchant_category", *AGGREGATES)


class Payments(NamedTuple):
    """Payments in order of time. `further` are the optional columns, by name; `order` is where the rows were."""

    time_ms: Array
    card: Array
    terminal: Array
    amount: Array
    is_fraud: Array
    further: Mapping[str, Array]
    order: Array


def unused(names: Iterable[str]) -> list[str]:
    """Columns the event does not carry: no model may use them, since they would be missing when it serves."""
    return sorted(set(names) - set(KNOWN))


def payments(columns: Mapping[str, Array]) -> Payments:
    """Check the columns and put the rows in order of time. Raises DataError, naming the column and what it holds."""
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        is_or_are = "columns are" if len(missing) > 1 else "column is"
        raise DataError(f"{is_or_are} missing: {_listed(missing)}; there are: {_listed(sorted(columns))}")
    if not columns["time"].size:
        raise DataError("there are no rows")
    for name in REQUIRED:
        _require(name, ~_empty(columns[name]), "empty")
    time_ms = _time(columns["time"])
    order = np.argsort(time_ms, kind="stable")
    amount, label = _numbers("amount", columns), _numbers("label", columns)
    _require("amount", (amount > 0) & (amount <= 1e9), "not above 0 and at most 1e9")
    _require("label", (label == 0) | (label == 1), "neither 0 nor 1")
    further = {name: _further(name, columns)[order] for name in KNOWN if name in columns and name not in REQUIRED}
    if "country" not in further:  # of the two a feature is made, which would say more of the file than of the payment
        further.pop("card_country", None)
    return Payments(
        time_ms[order],
        np.unique(columns["customer"].astype(str), return_inverse=True)[1][order],
        np.unique(columns["terminal"].astype(str), return_inverse=True)[1][order],
        amount[order],
        label[order] > 0,
        further,
        order,
    )


def _time(values: Array) -> Array:
    if np.issubdtype(values.dtype, np.datetime64):
        values = values.astype("datetime64[ms]").astype(np.int64)
    if not np.issubdtype(values.dtype, np.integer):
        raise DataError("column 'time' holds neither timestamps nor whole milliseconds since 1970")
    _require("time", (values >= 0) & (values <= 4_102_444_800_000), "outside 1970 to 2100 (milliseconds are wanted)")
    return values.astype(np.int64)


def _further(name: str, columns: Mapping[str, Array]) -> Array:
    """An optional column, checked as the event's contract would; what may be empty is None or NaN."""
    values = columns[name]
    if name in AGGREGATES:
        values = _numbers(name, columns)
        most = 1.0 if "share" in name else 1e6 if "count" in name else 1e9
        _require(name, np.isnan(values) | ((values >= 0) & (values <= most)), f"outside 0 to {most:g}")
        return values
    if name != "card_country":
        _require(name, ~_empty(values), "empty")
    if name == "merchant_category":
        values = _numbers(name, columns)
        _require(name, (values >= 0) & (values <= 9999) & (values % 1 == 0), "no code from 0 to 9999")
        return values.astype(np.int64)
    if name == "channel":
        _require(name, np.isin(values.astype(str), CHANNELS), f"none of {', '.join(CHANNELS)}")
        return values
    size, empty = CODES[name], _empty(values)
    good = [len(v) == size and v.isascii() and v.isalpha() and v.isupper() for v in values.astype(str).tolist()]
    _require(name, empty | np.array(good, np.bool_), f"no code of {size} upper-case letters")
    values = values.astype(object)
    values[empty] = None
    return values


def _numbers(name: str, columns: Mapping[str, Array]) -> Array:
    values = columns[name]
    if values.dtype == np.bool_ or np.issubdtype(values.dtype, np.number):
        return values.astype(np.float64)
    raise DataError(f"column '{name}' holds {values.dtype} where numbers are wanted")


def _empty(values: Array) -> Array:
    if values.dtype == object:
        return np.array([value is None or value != value for value in values.tolist()], np.bool_)
    return np.asarray(values != values)  # NaN, and "not a time"


def _require(name: str, holds: Array, otherwise: str) -> None:
    wrong = np.flatnonzero(~holds)
    if wrong.size:
        rows = "row" if wrong.size == 1 else "rows"
        raise DataError(f"column '{name}': {wrong.size} {rows} {otherwise} (the first is row {wrong[0]})")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
