"""Fraud data of one's own: from a Parquet file to rows to learn from, and to aggregates for the feature store."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inferstream.errors import how_to_install
from inferstream.models.family import Array, DataError, Dataset, Split, Tell
from inferstream.models.fraud.columns import AGGREGATES, Payments, payments, unused
from inferstream.models.fraud.simulated import feature_matrix
from inferstream.tasks.fraud import Aggregates, Transaction
from inferstream.tasks.fraud.features import PER_EURO
from inferstream.traffic import DAY_MS, LABEL_DELAY_DAYS, history

TEST_DAYS = 7
DELAY_DAYS = LABEL_DELAY_DAYS
"""Before the test period: frauds of these days would not be known yet when the model is made."""
_CALIBRATE_SHARE = 0.15  # of the customers, not of the days: single days have a share of frauds of their own
_LEAST_FRAUDS = 20  # in each part
_NO_AGGREGATES = 0.05  # share of rows to learn from without aggregates, as events whose producer has none at hand


@dataclasses.dataclass(frozen=True)
class Parts:
    """Which rows are for what, as flags."""

    train: Array
    calibrate: Array
    test: Array


def split_of_file(path: Path, tell: Tell) -> Split:
    """Split by time: learn, calibrate, a delay that nobody sees, test. Raises DataError."""
    columns, others = read(path)
    for name in others:
        tell(f"column '{name}' is left out: the event does not carry it")
    if "card_country" in columns and "country" not in columns:
        tell("column 'card_country' is left out: it says something only beside 'country'")
    table = payments(columns)
    tell(f"{table.time_ms.size} payments, {int(table.is_fraud.sum())} frauds")
    return split(table, path.name)


def split(table: Payments, source: str) -> Split:
    """The rows as the model will see them, by time. Raises DataError where there are too few days or frauds."""
    parts = parts_by_time(table.time_ms, table.card)
    days = table.time_ms // DAY_MS
    described = {"file": source, "test_days": TEST_DAYS, "delay_days": DELAY_DAYS}
    found = []
    without = np.random.default_rng(0).random(table.time_ms.size) < _NO_AGGREGATES
    matrix = feature_matrix(events(table, without & ~parts.test), table.time_ms.size)
    for name, rows in dataclasses.asdict(parts).items():
        frauds = int(table.is_fraud[rows].sum())
        if frauds < _LEAST_FRAUDS:
            raise DataError(f"column 'label': {frauds} frauds in the rows to {name}; {_LEAST_FRAUDS} are needed")
        described[f"{name}_rows"] = int(rows.sum())
        targets = table.is_fraud[rows].astype(np.float32)[:, None]
        found.append(Dataset(matrix[rows], targets, {"card": table.card[rows], "day": days[rows]}))
    train, calibrate, test = found
    return Split(train, calibrate, test, described)


def parts_by_time(time_ms: Array, card: Array) -> Parts:
    """Of rows in order of time: what to learn from, some cards to calibrate on, a delay, the last days to test on."""
    ends = (int(time_ms[-1]) // DAY_MS + 1) * DAY_MS if time_ms.size else 0
    days = (ends - int(time_ms[0]) // DAY_MS * DAY_MS) // DAY_MS if time_ms.size else 0
    least = 2 * (TEST_DAYS + DELAY_DAYS)
    if days < least:
        raise DataError(f"column 'time' spans {days} days; at least {least} are needed")
    test = time_ms >= ends - TEST_DAYS * DAY_MS
    known = time_ms < ends - (TEST_DAYS + DELAY_DAYS) * DAY_MS
    chosen = np.random.default_rng(0).random(int(card.max()) + 1) < _CALIBRATE_SHARE
    return Parts(known & ~chosen[card], known & chosen[card], test)


def aggregates(table: Payments) -> dict[str, Array]:
    """Each aggregate, [rows], NaN where nothing is known; a column of the table goes before what we compute.

    Of a window that begins before the table does nothing is known: a feature store, which serving has, knows all of it.
    """
    past = history(table.card, table.terminal, table.time_ms, _euros(table), table.is_fraud)
    computed = dict(zip(AGGREGATES, np.concatenate(past, axis=1).T.astype(np.float64), strict=True))
    for name, values in computed.items():
        values[table.time_ms < table.time_ms[0] + _looks_back_days(name) * DAY_MS] = np.nan
    return {name: table.further.get(name, values) for name, values in computed.items()}


def _looks_back_days(aggregate: str) -> int:
    """From a payment to the beginning of the window. Terminals' are of frauds, which are known only after a while."""
    window = int(aggregate.rpartition("_")[2].removesuffix("d"))
    return window + (LABEL_DELAY_DAYS if aggregate.startswith("terminal") else 0)


def events(table: Payments, without_aggregates: Array) -> Iterator[Transaction]:
    """The rows as the events that would carry them, so that training sees what serving will."""
    rows = table.time_ms.size
    known = np.stack(list(aggregates(table).values()), axis=1).astype(object)
    known[known != known] = None
    fixed = {"merchant_category": 0, "currency": "EUR", "channel": "chip", "country": "XX", "card_country": None}
    own = [table.further.get(name, np.full(rows, value)).tolist() for name, value in fixed.items()]
    for row, (category, currency, channel, country, card_country) in enumerate(zip(*own, strict=True)):
        upstream = (
            None if without_aggregates[row] else Aggregates(*(None if v != v else v for v in known[row].tolist()))
        )
        yield Transaction(
            *("t", "c", "p", "m"),  # no feature is made of identifiers
            category,
            float(table.amount[row]),
            currency,
            int(table.time_ms[row]),
            channel,
            country,
            card_country,
            None,
            upstream,
        )


def write_aggregates(path: Path, out: Path) -> int:
    """The reference aggregates of a file's payments, a row each in order of time; how many. Raises DataError.

    Those that the file has itself are not looked at: it is they that may be compared.
    """
    import pyarrow
    import pyarrow.parquet

    columns, _ = read(path)
    table = payments({name: values for name, values in columns.items() if name not in AGGREGATES})
    given = {name: columns[name][table.order] for name in ("time", "customer", "terminal")}
    made = {**given, **aggregates(table)}
    pyarrow.parquet.write_table(
        pyarrow.table({name: pyarrow.array(values, from_pandas=True) for name, values in made.items()}), out
    )
    return int(table.time_ms.size)


def read(path: Path) -> tuple[dict[str, Array], list[str]]:
    """The columns of a Parquet file that a model may use (numbers, datetime64, or objects), and the others' names.

    Raises DataError.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"reading Parquet needs the extra `models`: {how_to_install('models')}") from None
    try:
        file = pyarrow.parquet.ParquetDataset(path)
        others = unused(file.schema.names)
        table = file.read(columns=[name for name in file.schema.names if name not in others])
        columns = {name: _array(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is no Parquet file that can be read: {str(error).splitlines()[0]}") from None
    return columns, others


def _array(column: Any) -> Array:
    """As numpy has it; a column of categories as what they stand for."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values: Array = column.to_numpy()
    return values


def _euros(table: Payments) -> Array:
    currency = table.further.get("currency")
    if currency is None:
        return table.amount
    return table.amount / np.array([PER_EURO.get(code, 1.0) for code in currency.tolist()])
