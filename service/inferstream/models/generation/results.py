"""The tables of the report: a step in the process, and texts streamed from the local Triton."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from inferstream import local
from inferstream.models.family import Tell
from inferstream.models.generation.step import STREAMS, timings
from inferstream.settings import TritonSettings
from inferstream.tasks.generation import GenerationTask, Prompt
from inferstream.triton import TritonModel, TritonServer

_NAME = "generation"
_TOKENS, _ROUNDS = 100, 5
_TIMEOUT_SECONDS = 30.0
_THROUGH = f"The local stack and the service's client, a prompt of 19 characters, {_TOKENS} tokens each"


class Timed(NamedTuple):
    """Seconds of a stream: to its first token, and from each to the next."""

    first: float
    each: Sequence[float]


def results(repository: Path, tell: Tell) -> str:
    """Markdown."""
    tell("measuring in the process")
    report = timings({_NAME: repository / _NAME / "1" / "model.onnx"})[_NAME]
    inside = [
        f"| {n} | {report[f'step_us_{n}']:.0f} / {report[f'step_p99_us_{n}']:.0f} | "
        f"{n / report[f'step_us_{n}'] * 1e6:,.0f} |\n"
        for n in STREAMS
    ]
    through = _through_triton(repository, tell)
    return "".join(
        [
            "\n### In the process\n\nA step of ONNX Runtime on one thread; p50 / p99 in microseconds.\n\n",
            "| texts at once | step | tokens/s |\n| --- | --- | --- |\n",
            *inside,
            f"\n### Through Triton\n\n{_THROUGH}; p50 / p99 in milliseconds.\n\n",
            "| texts at once | first token | from token to token | tokens/s |\n| --- | --- | --- | --- |\n",
            *through,
        ]
    )


def _through_triton(repository: Path, tell: Tell) -> list[str]:
    with (
        TemporaryDirectory() as folder,
        local.running(Path(folder), parts=["triton"], model_repository=repository, models=[_NAME], progress=tell) as up,
    ):
        return asyncio.run(_streams(up.endpoints.triton))


async def _streams(url: str) -> list[str]:
    settings = TritonSettings(url=url)
    server = TritonServer(url, settings)
    model = TritonModel(server, _NAME, "", GenerationTask(), settings)
    rows = []
    await _stream(model, 0)
    for count in STREAMS:
        timed, started = list[Timed](), time.perf_counter()
        for round_ in range(_ROUNDS):
            timed += await asyncio.gather(*(_stream(model, round_ * count + n) for n in range(count)))
        took = time.perf_counter() - started
        tokens = sum(1 + len(each.each) for each in timed)
        first = _p50_p99([each.first for each in timed])
        next_ = _p50_p99([gap for each in timed for gap in each.each])
        rows.append(f"| {count} | {first} | {next_} | {tokens / took:,.0f} |\n")
    await server.stop()
    return rows


async def _stream(model: TritonModel, number: int) -> Timed:
    """One text, of the likeliest characters: such a text goes round in circles, and no blank line ends it early."""
    prompt = Prompt("p", "The class statement", 0, max_tokens=_TOKENS, temperature=0.0)
    tensors = {**GenerationTask().tensors([prompt]), "seed": np.array([[number]], np.int64)}
    at = [time.perf_counter()]
    async for _ in model.stream(tensors, _TIMEOUT_SECONDS):
        at.append(time.perf_counter())  # noqa: PERF401 - as they come
    gaps = np.diff(at)
    return Timed(float(gaps[0]), gaps[1:].tolist())


def _p50_p99(seconds: Sequence[float]) -> str:
    p50, p99 = np.percentile(np.array(seconds) * 1e3, (50, 99))
    return f"{p50:.2f} / {p99:.2f}"
