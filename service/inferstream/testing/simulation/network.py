"""Requests between simulated processes and the brokers: each may be slow, lost on its way, or lost on its way back.

A request belongs to a connection: on one, requests arrive in the order they were sent. One that is lost breaks its
connection, and the next one may overtake those which are still on the old one.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from inferstream.testing.virtual_loop import VirtualLoop

T = TypeVar("T")

_APART = 1e-6  # seconds: what arrives at the same instant has no order

Outage = Literal["none", "refuses", "hangs"]


class NoAnswer(Exception):
    """Nobody knows whether the request was carried out."""


class Network:
    """`loss` and `slowness` are chances per message; an outage is the brokers', a cut one host's or one partition's."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self._loop = loop
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._cluster = contextvars.copy_context()
        self._arrivals: dict[tuple[str, str], float] = {}
        self._held: list[Callable[[], None]] = []
        self.loss = 0.0
        self.slowness = 0.0
        self.outage: Outage = "none"
        self.cut: set[str] = set()
        """Hosts that nobody hears, and connections (as `topic/partition`) that nobody answers."""

    def heal(self) -> None:
        """Nothing is lost any more; what hung is carried out now."""
        self.loss = self.slowness = 0.0
        self.cut.clear()
        self.set_outage("none")

    def set_outage(self, outage: Outage) -> None:
        """The brokers refuse, or freeze, or are back."""
        self.outage = outage
        if outage != "hangs":
            held, self._held = self._held, []
            for number, carry_out in enumerate(held):
                self._loop.call_later(number * _APART, carry_out, context=self._cluster)

    async def call(self, host: str, connection: str, action: Callable[[], T], timeout: float) -> T:
        """The brokers do `action`; its result, its exception, or NoAnswer after `timeout` seconds.

        An action that gives a future is answered when that is done.
        """
        answer: asyncio.Future[T] = self._loop.create_future()
        if self.outage == "refuses" or host in self.cut or connection in self.cut:
            await asyncio.sleep(min(timeout, self._delay()))
            raise NoAnswer
        if not self._is_lost():
            self._send((host, connection), action, answer)
        else:
            self._arrivals.pop((host, connection), None)
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            raise NoAnswer from None

    def _send(self, connection: tuple[str, str], action: Callable[[], Any], answer: "asyncio.Future[Any]") -> None:
        arrives = max(self._loop.time() + self._delay(), self._arrivals.get(connection, 0.0) + _APART)
        self._arrivals[connection] = arrives
        self._loop.call_at(arrives, self._arrive, action, answer, context=self._cluster)

    def _arrive(self, action: Callable[[], Any], answer: "asyncio.Future[Any]") -> None:
        if self.outage == "hangs":
            self._held.append(lambda: self._arrive(action, answer))
        elif self.outage == "none":
            self._carry_out(action, answer)

    def _carry_out(self, action: Callable[[], Any], answer: "asyncio.Future[Any]") -> None:
        try:
            result = action()
        except Exception as error:
            self._reply(answer, None, error)
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(
                lambda done: None if done.cancelled() else self._reply(answer, _result(done), done.exception()),
                context=self._cluster,
            )
        else:
            self._reply(answer, result, None)

    def _reply(self, answer: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        if not self._is_lost():
            self._loop.call_later(self._delay(), _settle, answer, result, error, context=self._cluster)

    def _is_lost(self) -> bool:
        return self.loss > 0 and self._random.random() < self.loss

    def _delay(self) -> float:
        if self.slowness and self._random.random() < self.slowness:
            return self._random.uniform(0.05, 1.5)
        return self._random.uniform(0.0002, 0.002)


def _result(done: "asyncio.Future[Any]") -> Any:
    return None if done.exception() is not None else done.result()


def _settle(answer: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
