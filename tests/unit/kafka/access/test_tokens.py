"""Tokens for OAUTHBEARER: asked for once, renewed in time, and what is said when there are none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestServer
from aiokafka.errors import AuthenticationFailedError

from inferstream.errors import SettingsError
from inferstream.kafka.access import credentials
from inferstream.kafka.access.tokens import Tokens, tokens
from inferstream.settings import KafkaSettings

TestServer.__test__ = False


class Authority:
    """An authorization server."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, dict[str, str]]] = []
        self.answer: object = {"expires_in": 100}
        self.status = 200
        self.url = ""

    async def grant(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((request.headers.get("Authorization"), form))
        given = self.answer
        if isinstance(given, dict) and "access_token" not in given:
            given = {"access_token": f"token-{len(self.asked)}", **given}
        headers = {"Location": "/elsewhere"} if self.status == 307 else {}
        return web.json_response(given, status=self.status, headers=headers)


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    made = Authority()
    app = web.Application()
    app.router.add_post("/token", made.grant)
    app.router.add_post("/elsewhere", made.grant)
    async with TestServer(app) as server:
        made.url = f"http://localhost:{server.port}/token"
        yield made


def client(authority: Authority, **changes: object) -> Tokens:
    given = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "OAUTHBEARER",
        "oauth_token_url": authority.url,
        "oauth_client_id": "us",
        "oauth_client_secret": "hush+",
        "request_timeout_ms": 2_000,
        **changes,
    }
    return tokens(KafkaSettings.model_validate(given), asyncio.get_running_loop())


async def test_one_token_serves_all_connections(authority: Authority) -> None:
    asking = client(authority, oauth_scope="kafka")
    assert set(await asyncio.gather(*(asking.token() for _ in range(5)))) == {"token-1"}
    assert client(authority, oauth_scope="kafka") is asking
    form = {"grant_type": "client_credentials", "scope": "kafka"}
    assert authority.asked == [(encode_basic_auth("us", "hush%2B"), form)]


async def test_a_token_is_renewed_before_it_ends(authority: Authority) -> None:
    authority.answer = {"expires_in": 1}
    asking = client(authority)
    assert await asking.token() == "token-1"
    await asyncio.sleep(0.85)
    assert await asking.token() == "token-2"


async def test_a_token_that_still_lives_bridges_an_outage(authority: Authority) -> None:
    authority.answer = {"expires_in": 3}
    asking = client(authority)
    await asking.token()
    authority.status = 503
    await asyncio.sleep(2.5)
    assert await asking.token() == "token-1"
    await asyncio.sleep(0.6)
    with pytest.raises(AuthenticationFailedError, match="it answers with status 503"):
        await asking.token()


async def test_without_an_end_it_is_asked_for_each_time(authority: Authority) -> None:
    authority.answer = {}
    asking = client(authority)
    assert [await asking.token(), await asking.token()] == ["token-1", "token-2"]


async def test_the_secret_is_read_anew_and_follows_no_redirect(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first\n")
    authority.answer = {}
    asking = client(authority, oauth_client_secret=None, oauth_client_secret_file=file)
    await asking.token()
    file.write_text("second\n")
    await asking.token()
    assert [given for given, _ in authority.asked] == [encode_basic_auth("us", s) for s in ("first", "second")]
    authority.status = 307
    with pytest.raises(AuthenticationFailedError, match="status 307"):
        await asking.token()
    assert len(authority.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [[], "token", {"access_token": None}, {"access_token": ""}, {"access_token": "a\x01auth=b"}, {"access_token": "é"}],
)
async def test_an_answer_without_a_token_is_said(authority: Authority, answer: object) -> None:
    authority.answer = answer
    with pytest.raises(AuthenticationFailedError) as told:
        await client(authority).token()
    assert f"no token from kafka.oauth_token_url {authority.url}: its answer holds no access_token" in str(told.value)
    assert "hush" not in str(told.value)


async def test_nobody_there_is_said(authority: Authority) -> None:
    with pytest.raises(AuthenticationFailedError, match="ClientConnectorError"):
        await client(authority, oauth_token_url="http://localhost:1/token").token()


async def test_a_token_in_a_file_is_read_for_each_connection(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "token"
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth_token_file": file}
    settings, loop = KafkaSettings.model_validate(given), asyncio.get_running_loop()
    with pytest.raises(SettingsError, match=r"^kafka.oauth_token_file: .* cannot be read"):
        tokens(settings, loop)
    for blank in ("", "\n", "  \n\n"):
        file.write_text(blank)
        with pytest.raises(SettingsError, match=r"^kafka.oauth_token_file: .* is empty"):
            tokens(settings, loop)
    file.write_text("zero")
    reading = tokens(settings, loop)
    for blank in ("", " \n"):
        file.write_text(blank)
        with pytest.raises(AuthenticationFailedError, match=r"kafka.oauth_token_file: .* is empty"):
            await reading.token()
    for text in ("one", "two"):
        file.write_text(f"{text}\n")
        assert await reading.token() == text


async def test_a_file_without_a_token_is_seen_before_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_made", [])
    file = tmp_path / "token"
    file.write_text("one")
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth_token_file": file}
    tokens(KafkaSettings.model_validate(given), asyncio.get_running_loop())
    assert not credentials.are_stale()
    file.write_text("")
    assert credentials.are_stale()
    file.write_text("two")
    assert not credentials.are_stale()
