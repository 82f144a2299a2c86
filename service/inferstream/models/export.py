"""From torch to ONNX: one file, any number of rows, checked against torch."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from inferstream.models.fraud_data import Dataset
from inferstream.models.network import Classifier


def export(model: Classifier, file: Path, opset: int) -> None:
    """Write the network with input `features` and output `probability`."""
    example = torch.zeros(2, model.mean.numel())  # two rows: a dimension of one would be taken for a constant
    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        input_names=["features"],
        output_names=["probability"],
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


def difference(model: Classifier, file: Path, data: Dataset, rows: int = 4_096) -> float:
    """Largest difference between the file's and torch's probabilities."""
    inputs = data.features[:rows]
    with torch.no_grad():
        expected = model(torch.from_numpy(inputs)).numpy()
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return float(np.abs(session.run(None, {"features": inputs})[0] - expected).max())
