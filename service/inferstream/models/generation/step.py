"""The model as a file: one step of it, with the alphabet; what it makes of texts, and how quickly."""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inferstream.models.evaluate import session
from inferstream.models.family import Array, Report
from inferstream.models.generation.text import alphabet, corpus

STREAMS = (1, 4, 16, 64)
"""Texts under way at once."""
_STEPS = 200


def export(model: Any, file: Path, opset: int) -> None:
    """Write one step of a trained network, any number of texts at once."""
    import onnx
    import torch

    from inferstream.models.architectures.language import Step
    from inferstream.models.export import save

    rows = torch.export.Dim("rows")
    example = torch.zeros(2, dtype=torch.int64), torch.zeros(2, model.units)
    names = ["token", "state"], ["logits", "state_after"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's own, of its recurrent layer's weights and our two `rows`
        save(Step(model).eval(), file, example, names, ({0: rows}, {0: rows}), opset)
    content = onnx.load(str(file))
    content.metadata_props.add(key="alphabet", value=alphabet(corpus()))
    onnx.save(content, str(file))


def outputs(file: Path, inputs: Array) -> Array:
    """Characters [rows, steps] -> logits of what follows each, [rows, steps, alphabet]."""
    run = session(file)
    state = np.zeros((len(inputs), run.get_inputs()[1].shape[1]), np.float32)
    found = []
    for token in inputs.T:
        logits, state = run.run(None, {"token": np.ascontiguousarray(token), "state": state})
        found.append(logits)
    return np.stack(found, axis=1)


def timings(files: Mapping[str, Path]) -> dict[str, Report]:
    """Microseconds of a step by texts under way, p50 and p99, and tokens a second with 16."""
    return {name: _timings(file) for name, file in files.items()}


def _timings(file: Path) -> Report:
    run = session(file)
    units = run.get_inputs()[1].shape[1]
    report: Report = {}
    for rows in STREAMS:
        given = {"token": np.zeros(rows, np.int64), "state": np.zeros((rows, units), np.float32)}
        took = []
        for _ in range(_STEPS):
            started = time.perf_counter()
            run.run(None, given)
            took.append(time.perf_counter() - started)
        p50, p99 = np.percentile(np.array(took) * 1e6, (50, 99))
        report[f"step_us_{rows}"], report[f"step_p99_us_{rows}"] = round(float(p50), 1), round(float(p99), 1)
    return report
