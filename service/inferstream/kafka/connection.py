"""How every client of ours connects, and how aiokafka's exceptions become ours."""

import asyncio
import math
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError, for_code
from pydantic import SecretStr

from inferstream.errors import ContractMismatch, LoginRefused, Unavailable
from inferstream.kafka import records  # noqa: F401 - what a fetch brings is read by it
from inferstream.kafka.access.credentials import certificates, credential, files_of
from inferstream.kafka.access.entrance import Heard, listening, refusal
from inferstream.kafka.access.tokens import tokens
from inferstream.kafka.codes import AUTHORIZATION, FencedInstanceId
from inferstream.patience import Patience
from inferstream.settings import KafkaSettings

JOIN_GROUP = 11  # API keys
_FETCH, _OFFSET_FETCH, _SYNC_GROUP = 1, 9, 14
_EMPTY_FETCH_SECONDS = 0.003
_STOP_SECONDS, _CLOSE_SECONDS = 5.0, 1.0


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments that consumer, producer and admin client share. Raises SettingsError for unreadable files."""
    has_tls, has_login = settings.security_protocol.endswith("SSL"), settings.security_protocol.startswith("SASL_")
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "metadata_max_age_ms": settings.metadata_max_age_ms,
        "security_protocol": settings.security_protocol,
        "ssl_context": certificates(files_of(settings)) if has_tls else None,
    }
    if has_login:
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        if settings.sasl_mechanism == "OAUTHBEARER":
            arguments["sasl_oauth_token_provider"] = tokens(settings, asyncio.get_running_loop())
        else:
            user = settings.sasl_username and SecretStr(settings.sasl_username)
            arguments["sasl_plain_username"] = credential("sasl_username_file", user, settings.sasl_username_file)
            arguments["sasl_plain_password"] = credential(
                "sasl_password_file", settings.sasl_password, settings.sasl_password_file
            )
    return arguments


class Observer(Protocol):
    """Sees what a client asks and is answered."""

    def asks(self, request: Any) -> None:
        """Before it goes out. What is raised is the answer."""

    def is_answered(self, response: Any) -> None:
        """The broker's answer."""


def temper(consumer: AIOKafkaConsumer, request_timeout: float, observer: Observer | None = None) -> None:
    """Three things a consumer does not do by itself, put around its one way of asking a broker.

    It holds back an answer to a fetch that is empty and came at once. Kafka holds such a fetch until records come; the
    embedded broker does not, and aiokafka asks again straight away: 5,000 fetches a second, a core on each side.

    And every request but those that wait for other members gets `request_timeout` seconds: aiokafka has one timeout
    for all, which must then exceed the rebalance timeout, and a dead connection would go unnoticed for as long.

    And an error about the whole group, where committed offsets were asked for, is one: a coordinator that is still
    loading answers so, without partitions, which aiokafka takes for a group that has committed nothing.
    """
    client = consumer._client
    send, patience = client.send, Patience()

    async def tempered(node_id: int, request: Any, **options: Any) -> Any:
        if observer is not None:
            observer.asks(request)
        asked = time.monotonic()
        waits = getattr(request, "API_KEY", None) in (JOIN_GROUP, _SYNC_GROUP)
        try:
            with patience.wait(math.inf if waits else request_timeout):
                response = await send(node_id, request, **options)
        except TimeoutError:
            for (node, _), connection in list(client._conns.items()):
                if node == node_id:
                    connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
            raise RequestTimedOutError from None
        if observer is not None:
            observer.is_answered(response)
        if getattr(response, "API_KEY", None) == _OFFSET_FETCH and getattr(response, "error_code", 0):
            raise for_code(response.error_code)()
        came_at_once = time.monotonic() - asked < _EMPTY_FETCH_SECONDS
        if came_at_once and getattr(response, "API_KEY", None) == _FETCH and _is_empty(response):
            await asyncio.sleep(_EMPTY_FETCH_SECONDS)
        return response

    client.send = tempered


def _is_empty(response: Any) -> bool:
    return not any(partition[-1] for _, partitions in response.topics for partition in partitions)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close; a broker that does not answer in a few seconds learns it from our silence."""
    if await has_ended(consumer.stop(), _STOP_SECONDS):
        return
    await sever(consumer._client, consumer, consumer._coordinator, consumer._fetcher)
    await has_ended(consumer._client.close(), _CLOSE_SECONDS)


async def has_ended(stop: Coroutine[Any, Any, None], seconds: float) -> bool:
    """Whether a stop of aiokafka's came to its end in time.

    In a task of its own: it waits for tasks that it has cancelled, and their cancellation would look like ours.
    """
    stopping = asyncio.create_task(stop)
    try:
        await asyncio.wait([stopping], timeout=seconds)
    finally:
        stopping.cancel()
    return stopping.done() and not stopping.cancelled() and stopping.exception() is None


async def sever(client: AIOKafkaClient, *owners: object) -> None:
    """Break off what a client of aiokafka has under way, without waiting for a broker: cancel tasks, drop connections.

    Its own `stop` waits for what is under way, and what is still to be written to a frozen broker would reach it later.
    The tasks are local variables of aiokafka, so they are found by whose methods they run.
    """
    tasks = [task for task in asyncio.all_tasks() if _runs_for(task, owners)]
    for task in tasks:
        task.cancel()
    for connection in list(client._conns.values()):
        if connection._writer is not None:
            connection._writer.transport.abort()
    if tasks:
        await asyncio.wait(tasks, timeout=1)


def _runs_for(task: "asyncio.Task[Any]", owners: tuple[object, ...]) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is not None and any(frame.f_locals.get("self") is owner for owner in owners)


@contextmanager
def kafka_errors(doing: str, settings: KafkaSettings) -> Iterator[None]:
    """Exceptions of aiokafka become ours, with what was being done, against which broker, and what to do."""
    where = settings.bootstrap_servers
    with listening() as heard:
        try:
            yield
        except AUTHORIZATION as error:
            raise ContractMismatch(
                f"{doing}: the broker at {where} does not allow it ({error}); `inferstream acls` prints what to grant"
            ) from None
        except (KafkaError, OSError, TimeoutError) as error:
            if FencedInstanceId.__name__ in repr(error):  # aiokafka wraps what it does not know, as text
                raise ContractMismatch(
                    f"{doing}: another process took the place of kafka.group_instance_id "
                    f"'{settings.group_instance_id}' in the group; give each process its own"
                ) from None
            if (why := refusal(error) or heard.refusal) is not None:
                raise LoginRefused(f"{doing}: no way in to Kafka at {where}: {why}") from None
            raise Unavailable(f"{doing}: no answer from Kafka at {where}{_why(error, heard)}") from None


def _why(error: Exception, heard: Heard) -> str:
    """The class of the error and what it says, once; and what to look at when it is the connection."""
    name, said = type(error).__name__, str(error)
    reason = said if name in said else f"{name}: {said}".rstrip(": ")
    if not isinstance(error, (KafkaConnectionError, OSError, TimeoutError)):
        return f" ({reason})"
    hint = "is kafka.bootstrap_servers right, and the broker up?"
    if "Unable to bootstrap" in said:  # that, and what aiokafka made of the addresses
        return f"; {heard.hint or hint}"
    return f" ({reason}); {hint}"
