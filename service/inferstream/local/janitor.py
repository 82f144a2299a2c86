"""Cleans up after a stack whose owner has ended, however it ended.

Run as a script with a pipe on standard input that the owner holds open. The owner writes lines of JSON, what
there is to end and to remove; when the pipe closes, the janitor does it. It imports nothing but the standard
library and sits in a session of its own, so that a ctrl-C meant for the owner does not reach it.
"""

import contextlib
import glob
import json
import os
import signal
import sys
import time

_PAUSE_SECONDS = 0.1


def main() -> None:
    """Listen until the owner is gone, then clean."""
    groups: dict[int, int] = {}
    patterns: set[str] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "group" in order:
            groups[order["group"]] = order["start_ticks"]
        if "ended" in order:
            groups.pop(order["ended"], None)
        patterns.update(order.get("patterns", ()))
    for _ in range(2):  # a member may have been about to fork the first time
        for pid, start_ticks in groups.items():
            _end(pid, start_ticks)
        time.sleep(_PAUSE_SECONDS)
    for pattern in patterns:
        for path in glob.glob(pattern):
            _remove(path)


def _end(pid: int, start_ticks: int) -> None:
    """End a process group, unless its number belongs to somebody else by now."""
    if _start_ticks(pid) in (None, start_ticks):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _start_ticks(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[19])
    except OSError:
        return None


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


if __name__ == "__main__":
    main()
