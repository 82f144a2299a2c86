"""Tokens for SASL OAUTHBEARER: from a file that somebody else renews, or asked for with client credentials."""

import asyncio
import time
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote_plus

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from inferstream.errors import SettingsError
from inferstream.kafka.access.credentials import credential, follow, secret_in
from inferstream.settings import KafkaSettings

_KEEP_SHARE = 0.8  # of a token's life; the rest is for asking again when that fails


class _Source(Protocol):
    async def token(self) -> str: ...


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Gives every connection a token that is valid now. What fails is a failed login to aiokafka."""

    def __init__(self, source: _Source) -> None:
        self._source = source

    async def token(self) -> str:
        """Raises AuthenticationFailedError."""
        try:
            return await self._source.token()
        except SettingsError as error:
            raise AuthenticationFailedError(str(error)) from None


class FileTokens:
    """The token in a file, read for each connection: it lives for minutes. Raises SettingsError without one."""

    def __init__(self, settings: KafkaSettings) -> None:
        if settings.oauth_token_file is None:
            raise SettingsError("kafka.oauth_token_file is not set")
        self._file = settings.oauth_token_file
        self._read()
        self.is_stale = False
        """Whether the file as it was last looked at holds no token."""

    def current(self) -> None:
        """Look at the file."""
        try:
            self._read()
        except SettingsError:
            self.is_stale = True
        else:
            self.is_stale = False

    async def token(self) -> str:
        """Raises SettingsError where there is none."""
        return self._read()

    def _read(self) -> str:
        if not (found := secret_in(self._file, "oauth_token_file").strip()):
            raise SettingsError(f"kafka.oauth_token_file: {self._file} is empty")
        return found


class AskedTokens:
    """Tokens of an authorization server; one is used for all connections until 80 % of its life are over."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._secret = credential(
            "oauth_client_secret_file", settings.oauth_client_secret, settings.oauth_client_secret_file
        )
        self._asking = asyncio.Lock()
        self._token = ""
        self._renew_at = self._ends_at = float("-inf")

    async def token(self) -> str:
        """Raises SettingsError if the server gives none and the last one is over."""
        async with self._asking:
            if time.monotonic() >= self._renew_at:
                try:
                    await self._renew()
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    if time.monotonic() >= self._ends_at:
                        raise SettingsError(self._failed(error)) from None
            return self._token

    async def _renew(self) -> None:
        url, client = self._settings.oauth_token_url or "", self._settings.oauth_client_id or ""
        form = {"grant_type": "client_credentials", "scope": self._settings.oauth_scope}
        timeout = aiohttp.ClientTimeout(total=self._settings.request_timeout_ms / 1000)
        login = aiohttp.encode_basic_auth(quote_plus(client), quote_plus(self._secret.current()))
        asked = time.monotonic()
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"Authorization": login}) as session,
            # A redirect would take the secret to a place that nobody has named.
            session.post(url, data={k: v for k, v in form.items() if v}, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"it answers with status {answer.status}")
            self._take(await answer.json(content_type=None), asked)

    def _take(self, told: Any, asked: float) -> None:
        token = told.get("access_token") if isinstance(told, dict) else None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise ValueError("its answer holds no access_token")
        seconds = told.get("expires_in", 0)  # not told: asked for again with each connection
        lives = float(seconds) if isinstance(seconds, (int, float)) and seconds > 0 else 0.0
        self._token, self._renew_at, self._ends_at = token, asked + _KEEP_SHARE * lives, asked + lives

    def _failed(self, error: Exception) -> str:
        why = str(error) if type(error) is ValueError else type(error).__name__
        return f"no token from kafka.oauth_token_url {self._settings.oauth_token_url}: {why}"


@lru_cache(maxsize=8)
def tokens(settings: KafkaSettings, loop: asyncio.AbstractEventLoop) -> Tokens:
    """One for all connections of a process, that they share a token. Raises SettingsError."""
    if settings.oauth_token_file is None:
        return Tokens(AskedTokens(settings))
    follow(given := FileTokens(settings))
    return Tokens(given)
