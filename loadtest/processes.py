"""Child processes of the tool that are talked to by lines, and the CPU time and memory that processes use."""

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from inferstream.local.process import Identity, identify, tail
from loadtest.errors import LoadTestError

ROOT = Path(__file__).parents[1]
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MIB_PER_PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20
_END_SECONDS = 12.0
_LINE_BYTES = 2**20
_TELLS_OF_AN_ERROR = re.compile(r"^[\w.]*(Error|Exception|Exit)\b|: error: ")


def environment(**variables: str) -> dict[str, str]:
    """Our environment, so that the checkout's packages are found in any Python, and these variables."""
    paths = [str(ROOT), str(ROOT / "service"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **variables}


def end_cleanly_on_sigterm() -> None:
    """For the task that calls it, as on ctrl-C: what it started is ended."""
    working = asyncio.current_task()
    assert working is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)


class Child:
    """A process in a group of its own. Its standard output is lines for us and for the log; its errors are logged."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._environ = environ
        self._log = log
        self._process: Process | None = None
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None

    async def start(self, listens: bool = False) -> None:
        """Start; with `listens` it can be told lines. Raises LoadTestError."""
        stdin = PIPE if listens else DEVNULL
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    env=self._environ,
                    cwd=ROOT,
                    stdin=stdin,
                    stdout=PIPE,
                    stderr=log,
                    start_new_session=True,
                    limit=_LINE_BYTES,
                )
        except OSError as error:
            raise LoadTestError(f"{self.name}: {self._command[0]} cannot be started: {error.strerror}") from None
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """Process id."""
        return self._running.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._running.returncode is not None

    def tell(self, message: Any) -> None:
        """A line of JSON on its standard input."""
        assert self._running.stdin is not None
        self._running.stdin.write(msgspec.json.encode(message) + b"\n")

    async def line(self, timeout: float) -> str:
        """Its next line. Raises LoadTestError when it ends instead, or says nothing for so long."""
        try:
            line = await asyncio.wait_for(self._lines.get(), timeout)
        except TimeoutError:
            raise LoadTestError(f"{self.name} said nothing for {timeout:.0f} s; {self.last_words()}") from None
        if line is None:
            code = await self._running.wait()
            raise LoadTestError(f"{self.name} ended with {code}: {self.last_words()}")
        return line

    async def fact(self, name: str, timeout: float) -> dict[str, Any]:
        """Its next line of JSON that has this key."""
        while True:
            facts: dict[str, Any] = msgspec.json.decode(await self.line(timeout))
            if name in facts:
                return facts

    def signal(self, number: signal.Signals) -> None:
        """To it and its helpers."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def end(self) -> int:
        """SIGTERM and wait; its exit code. After a while its whole group is killed."""
        with suppress(ProcessLookupError):
            self._running.terminate()
        try:
            return await asyncio.wait_for(self._running.wait(), _END_SECONDS)
        except TimeoutError:
            await self.kill()
            raise LoadTestError(f"{self.name} did not end within {_END_SECONDS:.0f} s of SIGTERM") from None
        finally:
            await self._clean()

    async def kill(self) -> None:
        """SIGKILL for it and its helpers."""
        self.signal(signal.SIGKILL)
        await self._running.wait()
        await self._clean()

    async def clear(self) -> None:
        """Nothing of it is left, however far it came."""
        if self._process is not None:
            await self.kill()

    def last_words(self) -> str:
        """The last line of its log that tells of an error, else the last one."""
        lines = [line for line in tail(self._log, lines=40).splitlines() if line.strip()]
        told = [line for line in lines if _TELLS_OF_AN_ERROR.search(line)] or lines or ["nothing was logged"]
        return f"{told[-1].strip()[:300]} (log: {self._log})"

    @property
    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("start it first")
        return self._process

    async def _read(self) -> None:
        """Always read, else a talkative process would stand still."""
        assert self._running.stdout is not None
        with self._log.open("ab") as log:
            async for line in self._running.stdout:
                log.write(line)
                log.flush()
                self._lines.put_nowait(line.decode(errors="replace").strip())
        self._lines.put_nowait(None)

    async def _clean(self) -> None:
        self.signal(signal.SIGKILL)  # helpers that outlived it
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)


class Usage(NamedTuple):
    """What a process has used: CPU seconds so far, MiB that are resident now."""

    seconds: float
    mib: float


class Meter:
    """What named process trees use: CPU seconds, kept over the death of their members, and memory. To be looked at now
    and then."""

    def __init__(self) -> None:
        self._heads: dict[str, list[int]] = {}
        self._first: dict[tuple[str, Identity], float] = {}
        self._last: dict[tuple[str, Identity], float] = {}
        self._mib: dict[str, tuple[float, float]] = {}

    def watch(self, name: str, pid: int) -> None:
        """Count this process and its descendants under a name; several may share one."""
        self._heads.setdefault(name, []).append(pid)

    def begin(self) -> None:
        """Count from now on; what starts later counts from its start."""
        self._last.clear()
        self._mib.clear()
        self.look()
        self._first = dict(self._last)

    def look(self) -> None:
        """Read what all of them have used so far."""
        children = _children()
        for name, heads in self._heads.items():
            pending, mib = list(heads), 0.0
            while pending:
                pid = pending.pop()
                pending += children.get(pid, ())
                if (identity := identify(pid)) is not None and (used := _usage(pid)) is not None:
                    self._last[name, identity] = used.seconds
                    mib += used.mib
            if mib:
                first, most = self._mib.get(name, (mib, mib))
                self._mib[name] = first, max(most, mib)

    def seconds(self) -> dict[str, float]:
        """Used since the begin, by name."""
        total = dict.fromkeys(self._heads, 0.0)
        for (name, identity), used in self._last.items():
            total[name] += used - self._first.get((name, identity), 0.0)
        return total

    def mib(self) -> dict[str, tuple[float, float]]:
        """Resident memory by name, of the whole tree: at the first look at it since the begin, and at most."""
        return dict(self._mib)


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(stat.parent.name))
    return found


def _usage(pid: int) -> Usage | None:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return Usage((int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND, int(fields[21]) * _MIB_PER_PAGE)
    return None
