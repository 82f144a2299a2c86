"""The models of one pipeline, each on every server: its own, and what stands beside it."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial

import structlog

from inferstream.errors import ContractMismatch
from inferstream.policy.sharing import Sharing
from inferstream.settings import TritonSettings
from inferstream.signals import Signals
from inferstream.tasks import Task
from inferstream.triton.client import TritonModel
from inferstream.triton.server import TritonServer

log = structlog.get_logger()


class Fleet:
    """Models by role. Each is polled from when it is added; it is logged and counted which take calls."""

    def __init__(
        self, pipeline: str, task: Task, servers: Sequence[TritonServer], settings: TritonSettings, signals: Signals
    ) -> None:
        self._pipeline = pipeline
        self._task = task
        self._servers = servers
        self._settings = settings
        self._signals = signals
        self._models: dict[str, list[TritonModel]] = {}
        self._sharing: dict[tuple[str, str], Sharing] = defaultdict(Sharing)

    def add(self, role: str, name: str, version: str) -> None:
        """The model of that role, by name and version (empty: the server's choice)."""
        # The one that answers is told of by name alone: it may be switched to another version.
        label = f"{name}:{version}" if version and role != "model" else name
        self._models[role] = [self._model(server, name, version, label) for server in self._servers]
        if role == "model":
            for model in self._models[role]:
                self._signals.model_shared.cell(self._pipeline, model.url).read = partial(getattr, model, "is_shared")

    def of(self, role: str) -> list[TritonModel]:
        """One for each server; none if there is no model of that role."""
        return self._models.get(role, [])

    def mismatch(self, roles: Collection[str] | None = None) -> ContractMismatch | None:
        """Why one of them, of these roles, will never be asked."""
        asked = (model for role, models in self._models.items() if roles is None or role in roles for model in models)
        return next((model.mismatch for model in asked if model.mismatch is not None), None)

    async def stop(self) -> None:
        """Poll no more. Idempotent."""
        for models in self._models.values():
            for model in models:
                await model.stop()

    def _model(self, server: TritonServer, name: str, version: str, label: str) -> TritonModel:
        sharing = self._sharing[server.url, name]
        model = TritonModel(server, name, version, self._task, self._settings, sharing)
        level = self._signals.model_ready.cell(self._pipeline, label, server.url)

        def turned(ready: bool) -> None:
            level.set(ready)
            tell = log.info if ready else log.warning
            tell("model_ready" if ready else "model_unavailable", pipeline=self._pipeline, model=label, url=server.url)

        model.when_ready = turned
        model.start()
        return model
