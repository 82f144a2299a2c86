"""From torch to ONNX: one file, any number of rows, checked against torch."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from inferstream.models.evaluate import outputs
from inferstream.models.family import Array


def export(model: nn.Module, file: Path, example: Array, names: tuple[str, str], opset: int) -> None:
    """Write the network with these names of its input and output; `example` are at least two rows."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which we do not need
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about itself
        program = torch.onnx.export(
            model,
            (torch.from_numpy(example[:2]),),  # two rows: a dimension of one would be taken for a constant
            dynamo=True,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
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
    """Largest difference between what the file makes of the inputs and what was expected."""
    return float(np.abs(outputs(file, inputs) - expected).max())
