"""Why a broker does not let us in, and who hears of it."""

import asyncio
import logging
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiokafka import client
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import ApiVersionRequest

from inferstream.kafka.access.credentials import Credential
from inferstream.kafka.access.entrance import enter, listening, refusal


def test_aiokafka_connects_by_it() -> None:
    """A version of aiokafka that does so in another way would keep passwords and certificates for ever."""
    assert client.create_conn is enter


def test_what_is_no_matter_of_login_is_no_refusal() -> None:
    for error in (ConnectionRefusedError("no"), KafkaConnectionError("closed"), TimeoutError()):
        assert refusal(error) is None


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker of nobody: it says no more than a port that speaks no TLS."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_who_listens_hears_why_and_else_it_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        options = {"security_protocol": "SSL", "ssl_context": ssl.create_default_context()}
        with listening() as heard, pytest.raises(OSError, match="WRONG_VERSION_NUMBER"):
            await enter("127.0.0.1", port, **options)
        assert "it does not speak TLS at this port" in str(heard.refusal)
        assert "no way in" not in caplog.text
        for _ in range(2):
            with pytest.raises(OSError, match="WRONG_VERSION_NUMBER"):
                await enter("127.0.0.1", port, **options)
        assert caplog.text.count("no way in to Kafka at 127.0.0.1") == 1


async def test_a_task_that_outlives_the_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """aiokafka's own tasks begin while we listen to the start, and connect again long after."""
    gone = asyncio.Event()

    async def connect_again() -> None:
        await gone.wait()
        with pytest.raises(ConnectionRefusedError):
            await enter("127.0.0.1", 1, security_protocol="PLAINTEXT")

    with listening() as heard:
        task = asyncio.create_task(connect_again())
    gone.set()
    await task
    assert not heard.is_open
    assert heard.hint is None


def test_a_refused_login_says_what_the_broker_said() -> None:
    said = refusal(SaslAuthenticationFailed("Authentication failed: Invalid username or password"))
    assert said == (
        "the login is refused (Authentication failed: Invalid username or password): see kafka.sasl_* and kafka.oauth_*"
    )


def test_an_expired_certificate_of_ours_is_said_as_the_broker_says_it() -> None:
    alert = ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] alert")
    alert.reason = "SSLV3_ALERT_CERTIFICATE_EXPIRED"
    closed = KafkaConnectionError("closed")
    closed.__cause__ = alert
    assert refusal(closed) == (
        "the broker says that our certificate has expired: renew the file in kafka.ssl_certificate_file"
    )


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ("PLAINTEXT", "does it want TLS? (kafka.security_protocol SSL or SASL_SSL)"),
        ("SASL_PLAINTEXT", "does it want TLS (kafka.security_protocol SASL_SSL), or another login? (kafka.sasl_…)"),
        ("SSL", "does it want a login (kafka.security_protocol SASL_SSL), or a certificate of ours?"),
        ("SASL_SSL", "does it want another login (kafka.sasl_… and kafka.oauth_…), or a certificate of ours?"),
    ],
)
async def test_a_broker_that_hangs_up_at_the_first_word_gets_the_hint_of_its_protocol(protocol: str, said: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()
        await writer.wait_closed()

    authority, ours = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    tls = protocol.endswith("SSL")
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=ours if tls else None) as server:
        port = server.sockets[0].getsockname()[1]
        with listening() as heard, pytest.raises(KafkaConnectionError):
            await enter("127.0.0.1", port, security_protocol=protocol, ssl_context=trusting if tls else None)
    assert said in str(heard.hint)


class Doorkeeper:
    """As much of a broker as a login asks of one."""

    def __init__(self, lives_ms: int, answer: bytes = b"", refuses: int = 0) -> None:
        self._answers: dict[int, Callable[[], bytes]] = {
            18: lambda: struct.pack(">hi", 0, 3) + struct.pack(">9h", 17, 0, 1, 18, 0, 0, 36, 0, 1),
            17: lambda: struct.pack(">hi", refuses, 2) + b"\0\x05PLAIN\0\x0bOAUTHBEARER",
            36: lambda: struct.pack(">hhi", 0, -1, len(answer)) + answer + struct.pack(">q", lives_ms),
        }
        self.visits: set[asyncio.Task[None] | None] = set()
        self.logins: list[bytes] = []
        self.answering = asyncio.Event()
        self.answering.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits.add(asyncio.current_task())
        while not reader.at_eof():
            try:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
            except asyncio.IncompleteReadError:
                break
            request = await reader.readexactly(size)
            api, _, number = struct.unpack(">hhi", request[:8])
            if api == 36:
                self.logins.append(request)
            await self.answering.wait()
            answer = struct.pack(">i", number) + self._answers[api]()
            writer.write(struct.pack(">i", len(answer)) + answer)
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def door(keeper: Doorkeeper) -> AsyncIterator[Callable[..., Awaitable[object]]]:
    async with await asyncio.start_server(keeper.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        def come_in(**options: object) -> Awaitable[object]:
            plain = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "u", "sasl_plain_password": "p"}
            return enter("127.0.0.1", port, security_protocol="SASL_PLAINTEXT", **{**plain, **options})

        yield come_in
        await asyncio.gather(*(visit for visit in keeper.visits if visit))


async def test_a_connection_is_replaced_before_its_login_ends_but_not_while_it_is_used() -> None:
    keeper = Doorkeeper(lives_ms=500)
    async with door(keeper) as come_in:
        connection = await enter_as(come_in)
        assert connection.connected()
        keeper.answering.clear()
        asked = asyncio.ensure_future(connection.send(ApiVersionRequest()))
        await asyncio.sleep(0.45)
        assert connection.connected(), "an answer is on its way"
        keeper.answering.set()
        await asked
        assert not connection.connected()


async def test_user_and_password_are_those_of_the_moment(tmp_path: Path) -> None:
    """A rotated login is often another user too."""
    user, secret = tmp_path / "username", tmp_path / "password"
    login = {"sasl_plain_username": user, "sasl_plain_password": secret}
    keeper = Doorkeeper(0)
    for round_ in ("one", "two"):
        user.write_text(f"user-{round_}")
        secret.write_text(f"word-{round_}")
        if round_ == "one":
            given = {name: Credential(name, None, file) for name, file in login.items()}
        async with door(keeper) as come_in:
            (await enter_as(come_in, **given)).close()
    assert [login.rpartition(b"\0user-")[2] for login in keeper.logins] == [b"one\0word-one", b"two\0word-two"]


@pytest.mark.parametrize("refuses", [0, 33], ids=["not among them", "refused"])
async def test_a_mechanism_that_the_broker_has_not_is_told_with_those_it_has(refuses: int) -> None:
    async with door(Doorkeeper(0, refuses=refuses)) as come_in:
        with listening() as heard, pytest.raises(UnsupportedSaslMechanismError):
            await come_in(sasl_mechanism="SCRAM-SHA-512")
    assert heard.refusal == (
        "it does not take this login: set kafka.sasl_mechanism to one that the broker has enabled (PLAIN, OAUTHBEARER)"
    )


async def test_a_connection_that_a_login_opened_is_not_asked_for_one() -> None:
    async with door(Doorkeeper(lives_ms=0)) as come_in:
        with listening() as heard:
            (await enter_as(come_in)).close()
    assert heard.hint is None


async def test_a_login_without_an_end_is_kept() -> None:
    async with door(Doorkeeper(lives_ms=0)) as come_in:
        connection = await enter_as(come_in)
        await asyncio.sleep(0.1)
        assert connection.connected()
        connection.close()


class Token(AbstractTokenProvider):  # type: ignore[misc]
    async def token(self) -> str:
        return "token"


async def test_a_token_that_the_broker_refuses_is_no_login() -> None:
    """It says so in a challenge, which a client may take for a welcome."""
    bearer = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Token()}
    async with door(Doorkeeper(0, b'{"status":"invalid_token"}')) as come_in:
        with pytest.raises(AuthenticationFailedError, match="invalid_token"):
            await come_in(**bearer)
    async with door(Doorkeeper(0)) as come_in:
        (await enter_as(come_in, **bearer)).close()


async def enter_as(come_in: Callable[..., Awaitable[object]], **options: object) -> AIOKafkaConnection:
    connection = await come_in(**options)
    assert isinstance(connection, AIOKafkaConnection)
    return connection
