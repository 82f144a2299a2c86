"""From torch to ONNX: one file, any number of rows, checked against torch."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from inferstream.models.evaluate import outputs
from inferstream.models.family import Array


def export(
    model: nn.Module, file: Path, example: Array, names: tuple[str, ...], opset: int, free_axes: Sequence[int] = ()
) -> None:
    """Write the network with these names, of its input, then of its outputs; `example` are at least two rows.

    Rows may be any number, and so the size of the `free_axes`.
    """
    free = {axis: torch.export.Dim(f"size_{axis}") for axis in free_axes}
    shapes = ({0: torch.export.Dim("rows"), **free},)
    # Two rows: a dimension of one would be taken for a constant.
    save(model, file, (torch.from_numpy(example[:2]),), ([names[0]], list(names[1:])), shapes, opset)


def save(
    model: nn.Module,
    file: Path,
    example: tuple[torch.Tensor, ...],
    names: tuple[list[str], list[str]],
    shapes: Any,
    opset: int,
) -> None:
    """Write a network of any number of inputs, with `names` of them and of its outputs; `shapes` say what is free."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which we do not need
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about itself
        program = torch.onnx.export(
            model,
            example,
            dynamo=True,
            input_names=names[0],
            output_names=names[1],
            dynamic_shapes=shapes,
            opset_version=opset,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - dynamo=True always returns one
    file.parent.mkdir(parents=True, exist_ok=True)
    program.save(str(file), external_data=False)
    _strip(file)


def _strip(file: Path) -> None:
    """Leave out where each node comes from: it names the builder's files and is most of the size."""
    model = onnx.load(str(file))
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    onnx.save(model, str(file))


def difference(expected: Array, file: Path, inputs: Array) -> float:
    """Largest difference between what the file makes of the inputs and what was expected; of classes, the share."""
    found = outputs(file, inputs)
    return float((found != expected).mean() if expected.dtype.kind in "iu" else np.abs(found - expected).max())
