"""How quickly models answer through the local Triton, one call at a time, from the service's own client."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from inferstream import local
from inferstream.models.evaluate import batches
from inferstream.models.family import Array, Family, Report, Tell
from inferstream.settings import TritonSettings
from inferstream.triton import TritonModel, TritonServer

_TIMEOUT_SECONDS = 10.0
_ROUNDS, _CALLS = 10, 30


def timings(family: Family, repository: Path, models: Sequence[str], inputs: Array, tell: Tell) -> dict[str, Report]:
    """Microseconds of a call by rows, p50 and p99, for each model. Starts a Triton of its own and ends it."""
    with (
        TemporaryDirectory() as folder,
        local.running(Path(folder), parts=["triton"], model_repository=repository, models=models, progress=tell) as up,
    ):
        return asyncio.run(_timings(family, up.endpoints.triton, models, inputs))


async def _timings(family: Family, url: str, models: Sequence[str], inputs: Array) -> dict[str, Report]:
    settings = TritonSettings(url=url)
    server = TritonServer(url, settings)
    task = family.task()
    found = await timed(family, {name: TritonModel(server, name, "", task, settings) for name in models}, inputs)
    await server.stop()
    return found


async def timed(
    family: Family, models: Mapping[str, TritonModel], inputs: Array, calls: int = _CALLS
) -> dict[str, Report]:
    """The same, of models that are served. They take turns: a busy moment of the machine falls on all of them."""
    sizes = batches(family.max_batch_size)
    took: dict[tuple[str, int], list[float]] = {}
    for _ in range(_ROUNDS):
        for name, model in models.items():
            for rows in sizes:
                took.setdefault((name, rows), []).extend(await _calls(model, family.input, inputs[:rows], calls))
    return {name: _report({rows: took[name, rows] for rows in sizes}) for name in models}


async def _calls(model: TritonModel, name: str, inputs: Array, calls: int) -> list[float]:
    took = []
    for _ in range(calls):
        started = time.perf_counter()
        await model.infer({name: inputs}, _TIMEOUT_SECONDS)
        took.append(time.perf_counter() - started)
    return took


def _report(took: dict[int, list[float]]) -> Report:
    report: Report = {}
    for rows, seconds in took.items():
        p50, p99 = np.percentile(np.array(seconds) * 1e6, (50, 99))
        report[f"p50_us_{rows}"], report[f"p99_us_{rows}"] = round(float(p50)), round(float(p99))
    return report
