"""One channel to a server, shared by the models on it; replaced when the files it was made with change."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
import structlog
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inferstream.errors import SettingsError, Unavailable
from inferstream.patience import Patience
from inferstream.settings import TritonSettings
from inferstream.triton import credentials
from inferstream.triton.credentials import Credentials, Headers
from inferstream.triton.refusals import no_answer, reason
from inferstream.triton.shared_memory import SharedMemory

log = structlog.get_logger()

_ASK_TIMEOUT = 5.0
_LOOK_SECONDS = 1.0  # between two looks at the files
_TRY_SECONDS = 2.0  # a connection with new files that takes longer is none
_LEFT_SECONDS = 1.0  # beyond its time a call that nobody waits for may go on, and be answered to nobody
_LONGEST_CALL_SECONDS = 86_400.0  # each has a timeout of its own, and an SLO is a day at most


def _options(settings: TritonSettings) -> list[tuple[str, int]]:
    """All channel arguments: giving any replaces every default of the client library."""
    return [
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # A server that comes back is found at once, not after gRPC's default backoff of seconds.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        # Pings are safe for a server with default flags only when rare; a frozen one is noticed by our own polls.
        ("grpc.keepalive_time_ms", 300_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.use_local_subchannel_pool", 1),
    ]


class TritonServer:
    """A connection to one model server, shared by the models on it. Must be made on the running loop.

    Raises SettingsError if the files of the settings are missing or broken. When they change later, new calls use them
    as soon as a connection with them stands; calls under way end on the old one. Until then nothing changes.
    """

    def __init__(self, url: str, settings: TritonSettings) -> None:
        self.url = url
        self._settings = settings
        self._credentials = credentials.read(settings)
        self._closing: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self._left: set[grpc.aio.Call] = set()
        self._patience = Patience()
        self._told: str | None = None
        self._trouble: str | None = None
        self._use(self._opened(self._credentials))
        is_shared = settings.shared_memory == "auto"
        self.shared = SharedMemory(self.ask, settings.shared_memory_min_bytes) if is_shared else None
        self._following = asyncio.create_task(self._follow()) if self._credentials.state else None

    @property
    def headers(self) -> Headers:
        """What every call carries."""
        return self._credentials.headers

    @property
    def is_stale(self) -> bool:
        """Whether the files have changed to something of no use, and the connection of before is kept."""
        return self._told is not None

    def reconnect(self) -> None:
        """A server that does not answer: give up the connection and all calls on it, and make a new one."""
        self._close(self._channel, grace=None)
        self._use(self._opened(self._credentials))
        if self.shared is not None:
            self.shared.forget()

    async def ask(self, method: str, message: Any, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Any:
        """One unary call. Raises grpc.RpcError, or Unavailable if `reconnect` gave it up.

        A timer of the loop ends it, because gRPC's, which pass through threads of its own, come up to 20 ms late where
        the cores are busy (measured). The call itself goes on a little: a Triton of 24.10 whose calls are cancelled as
        they end can die of it, with a segmentation fault (seen when many ran out of time).
        """
        given = (*self.headers, *metadata) or None
        call = getattr(self.stub, method)(message, timeout=timeout + _LEFT_SECONDS, metadata=given)
        ended = asyncio.get_running_loop().create_future()
        call.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
        try:
            with self._patience.wait(timeout):
                await ended
            return await call
        except TimeoutError:
            self._leave(call)
            raise _overdue() from None
        except asyncio.CancelledError:
            self._leave(call)
            # Closing a channel cancels its calls. Whoever waits for one is not cancelled by that.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise Unavailable(f"the connection to {self.url} was given up") from None

    def _leave(self, call: grpc.aio.Call) -> None:
        """Nobody waits for it any more. One that nobody holds would be cancelled."""
        self._left.add(call)
        call.add_done_callback(self._left.discard)

    async def version(self) -> str:
        """Name and version the server gives itself. Raises Unavailable."""
        try:
            answer = await self.ask("ServerMetadata", service_pb2.ServerMetadataRequest(), _ASK_TIMEOUT)
        except grpc.RpcError as error:
            # Of a name with several addresses gRPC tells what became of the last it tried.
            self._trouble = reason(error, self._settings) or self._trouble
            raise Unavailable(no_answer(self.url, error, self._trouble)) from None
        return f"{answer.name} {answer.version}"

    def heard(self, error: grpc.RpcError | None) -> None:
        """What came of asking after a model. Why a server refuses us is told once, not at every poll."""
        why = None if error is None else reason(error, self._settings)
        if why is not None and why != self._trouble:
            log.warning("model_server_refuses", url=self.url, reason=why)
        if why is not None or error is None:
            self._trouble = why

    async def stop(self) -> None:
        """Close the connection. Idempotent."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self.shared is not None:
            await self.shared.stop()
        await asyncio.gather(*(channel.close(grace=None) for channel in (self._channel, *self._closing.values())))
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _opened(self, given: Credentials) -> grpc.aio.Channel:
        options = _options(self._settings)
        if given.channel is None:
            return grpc.aio.insecure_channel(self.url, options=options)
        return grpc.aio.secure_channel(self.url, given.channel, options=options)

    def _use(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def _close(self, channel: grpc.aio.Channel, grace: float | None) -> None:
        closing = asyncio.create_task(channel.close(grace=grace))
        self._closing[closing] = channel
        closing.add_done_callback(self._closing.pop)

    async def _follow(self) -> None:
        """Look at the files, for ever.

        They are put in place one by one and fit together only with the last: trouble is told once they rest.
        """
        seen = self._credentials.state
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            before, seen = seen, credentials.state(self._settings)
            if seen == self._credentials.state:
                self._told = None
                continue
            try:
                newer = await asyncio.to_thread(credentials.read, self._settings)
                await self._turn_to(newer)
            except (SettingsError, Unavailable) as error:
                if seen == before:
                    self._keep(str(error))

    async def _turn_to(self, newer: Credentials) -> None:
        """Use these from the next call on. Raises Unavailable if no connection with them can be made now."""
        if newer.channel is not None:
            channel = self._opened(newer)
            try:
                await self._connected(channel, newer.headers)
            except BaseException:
                self._close(channel, grace=None)
                raise
            self._close(self._channel, grace=_LONGEST_CALL_SECONDS)
            self._use(channel)
        self._credentials, self._told = newer, None
        log.info("credentials_renewed", url=self.url)

    async def _connected(self, channel: grpc.aio.Channel, headers: Headers) -> None:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            await stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=_TRY_SECONDS, metadata=headers or None)
        except grpc.RpcError as error:
            if channel.get_state() is not grpc.ChannelConnectivity.READY:
                raise Unavailable(no_answer(self.url, error, reason(error, self._settings))) from None

    def _keep(self, why: str) -> None:
        """The old ones go on; it is told once why."""
        if why != self._told:
            self._told = why
            log.warning("credentials_not_renewed", url=self.url, reason=why, instead="the connection of before is kept")


def _overdue() -> grpc.aio.AioRpcError:
    """What gRPC says of a call whose time is over."""
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing, "Deadline Exceeded")
