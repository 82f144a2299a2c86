"""The version a pipeline has been told to ask, followed while it runs: `inferstream models switch` writes it down.

The note lies in a group that nobody joins (`Notes`), like that of a quarantine, at partition 0 of the input topic. It
outlives the process and goes before the setting `model_version`. Without notes (no right to them, a broker that is
away) what was known last holds.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from inferstream.errors import InferstreamError, Unavailable
from inferstream.pipeline.interfaces import Clock, Notes
from inferstream.policy.pin import Pin, read_pin
from inferstream.signals import Signals

log = structlog.get_logger()

PLACE = 0
"""The partition at whose offset the note is."""
_POLL_SECONDS = 0.5
_SAY_AGAIN_SECONDS = 60.0


class Versioned(Protocol):
    """A model at an endpoint of which another version can be asked."""

    @property
    def url(self) -> str: ...
    @property
    def version(self) -> str: ...

    async def turn_to(self, version: str) -> None:
        """From the next call on. Raises Unavailable or ContractMismatch; then nothing changes."""


class Pinned:
    """The version of one pipeline's model. `read` once before the models are made, then `run`."""

    def __init__(self, pipeline: str, asked: tuple[str, str], notes: Notes, clock: Clock, signals: Signals) -> None:
        self._pipeline = pipeline
        self._model, self._configured = asked
        self._notes: Notes | None = notes
        self._clock = clock
        self._signals = signals
        self._log = log.bind(pipeline=pipeline, model=self._model)
        self._pin = Pin(self._model)
        self._said: dict[str, tuple[str, float]] = {}
        self.models: Sequence[Versioned] = ()
        """Those that follow."""
        self.when_resumed: Callable[[], None] = lambda: None
        """Hears that a stopped canary may go on."""

    @property
    def version(self) -> str:
        """What is to be asked; empty: the server's choice."""
        return self._pin.version or self._configured

    async def read(self) -> None:
        """Look at the note. Whatever keeps us from it is logged."""
        if self._notes is None:
            return
        try:
            pin = read_pin((await self._notes.notes()).get(PLACE))
        except Unavailable as error:
            self._say("the broker", str(error))
        except InferstreamError as error:
            self._log.warning("model_pin_refused", error=str(error))
            await self._notes.stop()
            self._notes = None
        else:
            if pin is not None:  # none at all may as well be a broker that is still looking for it
                self._take(pin)

    async def run(self) -> None:
        """Follow the note; for ever."""
        while True:
            await self.read()
            for model in self.models:
                await self._turn(model)
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> None:
        """Let go of the notes. Idempotent."""
        if self._notes is not None:
            await self._notes.stop()

    def _take(self, pin: Pin) -> None:
        if pin.model != self._model:
            self._say("the note", f"the pinned version is one of model '{pin.model}': it is ignored")
            pin = Pin(self._model, resumed_unix_ms=pin.resumed_unix_ms)
        if pin.resumed_unix_ms > self._pin.resumed_unix_ms:
            self.when_resumed()
        self._pin = pin

    async def _turn(self, model: Versioned) -> None:
        before = model.version
        try:
            await model.turn_to(self.version)
        except InferstreamError as error:
            self._say(model.url, str(error))
        else:
            if before != model.version:
                self._log.info("model_version_turned", url=model.url, version=model.version, before=before)
        number = int(model.version) if model.version.isdecimal() else 0
        self._signals.model_version.cell(self._pipeline, model.url).set(number)

    def _say(self, where: str, what: str) -> None:
        """Once, and again after a while: it is looked at every half second."""
        now = self._clock.monotonic()
        said, at = self._said.get(where, ("", 0.0))
        if said != what or now - at > _SAY_AGAIN_SECONDS:
            self._said[where] = what, now
            self._log.warning("model_pin_not_followed", where=where, why=what, asked=self.version)
