"""A timeout for what is awaited again and again and hardly ever takes too long.

`asyncio.timeout` makes a timer for each wait and cancels it, and a cancelled timer stays in the loop's heap until its
time comes: four of them for an event that is scored by itself. Here one timer stays. It rings when the first wait that
was there as it was set would be over, and is set again for others.
"""

import asyncio
import math
from types import TracebackType
from typing import Any


class Patience:
    """Waits of any number of tasks of one loop: `with patience.wait(seconds): await …` raises TimeoutError, as
    `asyncio.timeout` does."""

    def __init__(self) -> None:
        self._waits: dict[_Wait, None] = {}  # in order: who waits longest is told first
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def wait(self, seconds: float) -> "_Wait":
        """A context for one `with`; `math.inf` waits for ever."""
        return _Wait(self, seconds)

    def enter(self, wait: "_Wait", loop: asyncio.AbstractEventLoop) -> None:
        """From a wait: it begins."""
        self._waits[wait] = None
        if wait.ends_at < self._rings_at:
            self._set(wait.ends_at, loop)

    def leave(self, wait: "_Wait") -> None:
        """From a wait: it is over."""
        self._waits.pop(wait, None)

    def _set(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = loop.call_at(at, self._ring, loop), at

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer, self._rings_at = None, math.inf
        for wait in [wait for wait in self._waits if wait.ends_at <= now]:
            del self._waits[wait]
            wait.end()
        if self._waits:
            self._set(min(wait.ends_at for wait in self._waits), loop)


class _Wait:
    __slots__ = ("_cancelling", "_has_ended", "_patience", "_seconds", "_task", "ends_at")

    def __init__(self, patience: Patience, seconds: float) -> None:
        self._patience, self._seconds = patience, seconds
        self._has_ended = False

    def __enter__(self) -> None:
        if self._seconds == math.inf:
            self.ends_at = math.inf
            return
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("only a task can wait")
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        self.ends_at = loop.time() + self._seconds
        self._patience.enter(self, loop)

    def end(self) -> None:
        """Its time is over."""
        self._has_ended = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patience.leave(self)
        if not self._has_ended:
            return
        # Whoever cancelled the task beside us is heard first.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
