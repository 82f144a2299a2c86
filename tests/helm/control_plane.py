"""A control plane for the tests: a start script that the variable CONTROL_PLANE names, or somebody's own cluster.

The script is called with a folder and a number of nodes whose pods are faked, and with PORT, the first of six free
ports, in its environment. It returns once the API server answers, leaves what it started in its process group, and
writes `kubeconfig` into the folder.
"""

import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.cluster import Janitor

from inferstream.local.process import Identity, identify, stop_group, tail

_PORTS = 6
_START_SECONDS = 120.0


class NoControlPlane(Exception):
    """There is none to be had; says why."""


def script() -> str:
    """What CONTROL_PLANE names. Raises NoControlPlane."""
    found = os.environ.get("CONTROL_PLANE", "")
    if not os.access(found, os.X_OK):
        said = f"CONTROL_PLANE={found} is no program" if found else "CONTROL_PLANE is not set"
        raise NoControlPlane(f"{said}: it names the script that starts an API server")
    return found


@contextmanager
def running(folder: Path, nodes: int) -> Iterator[Path]:
    """Its kubeconfig, for the length of a `with` block. Raises NoControlPlane."""
    command, janitor = [script(), str(folder), str(nodes)], Janitor()
    log = folder / "control-plane.log"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        started = subprocess.Popen(
            command, stdout=out, stderr=out, start_new_session=True, env={**os.environ, "PORT": str(_free_ports())}
        )
    identity = identify(started.pid) or Identity(started.pid, 0)
    janitor.watch(identity)
    try:
        code = started.wait(_START_SECONDS)
        if code:
            raise NoControlPlane(f"{command[0]} ended with {code}; {log} ends with:\n{tail(log)}")
        yield folder / "kubeconfig"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        stop_group(identity, 0)
        janitor.forget(started.pid)
        janitor.close()


def _free_ports() -> int:
    """The first of some that follow each other and are free."""
    while True:
        first = random.randrange(20_000, 30_000)
        held = [socket.socket() for _ in range(_PORTS)]
        try:
            for number, each in enumerate(held):
                each.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for each in held:
                each.close()
