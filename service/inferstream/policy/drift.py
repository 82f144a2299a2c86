"""How far the tensors a model sees and gives are from those of the rows it was tested on: PSI, column by column.

PSI, the population stability index, is the sum over bins of (live - test) * ln(live / test). By custom less than 0.1 is
no change, more than 0.25 is one that should be looked at. Where the bins end is in `drift.json` beside the model.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

MOST_COLUMNS = 64
_LEAST_ROWS = 2_000  # by chance alone ten bins give 0.01 with these
_WINDOW_ROWS = 345_600  # then all counts half: a day of four rows a second, since much goes by the hour of the day
_LEAST_SHARE = 1e-4  # a bin that is empty on one side must not make the index infinite

Tensors = Mapping[str, npt.NDArray[Any]]


class Column(msgspec.Struct, frozen=True):
    """Bins of a column: a value on an edge belongs to the bin that ends there, the last bin has no end."""

    name: str
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    """Of the test rows, by bin: one more than there are edges."""


class Reference(msgspec.Struct, frozen=True):
    """What `drift.json` holds: the columns of each tensor, or one for the mean of rows that are wide or of any size."""

    model: str
    rows: int
    tensors: dict[str, tuple[Column, ...]]


def figures(array: npt.NDArray[Any], columns: int) -> npt.NDArray[Any]:
    """The array as [rows, columns]: as it is if it has so many values a row, else their mean."""
    flat = array.reshape(len(array), -1)
    return flat if flat.shape[1] == columns else flat.mean(axis=1, keepdims=True)


def bin_counts(edges: npt.NDArray[np.float64], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many values are in each bin."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


class Drift:
    """Counts what is live against a reference. Raises ValueError if that is not whole."""

    def __init__(self, reference: Reference) -> None:
        self._columns = {name: [_Live(name, c, len(cs)) for c in cs] for name, cs in reference.tensors.items()}

    def observe(self, tensors: Tensors) -> None:
        """Some rows of a call: its inputs and outputs by name."""
        for name, columns in self._columns.items():
            if name not in tensors or not len(tensors[name]):
                continue
            live = figures(tensors[name], len(columns))
            if live.shape[1] == len(columns):  # else the task's options gave it another size than the model tested
                for column, values in zip(columns, live.T, strict=True):
                    column.observe(values)

    def psi(self) -> Iterator[tuple[str, str, float]]:
        """Tensor, column and index of each column of which enough was seen."""
        for tensor, columns in self._columns.items():
            for column in columns:
                if column.rows >= _LEAST_ROWS:
                    yield tensor, column.label, column.psi()


class _Live:
    """A column: its reference, and what was seen of it."""

    def __init__(self, tensor: str, column: Column, columns: int) -> None:
        if len(column.shares) != len(column.edges) + 1 or list(column.edges) != sorted(column.edges):
            raise ValueError(f"column '{column.name}' of tensor '{tensor}' needs ascending edges and one share more")
        self.label = tensor if columns == 1 else f"{tensor}.{column.name}"
        self._edges = np.array(column.edges)
        self._expected = np.maximum(column.shares, _LEAST_SHARE)
        self._counts = np.zeros(len(column.shares))
        self.rows = 0.0

    def observe(self, values: npt.NDArray[Any]) -> None:
        self._counts += bin_counts(self._edges, values)
        self.rows += len(values)
        if self.rows > _WINDOW_ROWS:
            self._counts /= 2
            self.rows /= 2

    def psi(self) -> float:
        live = np.maximum(self._counts / self.rows, _LEAST_SHARE)
        return float(((live - self._expected) * np.log(live / self._expected)).sum())
