"""Child processes: told apart by more than a number, ended with all they started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferstream.local.cache import build_once
from inferstream.local.process import Identity, free_ports, identify, is_alive, signal_group, spawn, stop_group, tail

WITH_CHILD = (
    "import subprocess, sys, time; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); time.sleep(60)"
)


def wait_for(log: Path) -> int:
    deadline = time.monotonic() + 10
    while not log.exists() or not log.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(log.read_text())


def is_running(pid: int) -> bool:
    return identify(pid) is not None


def test_a_group_ends_with_everything_in_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    identity = spawn([sys.executable, "-c", WITH_CHILD], os.environ, log)
    child = wait_for(log)
    assert is_alive(identity)
    stop_group(identity, 0)
    assert not is_alive(identity)
    assert not is_running(child)


def test_helpers_of_a_head_that_was_killed_are_found_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    identity = spawn([sys.executable, "-c", WITH_CHILD], os.environ, log)
    child = wait_for(log)
    os.kill(identity.pid, signal.SIGKILL)
    while is_alive(identity):
        time.sleep(0.01)
    assert is_running(child)
    stop_group(identity, 1)
    assert not is_running(child)


def test_a_stopped_process_can_still_be_ended(tmp_path: Path) -> None:
    identity = spawn(["sleep", "60"], os.environ, tmp_path / "log")
    signal_group(identity, signal.SIGSTOP)
    stop_group(identity, 2)
    assert not is_alive(identity)


def test_another_process_of_the_same_number_is_left_alone() -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        stale = Identity(child.pid, 1)
        assert not is_alive(stale)
        stop_group(stale, 0.1)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_what_is_built_is_built_once_and_again_after_an_interrupt(tmp_path: Path) -> None:
    target, builds = tmp_path / "thing", []

    def build(folder: Path) -> None:
        builds.append(1)
        (folder / "part").touch()
        if len(builds) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(target, build)
    assert build_once(target, build) == target
    assert build_once(target, build) == target
    assert len(builds) == 2


def test_ports_are_free_and_distinct() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(map(str, range(10))))
    assert tail(log, 2) == "8\n9"
    assert tail(tmp_path / "none") == ""
