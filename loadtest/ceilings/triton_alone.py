"""The ceiling without Kafka: direct calls to Triton, rows of real events, by batch size and calls at once.

`python -m loadtest.ceilings.triton_alone --model fraud` starts a Triton of its own and prints a table.
"""

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from inferstream import local
from inferstream.errors import InferstreamError
from inferstream.settings import TritonSettings
from inferstream.tasks import Tensors
from inferstream.tasks.fraud import FraudTask
from inferstream.traffic import stream
from inferstream.triton import TritonModel, TritonServer
from loadtest import repository
from loadtest.calibration import Calibration, Measured
from loadtest.errors import LoadTestError

BATCHES = (1, 4, 16, 64, 256)
IN_FLIGHT = (1, 2, 4)
_CALIBRATION_BATCHES = (1, 8, 32, 64)
_CALL_SECONDS = 10.0
_WARM_SHARE = 0.2
_FEWEST_ANSWERS = 3


async def measure(
    url: str,
    model: str,
    *,
    batches: Sequence[int] = _CALIBRATION_BATCHES,
    in_flight: Sequence[int] = (2,),
    seconds: float,
) -> list[Measured]:
    """Every batch size with every number of calls at once, each for so long. Raises LoadTestError."""
    task, settings = FraudTask(), TritonSettings(url=url)
    events = [event for event, _ in itertools.islice(stream(seed=1), max(batches))]
    rows = task.tensors(events)["features"]
    server = TritonServer(url, settings)
    try:
        asked = TritonModel(server, model, "", task, settings)
        await asked.check()
        return [
            await _measure_one(asked, {"features": rows[:batch]}, calls, seconds)
            for batch, calls in itertools.product(batches, in_flight)
        ]
    finally:
        await server.stop()


async def answers(url: str, model: str) -> bool:
    """Whether the model answers a call of one row within seconds."""
    task, settings = FraudTask(), TritonSettings(url=url)
    rows = task.tensors([event for event, _ in itertools.islice(stream(seed=1), 1)])
    server = TritonServer(url, settings)
    try:
        asked = TritonModel(server, model, "", task, settings)
        async with asyncio.timeout(_CALL_SECONDS):
            await asked.check()
            await asked.infer(rows, _CALL_SECONDS)
    except (InferstreamError, TimeoutError):
        return False
    finally:
        await server.stop()
    return True


async def _measure_one(model: TritonModel, tensors: Tensors, calls: int, seconds: float) -> Measured:
    """The rate is that of the answers between the first one after the warm-up and the last one."""
    began_at = time.perf_counter()
    answers: list[tuple[float, float]] = []

    async def caller() -> None:
        while (asked := time.perf_counter()) < began_at + seconds:
            await model.infer(tensors, _CALL_SECONDS)
            answers.append((time.perf_counter(), time.perf_counter() - asked))

    await asyncio.gather(*(caller() for _ in range(calls)))
    full = answers[: len(answers) - calls + 1]  # while the last calls are answered no others wait
    at, latencies = (
        np.array([answer for answer in full if answer[0] >= began_at + _WARM_SHARE * seconds]).reshape(-1, 2).T
    )
    if len(at) < _FEWEST_ANSWERS:
        raise LoadTestError(f"only {len(at)} calls of {len(tensors['features'])} rows in {seconds:g} s: measure longer")
    rows = len(tensors["features"])
    p50, p99 = (1e3 * np.percentile(latencies, [50, 99])).tolist()
    return Measured(rows, calls, (len(at) - 1) * rows / float(at[-1] - at[0]), p50, p99)


def _print(measured: Sequence[Measured], model: str) -> None:
    table = Table("rows", "calls at once", "rows/s", "p50 ms", "p99 ms", title=f"model {model}, asked directly")
    for row in measured:
        table.add_row(
            str(row.batch), str(row.in_flight), f"{row.rows_per_s:,.0f}", f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}"
        )
    console = Console()
    console.print(table)
    fitted = Calibration.fit(measured)
    console.print(f"a call takes {fitted.alpha_ms:.2f} ms + {fitted.beta_ms:.4f} ms a row")


def main(arguments: argparse.Namespace) -> None:
    """A Triton of our own, all sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = repository.build(folder / "models", repository.Pace(), folder / "factor")
        with local.running(folder / "stack", parts=("triton",), model_repository=models) as stack:
            work = measure(
                stack.endpoints.triton,
                arguments.model,
                batches=BATCHES,
                in_flight=IN_FLIGHT,
                seconds=arguments.seconds,
            )
            measured = asyncio.run(work)
    if arguments.json:
        print(json.dumps([row._asdict() for row in measured]))
    else:
        _print(measured, arguments.model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["fraud", "paced"], default="fraud")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    main(parser.parse_args())
