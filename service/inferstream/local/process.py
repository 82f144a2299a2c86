"""Child processes that are told apart by more than a number, each in a process group of its own."""

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from inferstream.errors import InferstreamError

_POLL_SECONDS = 0.02


class LocalStackError(InferstreamError):
    """The local stack cannot be started or used; says what to do."""


class Identity(NamedTuple):
    """A process by its number and the tick it started at: numbers are used again, both together are not."""

    pid: int
    start_ticks: int


def identify(pid: int) -> Identity | None:
    """The identity of a process, or None if there is none by that number, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else Identity(pid, int(fields[19]))


def is_alive(identity: Identity) -> bool:
    """Whether this very process still runs."""
    return identify(identity.pid) == identity


def spawn(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Identity:
    """Start a process as the head of a new session; what it says is appended to its log."""
    with log.open("ab") as out, Path(os.devnull).open("rb") as nothing:
        redirect = [
            (os.POSIX_SPAWN_DUP2, source.fileno(), target) for source, target in ((nothing, 0), (out, 1), (out, 2))
        ]
        pid = os.posix_spawnp(command[0], list(command), dict(environ), file_actions=redirect, setsid=True)
    identity = identify(pid)
    if identity is None:
        raise LocalStackError(f"{command[0]} ended at once; see {log}")
    return identity


def listens(port: int) -> bool:
    """Whether somebody takes connections on a port of the loopback interface."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def reap(identity: Identity) -> None:
    """Take note of the end of a child of ours; a process that is not ours is left to its parent."""
    with suppress(ChildProcessError):
        os.waitpid(identity.pid, os.WNOHANG)


def stop_group(identity: Identity, grace: float) -> None:
    """End a process and its group: politely, and after `grace` seconds by force. Nothing of it is left."""
    if grace > 0 and is_alive(identity):
        with suppress(ProcessLookupError):
            os.killpg(identity.pid, signal.SIGCONT)
            os.kill(identity.pid, signal.SIGTERM)
        _wait_until_gone(identity, grace)
    # The group outlives its head: the helpers of a server that was killed are still in it.
    deadline = time.monotonic() + 5
    while _group_lives(identity) and time.monotonic() < deadline:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(identity.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    reap(identity)


def signal_group(identity: Identity, number: signal.Signals) -> None:
    """Send a signal to a process and its helpers."""
    with suppress(ProcessLookupError):
        os.killpg(identity.pid, number)


def _wait_until_gone(identity: Identity, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_alive(identity) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    reap(identity)


def _group_lives(identity: Identity) -> bool:
    """Whether the group that the process headed has members that still run (remains nobody has reaped do not)."""
    head = identify(identity.pid)
    if head is not None and head != identity:
        return False  # the number is somebody else's by now
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == identity.pid and fields[0] not in "ZX":
                return True
    return False


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    return free_ports(1)[0]


def tail(log: Path, lines: int = 5) -> str:
    """The end of a log, for an error message."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
