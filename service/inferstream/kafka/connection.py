"""How every client of ours connects, and how aiokafka's exceptions become ours."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from inferstream.errors import ContractMismatch, SettingsError, Unavailable
from inferstream.settings import KafkaSettings

_AUTHENTICATION = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
_AUTHORIZATION = (ClusterAuthorizationFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError)

_FETCH = 1  # API key
_EMPTY_FETCH_SECONDS = 0.003


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments that consumer, producer and admin client share. Raises SettingsError for unreadable files."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
        "ssl_context": _ssl_context(settings) if "SSL" in settings.security_protocol.split("_") else None,
    }
    if settings.security_protocol.startswith("SASL"):
        if settings.sasl_username is None or settings.sasl_password is None:
            raise SettingsError(
                "kafka.security_protocol asks for SASL: set kafka.sasl_username and kafka.sasl_password"
            )
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return arguments


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca_file)
        if settings.ssl_certificate_file is not None:
            context.load_cert_chain(settings.ssl_certificate_file, settings.ssl_key_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"kafka.ssl_*: a certificate or key file cannot be used: {error}") from None
    return context


def hold_empty_fetches(consumer: AIOKafkaConsumer) -> None:
    """Keep a consumer from asking without a pause when the broker answers an empty fetch at once.

    Kafka holds such a fetch until records come. The embedded broker does not, and aiokafka asks again straight
    away: 5,000 fetches a second that cost a core on each side. An answer that was held back passes unchanged.
    """
    client = consumer._client
    send = client.send

    async def paced(node_id: int, request: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        response = await send(node_id, request, **options)
        came_at_once = loop.time() - asked < _EMPTY_FETCH_SECONDS
        if came_at_once and getattr(response, "API_KEY", None) == _FETCH and _is_empty(response):
            await asyncio.sleep(_EMPTY_FETCH_SECONDS)
        return response

    client.send = paced


def _is_empty(response: Any) -> bool:
    return not any(partition[-1] for _, partitions in response.topics for partition in partitions)


@contextmanager
def kafka_errors(doing: str, settings: KafkaSettings) -> Iterator[None]:
    """Exceptions of aiokafka become ours, with what was being done and against which broker."""
    where = settings.bootstrap_servers
    try:
        yield
    except _AUTHENTICATION as error:
        raise SettingsError(f"{doing}: the broker at {where} refuses our login ({type(error).__name__})") from None
    except _AUTHORIZATION as error:
        raise ContractMismatch(f"{doing}: the broker at {where} does not allow it ({error}); grant the ACL") from None
    except (KafkaError, OSError, TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise Unavailable(f"{doing}: no answer from Kafka at {where} ({reason})") from None
