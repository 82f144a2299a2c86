"""An event loop whose time is a number: nothing sleeps, and a seed decides in which order callbacks run.

Whatever is ready at an instant runs in a shuffled order; when nothing is, time jumps to the next timer. Callbacks
belong to the `Host` in whose context they were made, so that one simulated process can be frozen or killed while
the others go on. The same seed runs the same way, in whatever interpreter.
"""

import asyncio
import contextvars
import heapq
import random
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_MOST_AT_ONE_INSTANT = 50_000  # callbacks without time going on: somebody spins

_HOST: ContextVar["Host | None"] = ContextVar("host", default=None)


class Deadlock(AssertionError):
    """Nothing is ready, no timer is set, and the main task is not done. Says who waits."""


class Livelock(AssertionError):
    """Callbacks beget callbacks and time stands still."""


class Host:
    """What a simulated process runs on. Frozen, its callbacks wait; dead, they are gone for good."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_frozen = False
        self.is_dead = False
        self.parked: list[asyncio.Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(_HOST.set, self)


class SimFuture(asyncio.Future[T]):
    """Hashed by a number of its own instead of its address: sets of futures have the same order in every run."""

    def __init__(self, number: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class SimTask(asyncio.Task[T]):
    """As `SimFuture`."""

    def __init__(
        self,
        number: int,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        loop: "VirtualLoop",
        context: Context | None,
    ):
        self._number = number
        super().__init__(coro, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """Seconds begin at `start`. No threads, no sockets, no signals."""

    def __init__(self, seed: int, start: float = 1_000.0) -> None:
        super().__init__()
        self._now = start
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._pending: list[tuple[Host | None, asyncio.Handle]] = []
        self._timers: list[tuple[float, int, Host | None, asyncio.TimerHandle]] = []
        self._numbers = 0
        self._at_this_instant = 0
        self._ended = False
        self._dead: list[Host] = []
        self.callbacks = 0
        """How many have run."""

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def freeze(self, host: Host) -> None:
        """Nothing of this host runs until it is thawed; time goes on, and messages to it wait."""
        host.is_frozen = True

    def thaw(self, host: Host) -> None:
        """What waited runs now."""
        host.is_frozen = False
        parked, host.parked = host.parked, []
        self._pending += [(host, handle) for handle in parked]

    def kill(self, host: Host) -> None:
        """Nothing of this host runs ever again: no handler, no `finally`, nothing is flushed."""
        host.is_dead = True
        self._dead.append(host)

    def end(self) -> None:
        """Unwind what is left of all hosts, the dead ones too, so that no coroutine is destroyed half-way."""
        self._ended, self._at_this_instant = True, 0
        for host in self._dead:
            self.thaw(host)
        for _ in range(20):
            left = asyncio.all_tasks(self)
            if not left:
                return
            for task in left:
                task.cancel()
            self._stopping_after(len(left))
        raise Livelock(f"tasks that do not end when cancelled: {asyncio.all_tasks(self)}")

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._pending.append((_host_of(context), handle))
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, self._number(), _host_of(context), handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + max(0.0, delay), callback, *args, context=context)

    def create_future(self) -> "SimFuture[Any]":
        return SimFuture(self._number(), loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> SimTask[T]:
        return SimTask(self._number(), coro, loop=self, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        raise RuntimeError("no threads in a simulation: they would not run the same way twice")

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _write_to_self(self) -> None:
        """Nobody sleeps, so nobody is woken."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""

    def _run_once(self) -> None:
        """One turn: all that is ready, in shuffled order."""
        if not self._pending:
            self._advance()
        while self._timers and self._timers[0][0] <= self._now:
            _, _, host, timer = heapq.heappop(self._timers)
            self._pending.append((host, timer))
        batch, self._pending = self._pending, []
        runnable = [(host, handle) for host, handle in batch if self._may_run(host, handle)]
        if len(runnable) > 1:
            self._random.shuffle(runnable)
        for host, handle in runnable:
            if self._may_run(host, handle):  # a callback of this very batch may have frozen its host
                self.callbacks += 1
                handle._run()
        self._at_this_instant += len(runnable)
        if self._at_this_instant > _MOST_AT_ONE_INSTANT:
            raise Livelock(f"{self._at_this_instant} callbacks at {self._now:.6f}:\n{self._who_waits()}")

    def _advance(self) -> None:
        while self._timers and self._timers[0][3].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Deadlock(f"everybody waits, at {self._now:.6f}:\n{self._who_waits()}")
        if self._timers[0][0] > self._now:
            self._now, self._at_this_instant = self._timers[0][0], 0

    def _may_run(self, host: Host | None, handle: asyncio.Handle) -> bool:
        if handle.cancelled():
            return False
        if host is None or self._ended:
            return True
        if host.is_frozen or host.is_dead:
            host.parked.append(handle)
            return False
        return True

    def _stopping_after(self, turns: int) -> None:
        async def unwind() -> None:
            for _ in range(turns + 10):
                await asyncio.sleep(0)

        self.run_until_complete(unwind())

    def _who_waits(self) -> str:
        return "\n".join(sorted(repr(task) for task in asyncio.all_tasks(self)))


def _host_of(context: Context | None) -> Host | None:
    return _HOST.get() if context is None else context.get(_HOST)
