"""Where a pipeline's model lives: its versions on every endpoint, and the note that says which one is asked."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from inferstream.kafka import GroupOffsets, pinned
from inferstream.needs import load_tasks, models_on_triton
from inferstream.operate.pipelines import Chosen, choose
from inferstream.pipeline.rollout.pin import PLACE
from inferstream.policy.pin import Pin, pin_note, read_pin
from inferstream.settings import Settings
from inferstream.tasks import Task
from inferstream.triton import ModelControl, TritonServer


class Endpoint(NamedTuple):
    """The model on one server."""

    server: TritonServer
    control: ModelControl


class Site:
    """What commands about a pipeline's model need; made by `opened`."""

    def __init__(self, settings: Settings, chosen: Chosen, task: Task, endpoints: Sequence[Endpoint]) -> None:
        self.settings = settings
        self.chosen = chosen
        self.task = task
        self.endpoints = endpoints
        self.model, self.configured = models_on_triton(settings, chosen.name, task)["model"]
        self._notes: GroupOffsets = pinned(chosen.group, chosen.settings.input_topic, settings.kafka)

    async def pin(self) -> Pin:
        """What is pinned; one without a version if nothing is. Raises Unavailable or ContractMismatch."""
        return await self._pin_in(self._notes)

    async def _pin_in(self, notes: GroupOffsets) -> Pin:
        pin = read_pin((await notes.notes()).get(PLACE))
        return pin if pin is not None and pin.model == self.model else Pin(self.model)

    async def write(self, pin: Pin) -> None:
        """Pin. Raises Unavailable (then it is unknown whether it was written) or ContractMismatch."""
        await self._notes.annotate({PLACE: pin_note(pin)})

    async def served(self) -> Mapping[str, list[str]]:
        """Versions that take calls, by endpoint. Raises Unavailable."""
        versions = await asyncio.gather(*(endpoint.control.served() for endpoint in self.endpoints))
        return {endpoint.control.url: found for endpoint, found in zip(self.endpoints, versions, strict=True)}

    async def asked_otherwise(self) -> dict[str, str]:
        """The version of this model that others of these settings ask, by their names; empty: any.

        Other pipelines ask what they are pinned to, or name; a fallback, canary or shadow what it names. Raises
        Unavailable or ContractMismatch.
        """
        found = {}
        for name, task in load_tasks(self.settings).items():
            for role, (model, version) in models_on_triton(self.settings, name, task).items():
                if model == self.model and (name, role) != (self.chosen.name, "model"):
                    pin = await self._pin_of(name) if role == "model" else None
                    found[f"{role} of pipeline '{name}'"] = (pin and pin.version) or version
        return found

    async def _pin_of(self, pipeline: str) -> Pin:
        chosen = choose(self.settings, pipeline)
        notes = pinned(chosen.group, chosen.settings.input_topic, self.settings.kafka)
        try:
            return await self._pin_in(notes)
        finally:
            await notes.stop()

    async def stop(self) -> None:
        """Let go of the notes."""
        await self._notes.stop()


@asynccontextmanager
async def opened(settings: Settings, pipeline: str | None) -> AsyncIterator[Site]:
    """The site of the pipeline of that name, or of the only one. Raises SettingsError."""
    chosen = choose(settings, pipeline)
    task, triton = load_tasks(settings)[chosen.name], settings.triton
    async with AsyncExitStack() as stack:
        model, _ = models_on_triton(settings, chosen.name, task)["model"]
        endpoints = []
        for url in triton.urls:
            server = TritonServer(url, triton)
            stack.push_async_callback(server.stop)
            endpoints.append(Endpoint(server, ModelControl(server, model, triton)))
        site = Site(settings, chosen, task, endpoints)
        stack.push_async_callback(site.stop)
        yield site
