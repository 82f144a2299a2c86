"""The models of a family on a GPU, beside the same models on the CPU of the same machine, through the local Triton."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from inferstream import local
from inferstream.models import serve
from inferstream.models.evaluate import batches
from inferstream.models.family import Array, Family, Report, Tell
from inferstream.models.report import latencies, table
from inferstream.settings import TritonSettings
from inferstream.tasks import Task, Tensors
from inferstream.tasks.segmentation import SegmentationTask
from inferstream.triton import TritonModel, TritonServer

HEAD = """Written by `python -m inferstream.models gpu FAMILY ...`: the local Triton with the configuration
`python-gpu`, as `inferstream demo --gpu` starts it, beside the same one on the CPU of the same machine. ONNX Runtime
runs in Triton's Python backend: on one thread of the CPU, or on the GPU in FP32 without TF32. p50 / p99 in microseconds
by rows of a call, one call at a time, from the service's client, of 300 calls (images 100, the larger ones 10); rows/s
from four callers with calls of as many rows as the model takes. Difference: the largest of any output in floating
point, and the share of the bytes of a mask that are not the same.
"""
_CALLERS = 4
_SECONDS = 2.0
_TIMEOUT_SECONDS = 30.0
_TIMES_LARGER = 4


class Measured(NamedTuple):
    """What a model does on one side."""

    timing: Report
    rows_per_second: float
    outputs: Tensors


class Asked(NamedTuple):
    """Rows, as a task gives them to a model."""

    what: str
    task: Task
    inputs: Array
    calls: int
    """Of each size, in each of ten rounds."""


def measure(family: Family, repository: Path, models: Sequence[str], tell: Tell) -> str:
    """A family's tables. Needs no torch. Raises LocalStackError where there is no GPU."""
    inputs = family.simulated(tell).test.inputs[: family.max_batch_size]
    asked = [Asked("", family.task(), inputs, 10 if family.free_axes else 30)]
    if family.task is SegmentationTask:
        height, width = inputs.shape[1] * _TIMES_LARGER, inputs.shape[2] * _TIMES_LARGER
        larger = np.tile(inputs, (1, _TIMES_LARGER, _TIMES_LARGER, 1))
        asked.append(Asked(f", {height} x {width}", SegmentationTask(height=height, width=width), larger, 1))
    on_cpu, on_gpu = (_measured(family, repository, models, asked, gpu, tell) for gpu in (False, True))
    rows: list[list[object]] = []
    for what, name in itertools.product((each.what for each in asked), models):
        apart = _difference(on_cpu[what, name].outputs, on_gpu[what, name].outputs)
        for side, found, differs in (("CPU", on_cpu[what, name], ""), ("GPU", on_gpu[what, name], apart)):
            rows.append([name + what, side, f"{found.rows_per_second:,.0f}", *latencies(found.timing), differs])
    sizes = map(str, batches(family.max_batch_size))
    head = ["model", "on", f"rows/s at {family.max_batch_size:,}", *sizes, "difference"]
    return f"### {family.recipe.name}\n\n" + table(head, rows)


def _measured(
    family: Family, repository: Path, models: Sequence[str], asked: Sequence[Asked], gpu: bool, tell: Tell
) -> dict[tuple[str, str], Measured]:
    """By what is asked and model."""
    with (
        TemporaryDirectory() as folder,
        local.running(
            Path(folder), parts=["triton"], model_repository=repository, models=models, gpu=gpu, progress=tell
        ) as up,
    ):
        return asyncio.run(_all(family, up.endpoints.triton, models, asked, tell))


async def _all(
    family: Family, url: str, models: Sequence[str], asked: Sequence[Asked], tell: Tell
) -> dict[tuple[str, str], Measured]:
    settings = TritonSettings(url=url)
    server = TritonServer(url, settings)
    found = {}
    for what, task, inputs, calls in asked:
        served = {name: TritonModel(server, name, "", task, settings) for name in models}
        tell(f"asking {', '.join(models)}{what}")
        timings = await serve.timed(family, served, inputs, calls)
        for name, model in served.items():
            answer = await model.infer({family.input: inputs}, _TIMEOUT_SECONDS)
            rate = await _rate(model, {family.input: inputs})
            found[what, name] = Measured(timings[name], rate, answer.outputs)
    await server.stop()
    return found


def _difference(one: Tensors, other: Tensors) -> str:
    """In words, of answers to the same rows."""
    words = []
    for name, values in one.items():
        if np.issubdtype(values.dtype, np.floating):
            words.append(f"{np.abs(values.astype(np.float64) - other[name]).max():.1e}")
        else:
            words.append(f"{np.mean(values != other[name]):.2%}")
    return ", ".join(words)


async def _rate(model: TritonModel, tensors: dict[str, Array]) -> float:
    """Rows a second."""
    rows = len(next(iter(tensors.values())))
    calls, began = 0, time.perf_counter()

    async def call() -> None:
        nonlocal calls
        while time.perf_counter() - began < _SECONDS:
            await model.infer(tensors, _TIMEOUT_SECONDS)
            calls += 1

    await asyncio.gather(*(call() for _ in range(_CALLERS)))
    return calls * rows / (time.perf_counter() - began)
