"""What a model is held against to find drift: where the tenths of each column of the test rows end, in `drift.json`."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from inferstream.models.evaluate import session
from inferstream.models.family import Array
from inferstream.policy.drift import MOST_COLUMNS, Column, Reference, bin_counts, figures

FILE = "drift.json"
_ROWS = 50_000
_ROWS_AT_ONCE = 256
_TENTHS = np.arange(1, 10) / 10


def write_reference(folder: Path, model: Path, inputs: Array, columns: Sequence[str]) -> None:
    """Write it beside a model, from the test rows' inputs; `columns` are the names of these, where there are any."""
    rows = inputs[:: max(1, len(inputs) // _ROWS)]
    run = session(model)
    given, said = run.get_inputs()[0].name, [output.name for output in run.get_outputs()]
    parts = [run.run(said, {given: rows[at : at + _ROWS_AT_ONCE]}) for at in range(0, len(rows), _ROWS_AT_ONCE)]
    tensors = {given: _columns(rows, columns)}
    for place, name in enumerate(said):
        tensors[name] = _columns(np.concatenate([part[place] for part in parts]), ())
    found = Reference(folder.name, len(rows), tensors)
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def _columns(array: Array, names: Sequence[str]) -> tuple[Column, ...]:
    width = array[0].size
    matrix = figures(array, width if width <= MOST_COLUMNS else 1).astype(np.float64)
    if len(names) != matrix.shape[1]:
        names = [str(number) for number in range(matrix.shape[1])]
    return tuple(_column(name, values) for name, values in zip(names, matrix.T, strict=True))


def _column(name: str, values: Array) -> Column:
    edges = np.unique(np.quantile(values, _TENTHS, method="higher"))
    shares = bin_counts(edges, values) / len(values)
    return Column(name, tuple(edges.tolist()), tuple(np.round(shares, 5).tolist()))
