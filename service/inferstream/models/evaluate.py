"""What a model file makes of rows, and how quickly, through ONNX Runtime on one thread as it is served. No torch."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from inferstream.models.family import Array, Report

BATCHES = (1, 8, 32, 128)
MOST_ROWS = 1_024


def session(file: Path) -> onnxruntime.InferenceSession:
    """As the Python backend and the service's fallback run it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def outputs(file: Path, inputs: Array, rows_at_once: int = 65_536) -> Array:
    """The model's first output for the inputs."""
    run = session(file)
    name = run.get_inputs()[0].name
    starts = range(0, len(inputs), rows_at_once)
    return np.concatenate([run.run(None, {name: inputs[start : start + rows_at_once]})[0] for start in starts])


def batches(most_rows: int) -> tuple[int, ...]:
    """Rows of the calls that are timed, for models that take so many at most."""
    return tuple(rows for rows in BATCHES if rows <= most_rows)


def timings(
    files: Mapping[str, Path], inputs: Array, rounds: int = 20, calls: int = 20, most_rows: int = MOST_ROWS
) -> dict[str, Report]:
    """Microseconds of a call by rows, p50 and p99, and rows per second at `most_rows`, for each model.

    Models take turns, so that a busy moment of the machine falls on all of them. Figures differ from machine to
    machine: they are shown and never kept as a promise.
    """
    if len(inputs) < most_rows:
        inputs = np.resize(inputs, (most_rows, *inputs.shape[1:]))  # the same rows again
    sessions = {name: session(file) for name, file in files.items()}
    sizes = (*batches(most_rows), most_rows)
    took: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for name, run in sessions.items():
            for rows in sizes:
                took.setdefault((name, rows), []).extend(_calls(run, inputs[:rows], calls))
    return {name: _timing({rows: took[name, rows] for rows in sizes}) for name in sessions}


def _calls(run: onnxruntime.InferenceSession, inputs: Array, calls: int) -> list[float]:
    given, took = {run.get_inputs()[0].name: inputs}, []
    run.run(None, given)  # the first after another model finds cold caches
    for _ in range(calls):
        started = time.perf_counter()
        run.run(None, given)
        took.append(time.perf_counter() - started)
    return took


def _timing(took: Mapping[int, Sequence[float]]) -> Report:
    most = max(took)
    per_second = most / float(np.median(took[most]))
    report: Report = {"rows_per_second": round(per_second, -3 if per_second >= 10_000 else -1)}
    for rows in batches(most):
        p50, p99 = np.percentile(np.array(took[rows]) * 1e6, (50, 99))
        report[f"p50_us_{rows}"], report[f"p99_us_{rows}"] = round(float(p50), 1), round(float(p99), 1)
    return report
