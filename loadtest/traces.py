"""Somebody to send traces to, and what the service is told of it."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from inferstream.local import free_port
from inferstream.local.process import listens
from loadtest.errors import LoadTestError

_PREFIX = "INFERSTREAM__TELEMETRY__"
_AS_MANY_AS_CHOSEN = 10_000  # a second: what is asked for is a share, not a budget

State = Literal["live", "slow", "frozen", "dead"]
_NAP_SECONDS, _AWAKE_SECONDS = 0.9, 0.1  # of a slow one


@contextmanager
def collector(folder: Path, state: State = "live") -> Iterator[tuple[str, Path]]:
    """A collector of traces: where it listens, and the file it writes. A frozen one is silent, a slow one mostly."""
    grpc_port, file = free_port(), folder / "traces.jsonl"
    module = ["-m", "inferstream.local.collector", str(grpc_port), str(free_port()), str(file)]
    process, is_over = subprocess.Popen([sys.executable, *module]), threading.Event()
    try:
        deadline = time.monotonic() + 20
        while not listens(grpc_port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise LoadTestError("the collector of traces does not start")
            time.sleep(0.1)
        naps = threading.Thread(target=_nap, args=(process, is_over))
        if state == "slow":
            naps.start()
        elif state != "live":
            process.send_signal(signal.SIGSTOP if state == "frozen" else signal.SIGKILL)
        yield f"http://127.0.0.1:{grpc_port}", file
    finally:
        is_over.set()
        process.kill() if state == "frozen" else process.terminate()
        process.wait(10)


def _nap(process: subprocess.Popen[bytes], is_over: threading.Event) -> None:
    """Let it sleep most of the time, until it is over."""
    while not is_over.wait(_AWAKE_SECONDS):
        process.send_signal(signal.SIGSTOP)
        is_over.wait(_NAP_SECONDS)
        process.send_signal(signal.SIGCONT)


def environ(url: str, share: float) -> dict[str, str]:
    """Metrics go to a collector, and traces of this share of all events; of 0 none at all."""
    return {
        f"{_PREFIX}OTLP__ENDPOINT": url,
        f"{_PREFIX}TRACES__ENABLED": str(share > 0).lower(),
        f"{_PREFIX}TRACES__RATIO": str(share),
        f"{_PREFIX}TRACES__PER_SECOND": str(_AS_MANY_AS_CHOSEN),
    }
