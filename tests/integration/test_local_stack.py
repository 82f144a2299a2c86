"""The local stack: whatever becomes of who started it, nothing is left behind; two stacks do not meet."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from inferstream import local
from inferstream.local.process import identify

pytestmark = pytest.mark.integration

OWNER = """
import sys, time
from pathlib import Path
from inferstream import local
with local.running(Path(sys.argv[1])) as stack:
    print(stack.pid("kafka"), stack.pid("triton"), flush=True)
    time.sleep(60)
"""


def regions() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("inferstream_*")}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_ends(tmp_path: Path, how: signal.Signals) -> None:
    before = regions()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 2
    assert all(identify(pid) for pid in pids)
    owner.send_signal(how)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 10
    while any(identify(pid) for pid in pids) or regions() - before or list(tmp_path.glob("*.pid")):
        assert time.monotonic() < deadline, "something was left behind"
        time.sleep(0.05)
    assert not (tmp_path / "stack.json").exists()
    assert (tmp_path / "logs" / "triton.log").exists()


def test_a_start_whose_folder_is_taken_away_is_given_up(tmp_path: Path) -> None:
    """As whoever is interrupted meanwhile does with a folder of its own; to wait for Triton would take two minutes."""
    folder, before = tmp_path / "stack", regions()
    state = folder / "stack.json"

    def told(what: str) -> None:
        if what == "starting triton":
            threading.Timer(0.5, state.unlink).start()

    began = time.monotonic()
    with pytest.raises(local.LocalStackError, match="triton was given up while starting"):
        local.up(folder, progress=told)
    assert time.monotonic() - began < 60
    deadline = time.monotonic() + 10
    while regions() - before:
        assert time.monotonic() < deadline, "something was left behind"
        time.sleep(0.05)


@pytest.mark.slow
def test_two_stacks_run_side_by_side_and_one_folder_holds_one(tmp_path: Path) -> None:
    with local.running(tmp_path / "a") as first, local.running(tmp_path / "b") as second:
        assert not {*first.endpoints} & {*second.endpoints} - {""}
        with pytest.raises(local.LocalStackError, match=r"runs in .* already"):
            local.up(tmp_path / "a")
        second.kill("triton")
        status = local.status(tmp_path / "a")
        assert status is not None
        assert all(part["ready"] for part in status["parts"].values())


@pytest.mark.slow
def test_up_status_and_down_on_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "inferstream", "local", *arguments, "--folder", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    started = run("up")
    try:
        assert started.returncode == 0, started.stderr
        state = local.status(tmp_path)
        assert state is not None
        os.killpg(state["parts"]["triton"]["pid"], signal.SIGKILL)
        again = run("up")
        assert again.returncode == 0, again.stderr
        assert "starting triton" in again.stderr
        assert again.stdout == started.stdout, "what has ended comes back where it listened"
        assert "broker 'embedded' runs" in run("up", "--kafka", "apache").stderr
        exported = dict(line.removeprefix("export ").split("=", 1) for line in started.stdout.splitlines())
        checked = subprocess.run(
            [sys.executable, "-m", "inferstream", "check"],
            env={**os.environ, **exported},
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stdout
        assert run("status").returncode == 0
        assert run("up", "--kafka", "apache").returncode == 1
    finally:
        assert run("down").returncode == 0
    assert run("status").returncode == 1
