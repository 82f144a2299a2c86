"""Gradient-boosted decision trees: LightGBM's own file for the FIL backend, and an .onnx for everything else."""

from pathlib import Path

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from inferstream.models.family import Dataset
from inferstream.models.recipes import Boost

_OPSET = 15  # the newest the converter writes trees in


def boost(data: Dataset, step: Boost) -> lightgbm.Booster:
    """Fit to the labels."""
    settings = {
        "objective": "binary",
        "num_leaves": step.leaves,
        "learning_rate": step.learning_rate,
        "seed": step.seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    return _in_float32(lightgbm.train(settings, lightgbm.Dataset(data.inputs, data.targets[:, 0]), step.rounds))


def _in_float32(trees: lightgbm.Booster) -> lightgbm.Booster:
    """The same decisions for float32 inputs, from thresholds that are float32 too, as ONNX and FIL keep them.

    Rounded to the nearest, as they would do by themselves, a threshold can pass the very value it was set against.
    """
    lines = []
    for line in trees.model_to_string().splitlines():
        name, _, values = line.partition("=")
        if name == "threshold":
            exact = np.array(values.split(), np.float64)
            below = exact.astype(np.float32)
            below = np.where(below > exact, np.nextafter(below, np.float32(-np.inf)), below)
            line = f"threshold={' '.join(repr(float(value)) for value in below)}"
        if name != "tree_sizes":  # bytes of each tree, which are others now; without it the reader counts for itself
            lines.append(line)
    return lightgbm.Booster(model_str="\n".join(lines) + "\n")


def export_trees(trees: lightgbm.Booster, file: Path, input_name: str, output_name: str) -> None:
    """Write the trees with the tensors of the task: probability of the positive class, [rows, 1]."""
    columns = FloatTensorType([None, trees.num_feature()])
    model = convert_lightgbm(trees, initial_types=[(input_name, columns)], zipmap=False, target_opset=_OPSET)
    graph = model.graph
    by_class = graph.output[1].name
    graph.initializer.append(helper.make_tensor("positive", TensorProto.INT64, [1], [1]))
    graph.node.append(helper.make_node("Gather", [by_class, "positive"], [output_name], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [None, 1]))
    onnx.checker.check_model(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(file))


def save_trees(trees: lightgbm.Booster, file: Path) -> None:
    """LightGBM's text format, which the FIL backend reads."""
    file.parent.mkdir(parents=True, exist_ok=True)
    trees.save_model(str(file))
