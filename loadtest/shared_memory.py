"""Large tensors to a Triton on this machine: shared memory against the wire, one call at a time, by size.

`python -m loadtest.shared_memory` starts a Triton with a model that turns every bit over, and prints a table. Both
ways take turns, so that a busy moment of the machine falls on both.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from inferstream import local
from inferstream.settings import TritonSettings
from inferstream.tasks import Task, Tensors, TensorSpec
from inferstream.triton import TritonModel, TritonServer
from loadtest.errors import LoadTestError

SIZES_BYTES = (12 * 2**10, 192 * 2**10, 768 * 2**10, 3 * 2**20)
_CALLS = 20  # of each way, one after the other, before the other way's turn
_CALL_SECONDS = 10.0
_MODEL = "inverter"
_CONFIG = """backend: "python"
max_batch_size: 8
input [{ name: "given" data_type: TYPE_UINT8 dims: [-1] }]
output [{ name: "inverted" data_type: TYPE_UINT8 dims: [-1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""


class Inversion(Task):
    """So many bytes in, as many out, with every bit turned over."""

    def __init__(self, size_bytes: int) -> None:
        self.inputs = (TensorSpec("given", "UINT8", (size_bytes,)),)  # type: ignore[misc]
        self.outputs = (TensorSpec("inverted", "UINT8", (size_bytes,)),)  # type: ignore[misc]

    def tensors(self, events: Sequence[Any]) -> Tensors:
        raise NotImplementedError("its model is asked directly")

    def decide(self, events: Sequence[Any], tensors: Tensors, outputs: Tensors) -> Sequence[Any]:
        raise NotImplementedError("its model is asked directly")


class Measured(NamedTuple):
    """Milliseconds of a call of a tensor there and one of the same size back."""

    size_bytes: int
    wire_p50_ms: float
    wire_p99_ms: float
    shared_p50_ms: float
    shared_p99_ms: float


def repository(folder: Path) -> Path:
    """A model repository in `folder` with the one model."""
    version = folder / _MODEL / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(_CONFIG)
    shutil.copyfile(Path(__file__).with_name("inverter.py"), version / "model.py")
    return folder


def model(server: TritonServer, settings: TritonSettings, size_bytes: int) -> TritonModel:
    """The model on a server, for tensors of one size."""
    return TritonModel(server, _MODEL, "", Inversion(size_bytes), settings)


async def measure(url: str, size_bytes: int, rounds: int) -> Measured:
    """Raises LoadTestError if an answer is wrong, or came another way than it should."""
    servers = {}
    for way in ("off", "auto"):
        settings = TritonSettings(url=url, shared_memory=way, shared_memory_min_bytes=1)
        server = TritonServer(url, settings)
        servers[way] = server, model(server, settings, size_bytes)
    given = np.random.default_rng(0).integers(0, 200, (1, size_bytes), np.uint8)
    took: dict[str, list[float]] = {way: [] for way in servers}
    try:
        for number in range(rounds + 1):
            for way, (_, asked) in servers.items():
                calls = await _calls(asked, given)
                took[way] += calls if number else []  # the first round warms up, and makes the region
        shared = servers["auto"][0].shared
        if shared is None or not shared.regions:
            raise LoadTestError("this Triton does not share our memory: is it on this host?")
    finally:
        for server, _ in servers.values():
            await server.stop()
    figures = [float(q) for way in servers for q in np.percentile(np.array(took[way]) * 1e3, (50, 99))]
    return Measured(size_bytes, *(round(figure, 3) for figure in figures))


async def _calls(asked: TritonModel, given: Any) -> list[float]:
    took = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        outputs = (await asked.infer({"given": given}, _CALL_SECONDS)).outputs
        took.append(time.perf_counter() - began)
        if not np.array_equal(outputs["inverted"], np.invert(given)):
            raise LoadTestError(f"a wrong answer for {given.size} bytes")
    return took


def _print(measured: Sequence[Measured]) -> None:
    table = Table("KiB each way", "wire p50 / p99 ms", "shared memory p50 / p99 ms", "times as quick (p50)")
    for row in measured:
        table.add_row(
            f"{row.size_bytes / 2**10:,.0f}",
            f"{row.wire_p50_ms:.2f} / {row.wire_p99_ms:.2f}",
            f"{row.shared_p50_ms:.2f} / {row.shared_p99_ms:.2f}",
            f"{row.wire_p50_ms / row.shared_p50_ms:.1f}",
        )
    Console().print(table)


def main(arguments: argparse.Namespace) -> None:
    """A Triton of our own, all sizes."""
    with tempfile.TemporaryDirectory() as name:
        models = repository(Path(name) / "models")
        with local.running(Path(name) / "stack", parts=("triton",), model_repository=models) as stack:
            url = stack.endpoints.triton
            measured = [asyncio.run(measure(url, size_bytes, arguments.rounds)) for size_bytes in SIZES_BYTES]
    if arguments.json:
        print(json.dumps([row._asdict() for row in measured]))
    else:
        _print(measured)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    main(parser.parse_args())
