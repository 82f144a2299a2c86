"""The parent, with real child processes that only pretend to be the service."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.unit.workers.fake_worker import State

from inferstream.errors import ContractMismatch
from inferstream.settings import Settings, WebSettings
from inferstream.workers import slot, supervisor
from inferstream.workers.supervisor import Supervisor

pytestmark = pytest.mark.timeout(60)


class Workers:
    """Two workers under a parent, and what one sees of them from outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        command = [str(Path(__file__).with_name("fake_worker.py")), str(folder)]
        settings = Settings(web=WebSettings(host="127.0.0.1", port=0), drain_timeout_ms=1)
        self.parent = Supervisor(settings, 2, command)
        self.run: asyncio.Task[int]
        self.exits: list[int] = []
        """Codes the parent would have ended with at once."""
        for number in range(2):
            self.let(number, State())

    def let(self, number: int, state: State) -> None:
        """From now on the worker is like this."""
        new = self._folder / f"{number}.new"
        new.write_bytes(msgspec.json.encode(state))
        new.replace(self._folder / f"{number}.json")

    def pid(self, number: int) -> int:
        return int((self._folder / f"{number}.pid").read_text())

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.parent.web.port}/{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, (await answer.text()).strip()

    async def figure(self, sample: str) -> int:
        _, text = await self.get("metrics")
        return sum(int(line.split()[-1]) for line in text.splitlines() if line.startswith(sample))

    async def until(self, path: str, status: int, said: str = "") -> None:
        """Wait until a probe answers so."""
        deadline = time.monotonic() + 20
        while (seen := await self.get(path))[0] != status or said not in seen[1]:
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.02)

    async def until_figure(self, sample: str, value: int) -> None:
        deadline = time.monotonic() + 20
        while (seen := await self.figure(sample)) != value:
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.02)

    async def end(self) -> int:
        self.parent.stop()
        return await self.run


@pytest.fixture
async def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workers]:
    monkeypatch.setattr(slot, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(slot, "_ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(slot, "_STUCK_SECONDS", 3.0)
    monkeypatch.setattr(supervisor, "_SCRAPE_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "_HARD_EXIT_SECONDS", 30)
    made = Workers(tmp_path)
    monkeypatch.setattr("os._exit", made.exits.append)
    async with _running(made):
        yield made
    for number in range(2):
        with pytest.raises(ProcessLookupError):
            os.kill(made.pid(number), 0)


@asynccontextmanager
async def _running(made: Workers) -> AsyncIterator[None]:
    made.run = asyncio.create_task(made.parent.run())
    while not made.parent.web.port:
        assert not made.run.done()
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        if not made.run.done():
            made.parent.stop()
        await asyncio.wait([made.run])


async def test_ready_once_all_have_been_and_then_as_long_as_one_is(workers: Workers) -> None:
    workers.let(1, State(not_ready="starting"))
    await workers.until("readyz", 503, "starting: worker 1")
    workers.let(1, State())
    await workers.until("readyz", 200)
    workers.let(1, State(not_ready="starting"))
    await workers.until_figure("inferstream_ready_workers", 1)
    assert await workers.get("readyz") == (200, "ok")
    workers.let(0, State(not_ready="starting"))
    await workers.until("readyz", 503, "no worker is ready")
    assert await workers.get("livez") == (200, "ok")
    assert await workers.end() == 0


async def test_the_metrics_are_of_this_moment_and_add_up(workers: Workers) -> None:
    await workers.until("readyz", 200)
    workers.let(0, State(records=3, queued=1))
    workers.let(1, State(records=4, queued=2))
    assert await workers.figure("inferstream_records_total") == 7
    assert await workers.figure("inferstream_queued_events") == 3
    assert await workers.figure('inferstream_build_info{version="1"}') == 1


async def test_a_worker_that_dies_is_started_again_and_what_it_counted_stays(workers: Workers) -> None:
    workers.let(0, State(records=100, queued=9))
    workers.let(1, State(records=10, queued=1))
    await workers.until("readyz", 200)
    assert await workers.figure("inferstream_records_total") == 110
    killed = workers.pid(0)
    os.kill(killed, signal.SIGSTOP)
    workers.let(0, State(records=5, queued=0))  # is for the next one
    os.kill(killed, signal.SIGKILL)
    seen = [110]
    deadline = time.monotonic() + 20
    while seen[-1] != 115:
        assert await workers.get("readyz") == (200, "ok")
        seen.append(await workers.figure("inferstream_records_total"))
        assert seen == sorted(seen)
        assert time.monotonic() < deadline
    assert await workers.figure('inferstream_worker_restarts_total{why="ended"}') == 1
    assert workers.pid(0) != killed
    assert await workers.figure("inferstream_queued_events") == 1
    assert await workers.end() == 0


async def test_a_worker_that_falls_silent_is_shown_as_it_was_and_then_killed(workers: Workers) -> None:
    workers.let(0, State(records=8))
    await workers.until("readyz", 200)
    assert await workers.figure("inferstream_records_total") == 8
    hung = workers.pid(0)
    workers.let(0, State(records=8, answers=False))
    await workers.until_figure("inferstream_ready_workers", 1)
    assert await workers.figure("inferstream_records_total") == 8
    assert await workers.get("livez") == (200, "ok")
    workers.let(0, State(records=1))
    await workers.until_figure("inferstream_ready_workers", 2)
    assert workers.pid(0) == hung, "it answered again in time"
    workers.let(0, State(answers=False))
    await workers.until_figure('inferstream_worker_restarts_total{why="stuck"}', 1)
    workers.let(0, State(records=2))
    await workers.until_figure("inferstream_ready_workers", 2)
    assert workers.pid(0) != hung
    assert await workers.figure("inferstream_records_total") == 3


async def test_a_worker_that_says_it_is_not_live_is_killed(workers: Workers) -> None:
    await workers.until("readyz", 200)
    workers.let(1, State(not_live="the event loop is 11 s late"))
    await workers.until_figure('inferstream_worker_restarts_total{why="stuck"}', 1)
    workers.let(1, State())
    await workers.until_figure("inferstream_ready_workers", 2)


async def test_a_worker_that_outlives_its_kill_makes_the_parent_not_live(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workers.until("readyz", 200)
    monkeypatch.setattr("asyncio.subprocess.Process.send_signal", lambda *_: None)
    workers.let(1, State(answers=False))
    await workers.until("livez", 503, "worker 1 was killed and does not end")
    monkeypatch.undo()
    os.kill(workers.pid(1), signal.SIGKILL)
    workers.let(1, State())
    await workers.until("livez", 200)


async def test_what_a_user_can_mend_ends_all_with_the_workers_own_words(workers: Workers) -> None:
    await workers.until("readyz", 200)
    workers.let(1, State(failure="topic 'x' does not exist", ends_with=3))
    with pytest.raises(ContractMismatch, match=r"^topic 'x' does not exist$"):
        await workers.run


async def test_what_a_restart_may_mend_is_restarted(workers: Workers) -> None:
    await workers.until("readyz", 200)
    workers.let(1, State(failure="no answer from Kafka", ends_with=4))
    await workers.until_figure("inferstream_ready_workers", 1)
    workers.let(1, State())
    await workers.until_figure("inferstream_ready_workers", 2)
    assert await workers.figure('inferstream_worker_restarts_total{why="ended"}') >= 1


async def test_the_exit_code_is_the_worst_of_the_workers(workers: Workers) -> None:
    await workers.until("readyz", 200)
    workers.let(0, State(drains_with=4))
    assert await workers.end() == 4


async def test_workers_that_do_not_drain_in_time_are_killed(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    await workers.until("readyz", 200)
    monkeypatch.setattr(supervisor, "_HARD_EXIT_SECONDS", 0.2)
    os.kill(workers.pid(0), signal.SIGSTOP)
    assert await workers.end() == 128 + signal.SIGKILL
    assert workers.exits == [4]


async def test_a_second_signal_ends_all_at_once(workers: Workers) -> None:
    await workers.until("readyz", 200)
    os.kill(workers.pid(0), signal.SIGSTOP)
    workers.parent.stop()
    await workers.until("readyz", 503, "draining")
    workers.parent.stop()
    await workers.run
    assert workers.exits == [1]
