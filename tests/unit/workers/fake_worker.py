"""A worker without a service behind it: says what a file says, ends when another one says so.

`fake_worker.py FOLDER --worker K:FD`; FOLDER/K.json is what it is (see `State`), read anew at each question. It leaves
its process number in FOLDER/K.pid.
"""

import os
import socket
import sys
import time
from pathlib import Path

import msgspec

from inferstream.signals import Miss, Signals
from inferstream.workers.channel import REPORT, Failure, Report, encode, parse_seat


class State(msgspec.Struct):
    """What a fake worker is like."""

    records: int = 0
    queued: int = 0
    not_ready: str | None = None
    not_live: str | None = None
    answers: bool = True
    ends_with: int | None = None
    failure: str | None = None
    drains_with: int = 0
    missed: tuple[Miss, ...] = ()


def read(file: Path) -> State:
    return msgspec.json.decode(file.read_bytes(), type=State)


def report(state: State) -> Report:
    signals = Signals()
    signals.records.cell("fraud").add(state.records)
    signals.queued.cell("fraud").set(state.queued)
    signals.build.cell("1").set(1)
    return Report(state.not_live, state.not_ready, signals.snapshot(), state.missed)


def main(folder: Path, option: str) -> int:
    seat = parse_seat(option)
    line = socket.socket(fileno=seat.descriptor)
    (folder / f"{seat.number}.pid").write_text(str(os.getpid()))
    while asked := line.recv(1):
        while not (state := read(folder / f"{seat.number}.json")).answers:
            time.sleep(0.02)
        if state.failure is not None:
            line.sendall(encode(Failure(state.failure)))
        if state.ends_with is not None:
            return state.ends_with
        if asked != REPORT:
            return state.drains_with
        line.sendall(encode(report(state)))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[3]))
