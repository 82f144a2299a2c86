"""Which versions of a model a server has loaded, and having it load others: Triton's model repository extension.

Only commands ask for this. A server may keep it apart from inference (`--grpc-restricted-protocol`) and want a key.
"""

import json
from collections.abc import Collection
from typing import Any, NamedTuple

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from inferstream.errors import ContractMismatch, InferstreamError, Unavailable
from inferstream.settings import TritonSettings
from inferstream.triton.credentials import headers_of
from inferstream.triton.refusals import is_restricted, no_answer, reason, said
from inferstream.triton.server import TritonServer

_ASK_SECONDS = 5.0
_WANTS_KEY = (
    "the server wants a key for its model control: set triton.model_control_key to "
    "NAME=VALUE as in its --grpc-restricted-protocol=model-repository:NAME=VALUE"
)
_NO_CONTROL = "explicit model load / unload is not allowed"
_WANTS_CONTROL = (
    "the server does not load on command: start it with --model-control-mode=explicit, "
    "or set triton.model_control to none"
)


class Loaded(NamedTuple):
    """A version of a model as the server's index has it: READY, LOADING, UNAVAILABLE … and why."""

    version: str
    state: str
    reason: str


class ModelControl:
    """The versions of one model on one server. Raises SettingsError if the file of its key is missing or broken."""

    def __init__(self, server: TritonServer, model: str, settings: TritonSettings) -> None:
        self._server = server
        self._model = model
        self._settings = settings
        self._key = headers_of("model_control_key", settings.model_control_key, settings.model_control_key_file)

    @property
    def url(self) -> str:
        """host:port of the server."""
        return self._server.url

    async def served(self) -> list[str]:
        """Versions that take calls, the lowest first; none if the model is not loaded. Raises Unavailable."""
        try:
            meta = await self._ask("ModelMetadata", service_pb2.ModelMetadataRequest(name=self._model))
        except ContractMismatch:  # not loaded, or not there
            return []
        return sorted(meta.versions, key=int)

    async def index(self) -> list[Loaded]:
        """All versions the server has ever tried to load. Raises Unavailable or ContractMismatch."""
        answer = await self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        own = [Loaded(m.version, m.state, m.reason) for m in answer.models if m.name == self._model and m.version]
        return sorted(own, key=lambda each: int(each.version))

    async def load(self, versions: Collection[str], timeout: float) -> None:
        """Have exactly these versions served; those that are already are not loaded again.

        The others are unloaded once their calls have ended. Raises Unavailable or ContractMismatch: if one does not
        load, or is not in the repository, the server goes on with what it had.
        """
        if not await self.served():  # there is no configuration yet to say anything about
            await self._ask("RepositoryModelLoad", self._order(), timeout)
        config = (await self._ask("ModelConfig", service_pb2.ModelConfigRequest(name=self._model))).config
        wanted = json.loads(json_format.MessageToJson(config, preserving_proto_field_name=True))
        wanted["version_policy"] = {"specific": {"versions": sorted(versions, key=int)}}
        await self._ask("RepositoryModelLoad", self._order(json.dumps(wanted)), timeout)
        if absent := sorted(set(versions) - set(await self.served()), key=int):
            raise ContractMismatch(f"the repository of Triton at {self.url} has no {self._model}/{absent[0]}")

    async def calls(self, version: str) -> int:
        """Calls that this version has answered or failed since it was loaded. Raises Unavailable, ContractMismatch."""
        wanted = service_pb2.ModelStatisticsRequest(name=self._model, version=version)
        answer = await self._ask("ModelStatistics", wanted)
        return sum(s.inference_stats.success.count + s.inference_stats.fail.count for s in answer.model_stats)

    def _order(self, config: str | None = None) -> Any:
        message = service_pb2.RepositoryModelLoadRequest(model_name=self._model)
        if config is not None:
            message.parameters["config"].string_param = config
        return message

    async def _ask(self, method: str, message: Any, timeout: float = _ASK_SECONDS) -> Any:
        try:
            return await self._server.ask(method, message, timeout, self._key)
        except grpc.RpcError as error:
            raise self._explained(method, error) from None

    def _explained(self, method: str, error: grpc.RpcError) -> InferstreamError:
        """The server's words name models, versions and what a model's code raised at its start."""
        words = said(error)
        if words.startswith(_NO_CONTROL):
            return ContractMismatch(f"Triton at {self.url}: {_WANTS_CONTROL}")
        if is_restricted(error):
            why = _WANTS_KEY if method.startswith("Repository") else reason(error, self._settings)
            return ContractMismatch(f"Triton at {self.url}: {why}")
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) and "model" not in words:
            return Unavailable(no_answer(self.url, error, reason(error, self._settings)))
        return ContractMismatch(f"Triton at {self.url} says of model '{self._model}': {words}")
