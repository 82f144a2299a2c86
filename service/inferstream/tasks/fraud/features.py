"""Features of transactions: the same code in training and in serving.

A missing aggregate is 0 with its flag set to 1, so that the model can tell it from a true 0.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter, ne
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import astuple

from inferstream.tasks.fraud.event import CHANNELS, Aggregates, Transaction

# Units of currency per euro, as a scale only: a large amount should look large in any currency.
PER_EURO = {
    "EUR": 1.0, "USD": 1.1, "GBP": 0.85, "CHF": 0.95, "SEK": 11.3, "NOK": 11.6, "DKK": 7.5, "PLN": 4.3, "CZK": 25.0,
    "HUF": 400.0, "RON": 5.0, "TRY": 45.0, "JPY": 165.0, "CNY": 7.8, "INR": 95.0, "KRW": 1500.0, "AUD": 1.7,
    "CAD": 1.5, "NZD": 1.85, "SGD": 1.5, "HKD": 8.6, "BRL": 6.0, "MXN": 20.0, "ZAR": 20.0, "AED": 4.0, "IDR": 17500.0,
}  # fmt: skip
_RISKY_CATEGORIES = frozenset({4829, 5094, 5732, 5944, 6051, 6211, 7801, 7802, 7995})  # transfers, jewels, gambling
_NIGHT_ENDS = 6  # o'clock UTC

_AGGREGATES = Aggregates.__struct_fields__
_AMOUNTS = tuple(i for i, name in enumerate(_AGGREGATES) if "amount" in name)
_COUNTS = tuple(i for i, name in enumerate(_AGGREGATES) if "count" in name)
_MEAN_30D = _AGGREGATES.index("card_mean_amount_30d")
_BLANK = (None,) * len(_AGGREGATES)

FEATURES: tuple[str, ...] = (
    "amount_log",
    "amount_over_usual",
    "currency_unknown",
    "hour_sin",
    "hour_cos",
    "night",
    "weekend",
    "foreign",
    "card_country_missing",
    "risky_category",
    *(f"channel_{channel}" for channel in CHANNELS),
    *_AGGREGATES,
    *(f"{name}_missing" for name in _AGGREGATES),
)
INDEX = {name: i for i, name in enumerate(FEATURES)}
"""Column of each feature."""

_CHANNEL_0 = INDEX["channel_chip"]
_AGGREGATE_0 = INDEX[_AGGREGATES[0]]
_MISSING_0 = INDEX[f"{_AGGREGATES[0]}_missing"]
_CHANNEL = {channel: i for i, channel in enumerate(CHANNELS)}.__getitem__
_RATE = PER_EURO.get
_IS_RISKY = _RISKY_CATEGORIES.__contains__
_OWN = attrgetter("amount", "timestamp_ms", "currency", "channel", "merchant_category", "country", "card_country")

Matrix = npt.NDArray[np.float32]


def features(events: Sequence[Transaction]) -> Matrix:
    """A matrix [rows, len(FEATURES)] of float32, finite for every valid transaction."""
    upstream = [_BLANK if event.aggregates is None else astuple(event.aggregates) for event in events]
    return _matrix(
        _own(events) if events else np.empty((0, 7)),
        np.array(upstream, np.float64).reshape(len(events), len(_AGGREGATES)),  # None becomes NaN
    )


def _own(events: Sequence[Transaction]) -> npt.NDArray[np.float64]:
    """Amount in euros, time, channel code, flags: a column each, [rows, 7]."""
    amounts, times, currencies, channels, categories, countries, issuers = zip(*map(_OWN, events), strict=True)
    own = np.empty((7, len(events)), np.float64)
    rates = _column(map(_RATE, currencies, repeat(0.0)), events)
    own[0] = _column(amounts, events) / np.where(rates, rates, 1.0)
    own[1] = _column(times, events)
    own[2] = _column(map(_CHANNEL, channels), events)
    own[3] = _column(map(_IS_RISKY, categories), events)
    own[5] = [issuer is None for issuer in issuers]
    own[4] = _column(map(ne, issuers, countries), events) - own[5]  # who is missing is not foreign
    own[6] = rates == 0
    return own.T


def _column(values: Iterable[Any], events: Sequence[Transaction]) -> npt.NDArray[np.float64]:
    return np.fromiter(values, np.float64, len(events))


def _matrix(own: npt.NDArray[np.float64], upstream: npt.NDArray[np.float64]) -> Matrix:
    euros, milliseconds = own[:, 0], own[:, 1]
    hour = milliseconds / 3_600_000 % 24
    day = (milliseconds // 86_400_000 + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    missing = np.isnan(upstream)
    known = np.where(missing, 0.0, upstream)
    out = np.zeros((len(own), len(FEATURES)), np.float32)
    out[:, INDEX["amount_log"]] = np.log1p(euros)
    out[:, INDEX["currency_unknown"]] = own[:, 6]
    out[:, INDEX["hour_sin"]] = np.sin(hour * (np.pi / 12))
    out[:, INDEX["hour_cos"]] = np.cos(hour * (np.pi / 12))
    out[:, INDEX["night"]] = hour < _NIGHT_ENDS
    out[:, INDEX["weekend"]] = day >= 5
    out[:, INDEX["foreign"]] = own[:, 4]
    out[:, INDEX["card_country_missing"]] = own[:, 5]
    out[:, INDEX["risky_category"]] = own[:, 3]
    out[np.arange(len(own)), _CHANNEL_0 + own[:, 2].astype(np.intp)] = 1.0
    for column in (*_AMOUNTS, *_COUNTS):
        known[:, column] = np.log1p(known[:, column])
    out[:, _AGGREGATE_0 : _AGGREGATE_0 + len(_AGGREGATES)] = known
    out[:, _MISSING_0 : _MISSING_0 + len(_AGGREGATES)] = missing
    usual = np.where(missing[:, _MEAN_30D], out[:, INDEX["amount_log"]], known[:, _MEAN_30D])
    out[:, INDEX["amount_over_usual"]] = out[:, INDEX["amount_log"]] - usual
    return out
