"""The one function by which aiokafka makes a connection, with what our files say now, and why it failed in words.

aiokafka keeps a login and a TLS context for the life of a client, and it swallows why a broker did not let it in:
"Unable to bootstrap" is all that reaches a caller. So its `create_conn` is replaced by `enter`.
"""

import logging
import ssl
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from aiokafka import client
from aiokafka.conn import AIOKafkaConnection, CloseReason, OAuthAuthenticator
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslAuthenticateRequest, SaslHandShakeRequest

from inferstream.kafka.access.credentials import Certificates, Credential
from inferstream.kafka.codes import AUTHENTICATION

log = logging.getLogger(__name__)

_SAY_AGAIN_SECONDS = 30.0
_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64  # X509_V_ERR_…
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)

_AT_FIRST_WORD = {
    "PLAINTEXT": "it closed the connection at the first word: "
    "does it want TLS? (kafka.security_protocol SSL or SASL_SSL)",
    "SASL_PLAINTEXT": "it closed the connection before we were let in: "
    "does it want TLS (kafka.security_protocol SASL_SSL), or another login? (kafka.sasl_…)",
    "SSL": "it closed the connection at the first word: does it want a login (kafka.security_protocol SASL_SSL), "
    "or a certificate of ours? (kafka.ssl_certificate_file)",
    "SASL_SSL": "it closed the connection before we were let in: does it want another login (kafka.sasl_… and "
    "kafka.oauth_…), or a certificate of ours? (kafka.ssl_certificate_file)",
}
"""What it may be, by kafka.security_protocol."""

_KEEP_SHARE = 0.8  # of the time a login holds
_SHOWN_CHARACTERS = 200  # of what a broker says


class _Connection(AIOKafkaConnection):  # type: ignore[misc]
    """One whose login may end (KIP-368). aiokafka cannot renew it, so another replaces it before the broker cuts it.

    It goes when it has nothing under way, which every connection has now and then in a fifth of a login's life.
    """

    _renew_at = float("inf")

    def connected(self) -> bool:
        """Asked before each request that aiokafka sends; if it is not, that goes by a new one."""
        if time.monotonic() >= self._renew_at and not self._requests:
            self.close(reason=CloseReason.IDLE_DROP)
        return bool(super().connected())

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:
        answer: Awaitable[Any] = super().send(request, expect_response)
        if isinstance(request, SaslHandShakeRequest):
            return self._offered(answer)
        return self._noting(answer) if isinstance(request, SaslAuthenticateRequest) else answer

    async def _noting(self, answer: Awaitable[Any]) -> Any:
        """How long a login holds is in the broker's answer to it; 0: as long as the connection."""
        response = await answer
        if (lives_ms := getattr(response, "session_lifetime_ms", 0)) > 0:
            self._renew_at = time.monotonic() + _KEEP_SHARE * lives_ms / 1000
        return response

    async def _offered(self, answer: Awaitable[Any]) -> Any:
        """A broker that refuses a mechanism names those that it has, which aiokafka drops."""
        response = await answer
        refused = response.error_code == UnsupportedSaslMechanismError.errno
        if refused or (not response.error_code and self._sasl_mechanism not in response.enabled_mechanisms):
            raise UnsupportedSaslMechanismError(_printable(", ".join(map(str, response.enabled_mechanisms))))
        return response

    def authenticator_oauth(self) -> OAuthAuthenticator:
        return _OAuth(sasl_oauth_token_provider=self._sasl_oauth_token_provider)


def _printable(said: str) -> str:
    return "".join(character for character in said[:_SHOWN_CHARACTERS] if character.isprintable())


class _OAuth(OAuthAuthenticator):  # type: ignore[misc]
    """A broker that refuses a token says so in a challenge (RFC 7628), which aiokafka takes for a welcome."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            raise AuthenticationFailedError(_printable(payload.decode(errors="replace")))
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


class Heard:
    """What was learned from the connections tried while somebody listened."""

    def __init__(self) -> None:
        self.is_open = True
        self.refusal: str | None = None
        self.hint: str | None = None


_listener: ContextVar[Heard | None] = ContextVar("listener", default=None)
_said: dict[str, float] = {}


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear why connections fail that are tried within: then the listener tells it, else it is logged."""
    before = _listener.get()
    heard = Heard()
    _listener.set(heard)
    try:
        yield heard
    finally:
        heard.is_open = False  # tasks that were begun within live on, and have it still
        _listener.set(before)


async def enter(host: str, port: int, **options: Any) -> AIOKafkaConnection:
    """`aiokafka.conn.create_conn` with credentials that are read now. Raises KafkaError, OSError or TimeoutError."""
    for name in ("ssl_context", "sasl_plain_username", "sasl_plain_password"):
        if isinstance(given := options.get(name), (Certificates, Credential)):
            options[name] = given.current()
    protocol = options.get("security_protocol", "PLAINTEXT")
    try:
        connection = _Connection(host, port, **options)
        await connection.connect()
    except (KafkaError, OSError, TimeoutError) as error:
        _tell(f"{host}:{port}", error, protocol)
        raise
    except Exception as error:  # an answer that is no SASL; it would end a task that aiokafka needs
        raise KafkaConnectionError(f"login at {host}:{port} failed: {type(error).__name__}") from error
    if (heard := _listener.get()) is not None and not protocol.startswith("SASL_"):
        heard.hint = (
            "it took the connection and closed it at the first question: "
            "does it want a login? (kafka.security_protocol SASL_…)"
        )
    return connection


client.create_conn = enter


def _tell(where: str, error: Exception, protocol: str) -> None:
    why, heard = refusal(error), _listener.get()
    if heard is not None and heard.is_open:
        heard.refusal = heard.refusal or why
        heard.hint = _hint(error, protocol) or heard.hint
    elif why is not None and time.monotonic() - _said.get(why, float("-inf")) > _SAY_AGAIN_SECONDS:
        _said[why] = time.monotonic()
        log.warning("no way in to Kafka at %s: %s", where, why)


def refusal(error: BaseException) -> str | None:
    """Why a broker and we will not come together, and what to do; None if it is no matter of login or TLS."""
    for cause in (error, error.__cause__):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _unverified(cause)
        if isinstance(cause, ssl.SSLError) and (said := _tls(cause)) is not None:
            return said
    if isinstance(error, IllegalSaslStateError):
        return "it asks for no login at this port: set kafka.security_protocol to SSL or PLAINTEXT"
    if isinstance(error, UnsupportedSaslMechanismError):
        offered = f" ({error.args[0]})" if error.args and isinstance(error.args[0], str) else ""
        return f"it does not take this login: set kafka.sasl_mechanism to one that the broker has enabled{offered}"
    if isinstance(error, AUTHENTICATION):
        said = " ".join(str(argument) for argument in error.args if isinstance(argument, str))
        return f"the login is refused ({said or type(error).__name__}): see kafka.sasl_* and kafka.oauth_*"
    return None


def _unverified(error: ssl.SSLCertVerificationError) -> str:
    code, said = error.verify_code, error.verify_message
    if code == _EXPIRED:
        return "the broker's certificate has expired: it needs a new one"
    if code == _NOT_YET_VALID:
        return "the broker's certificate is not valid yet: see the clocks"
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        return (
            f"the broker's certificate is for another name ({said}): name it in kafka.bootstrap_servers and "
            "advertised.listeners as its certificate does (subject alternative name)"
        )
    if code in _UNKNOWN_AUTHORITY:
        return f"the broker's certificate is of an authority that kafka.ssl_ca_file does not hold ({said})"
    return f"the broker's certificate is not valid ({said})"


def _tls(error: ssl.SSLError) -> str | None:
    reason = error.reason or ""
    if reason.endswith("ALERT_CERTIFICATE_EXPIRED"):
        return "the broker says that our certificate has expired: renew the file in kafka.ssl_certificate_file"
    if "ALERT" in reason:
        return (
            f"the broker wants a certificate of ours that it trusts and that is valid now ({reason}): "
            "see kafka.ssl_certificate_file"
        )
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "it does not speak TLS at this port: set kafka.security_protocol to PLAINTEXT or SASL_PLAINTEXT"
    return None


def _hint(error: Exception, protocol: str) -> str | None:
    if isinstance(error, (ssl.SSLError, ConnectionResetError)):  # in the midst of TLS
        return "it ended the TLS handshake: does it speak TLS at this port? (kafka.security_protocol)"
    if isinstance(error, KafkaConnectionError):
        return _AT_FIRST_WORD[protocol]
    return None
