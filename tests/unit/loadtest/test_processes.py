"""Child processes, their CPU time and memory, on real ones."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from loadtest.errors import LoadTestError
from loadtest.processes import Child, Meter, environment

BUSY = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\nprint('done')"


def child(code: str, folder: Path) -> Child:
    return Child("child", [sys.executable, "-c", code], environment(), folder / "log")


async def test_a_child_is_told_lines_and_answers(tmp_path: Path) -> None:
    echo = child("import sys; print('{\"got\": %s}' % sys.stdin.readline().strip()); print('{\"x\": 1}')", tmp_path)
    await echo.start(listens=True)
    echo.tell([1, 2])
    assert await echo.fact("x", 20) == {"x": 1}
    await echo.clear()


async def test_a_childs_last_words_are_its_error(tmp_path: Path) -> None:
    failing = child("import sys; print('{}', file=sys.stderr); raise ValueError('why')", tmp_path)
    await failing.start()
    with pytest.raises(LoadTestError, match="child ended with 1: ValueError: why"):
        await failing.line(20)
    await failing.clear()


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match="no-such-command cannot be started"):
        await Child("child", ["no-such-command"], environment(), tmp_path / "log").start()


async def test_silence_has_an_end(tmp_path: Path) -> None:
    silent = child("import time; time.sleep(60)", tmp_path)
    await silent.start()
    with pytest.raises(LoadTestError, match="said nothing"):
        await silent.line(0.2)
    assert await silent.end() == -signal.SIGTERM


async def test_cpu_time_is_counted_over_the_death_of_a_helper(tmp_path: Path) -> None:
    helper = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {BUSY.format(seconds=0.5)!r}])"
    parent = child(f"{helper}; print('over'); time.sleep(60)", tmp_path)
    meter = Meter()
    await parent.start()
    meter.watch("tree", parent.pid)
    meter.begin()
    try:
        over = asyncio.create_task(parent.line(30))
        while not over.done():
            meter.look()
            await asyncio.sleep(0.02)
        assert 0.4 <= meter.seconds()["tree"] < 1.5
    finally:
        await parent.clear()


async def test_what_was_used_before_the_begin_does_not_count(tmp_path: Path) -> None:
    busy = child(BUSY.format(seconds=0.5) + "; time.sleep(60)", tmp_path)
    meter = Meter()
    await busy.start()
    meter.watch("tree", busy.pid)
    try:
        assert await busy.line(30) == "done"
        meter.begin()
        meter.look()
        assert meter.seconds()["tree"] < 0.1
    finally:
        await busy.clear()


async def test_memory_is_told_as_it_was_at_first_and_at_most(tmp_path: Path) -> None:
    growing = child("import sys; sys.stdin.readline(); x = b'x' * 50_000_000; print('grown'); input()", tmp_path)
    meter = Meter()
    await growing.start(listens=True)
    meter.watch("tree", growing.pid)
    try:
        meter.begin()
        growing.tell("grow")
        assert await growing.line(30) == "grown"
        meter.look()
        begin, most = meter.mib()["tree"]
        assert begin + 30 < most < 150
    finally:
        await growing.clear()
