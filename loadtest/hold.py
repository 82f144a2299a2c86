"""How long hostile events hold the event loop: `python -m loadtest.hold` prints the longest for each kind.

The service's own pipeline on a broker and a model in memory takes slices as large as the source gives, of one kind
each. What is measured is the CPU time of each single turn of the loop, everything that is written about the events
included.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from inferstream.app import SystemClock
from inferstream.events.outcome import Answerer
from inferstream.pipeline.interfaces import OutRecord, Prediction
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.settings import DeadLetterLimitSettings, LogSettings, PipelineSettings
from inferstream.signals import Signals
from inferstream.tasks import Tensors
from inferstream.tasks.streaming import StreamingTask
from inferstream.tasks.task import DTYPES, Task, load
from inferstream.telemetry.logging import configure
from inferstream.testing import FakeBroker, FakeModel, FakeSink, FakeSource, FakeStreamingModel
from inferstream.traffic import digits, prompts, scenes, sensors, stream, tensors
from loadtest.hostility import Attack, attacks

_RECORDS = 1_024  # what the source takes at once
_SLO_MS = 3_600_000.0
_TENSOR_OPTIONS: Mapping[str, Any] = {
    "inputs": {"features": {"datatype": "FP32", "shape": [41]}},
    "outputs": {"probability": {"datatype": "FP32", "shape": [1]}},
}
_EVENTS: Mapping[str, Callable[[], Iterator[Any]]] = {
    "fraud": stream,
    "sensor": sensors.stream,
    "tensor": tensors.stream,
    "classification": digits.stream,
    "segmentation": scenes.stream,
    "generation": partial(prompts.stream, 1),
}


class Held(NamedTuple):
    """Milliseconds of CPU time."""

    longest: float
    all: float


class Zeros(FakeModel):
    """Answers zeros, at once."""

    async def infer(self, tensors: Tensors, timeout: float, traceparent: bytes | None = None) -> Prediction:
        rows = len(next(iter(tensors.values())))
        outputs = {spec.name: np.zeros((rows, *spec.shape), DTYPES[spec.datatype]) for spec in self._task.outputs}
        return Prediction(outputs, Answerer("model", "zeros", "1"))


@contextmanager
def turns() -> Iterator[list[float]]:
    """CPU seconds of each turn of the loop, while this is entered."""
    took: list[float] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        took.append(time.thread_time() - began)

    asyncio.Handle._run = timed  # type: ignore[assignment,method-assign]
    try:
        yield took
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


async def hold(task: Task, attack: Attack, refuse_card_numbers: bool, records: int = _RECORDS) -> Held:
    """What a slice of such records does."""
    broker = FakeBroker({"in": 1, "out": 1, "dead": 1})
    # Quarantine would hold the partition; here all of it shall be taken.
    settings = PipelineSettings(
        slo_ms=_SLO_MS,
        refuse_card_numbers=refuse_card_numbers,
        dead_letter_limit=DeadLetterLimitSettings(enabled=False),
    )
    streams = isinstance(task, StreamingTask)
    ports = Ports(
        FakeSource(broker, "in", "g"),
        FakeSink(broker),
        [] if streams else [Zeros(task)],
        None,
        SystemClock(),
        Signals(),
        streaming_models=[FakeStreamingModel()] if streams else [],
    )
    pipeline = Pipeline(Route("p", "t", "g", "in", "out", "dead", 1), task, settings, Timing(0.01, 5.0), ports)
    at_ms = int(time.time() * 1000) - attack.age_ms
    for _ in range(records):
        broker.append("in", 0, OutRecord(attack.key, attack.value, list(attack.headers), at_ms))
    gc.collect()
    gc.freeze()  # as the service does
    with turns() as took:
        running = asyncio.create_task(pipeline.run())
        while broker.committed.get("g", {}).get(("in", 0), 0) < records:  # noqa: ASYNC110 - the fakes have no event for it
            await asyncio.sleep(0.005)
        await pipeline.drain(5.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    gc.unfreeze()
    return Held(max(took) * 1000, sum(took) * 1000)


def task_of(name: str) -> Task:
    """A shipped task, with what it needs to be told."""
    return load(name, _TENSOR_OPTIONS if name == "tensor" else {})


def good_event(name: str) -> bytes:
    """An event that the task scores."""
    event, *_ = next(_EVENTS[name]())
    return msgspec.msgpack.encode(event)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.hold", description=__doc__)
    parser.add_argument("--task", action="append", choices=sorted(_EVENTS), help="only of this task")
    parser.add_argument("--rounds", type=int, default=3, help="of each; the best counts: the machine is not ours alone")
    parser.add_argument("--refuse-card-numbers", action="store_true", help="with the setting on")
    given = parser.parse_args()
    configure(LogSettings(level="error"))
    worst = 0.0
    for name in given.task or sorted(_EVENTS):
        task = task_of(name)
        for kind, attack in attacks(good_event(name)).items():
            helds = [asyncio.run(hold(task, attack, given.refuse_card_numbers)) for _ in range(given.rounds)]
            best = min(helds)
            worst = max(worst, best.longest)
            print(f"{name:14} {kind:36} {best.longest:6.2f} ms at once, {best.all:8.1f} ms for {_RECORDS}", flush=True)
    print(f"longest turn of the loop (at once): {worst:.2f} ms", file=sys.stderr)


if __name__ == "__main__":
    main()
