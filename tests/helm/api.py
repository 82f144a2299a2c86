"""A Kubernetes API server, as far as the tests need one: objects by their path, and what happens to them."""

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Object = dict[str, Any]
NO_ANSWER = 503
_WATCH_SECONDS = 300
_AGAIN_SECONDS = 0.5
_MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """What the server says instead of doing it, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """One server. Paths are those of the REST API: `api/v1/namespaces/a/pods/b`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> Object:
        """An object, or a list of them. Raises ApiError."""
        return await self._ask("GET", path)

    async def items(self, path: str, **query: str) -> list[Object]:
        """The objects of a list. Raises ApiError."""
        found: list[Object] = (await self._ask("GET", path, query=query))["items"]
        return found

    async def create(self, path: str, new: Object) -> Object:
        """Raises ApiError."""
        return await self._ask("POST", path, new)

    async def merge(self, path: str, change: Object) -> Object:
        """Change what is named, and replace lists as a whole. Raises ApiError."""
        return await self._ask("PATCH", path, change)

    async def delete(self, path: str, **options: Any) -> None:
        """Raises ApiError."""
        await self._ask("DELETE", path, options)

    async def watch(self, path: str, **query: str) -> AsyncIterator[tuple[str, Object]]:
        """`ADDED`, `MODIFIED` or `DELETED` with the object, first of those that are there; goes on until it is left."""
        known: dict[str, Object] = {}
        while True:
            found = await self._list(path, query)
            listed = {each["metadata"]["uid"]: each for each in found["items"]}
            for uid in known.keys() - listed.keys():
                yield "DELETED", known.pop(uid)
            for uid, each in listed.items():
                yield ("MODIFIED" if uid in known else "ADDED"), each
            known = listed
            async for what, each in self._changes(path, query, found["metadata"]["resourceVersion"]):
                known[each["metadata"]["uid"]] = each
                if what == "DELETED":
                    del known[each["metadata"]["uid"]]
                yield what, each
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _list(self, path: str, query: Mapping[str, str]) -> Object:
        """As soon as the server answers."""
        while True:
            try:
                return await self._ask("GET", path, query=query)
            except ApiError as error:
                if error.status != NO_ANSWER:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _changes(self, path: str, query: Mapping[str, str], version: str) -> AsyncIterator[tuple[str, Object]]:
        """Until the server ends it, which it may at any time."""
        given = {**query, "watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        try:
            async with self._session.get(f"/{path}", params=given) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                        return
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError):
            return

    async def _ask(
        self, method: str, path: str, body: Object | None = None, query: Mapping[str, str] | None = None
    ) -> Object:
        kind = {"Content-Type": _MERGE if method == "PATCH" else "application/json"}
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(method, f"/{path}", params=query, data=data, headers=kind) as answer:
                said: Object = await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(NO_ANSWER, f"no answer of the API server: {error}") from None
        if answer.status >= 400:
            raise ApiError(answer.status, said.get("message") or answer.reason or "")
        return said


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Api]:
    """By the current context of a kubeconfig that has a token or a client certificate."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster, user = (_named(config[f"{kind}s"], context[kind])[kind] for kind in ("cluster", "user"))
    if not {"token", "client-certificate", "client-certificate-data"} & user.keys():
        raise ApiError(401, f"user '{context['user']}' of {kubeconfig} has neither a token nor a client certificate")
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    connector = aiohttp.TCPConnector(ssl=_trust(cluster, user), limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    async with aiohttp.ClientSession(
        cluster["server"], headers=headers, connector=connector, timeout=timeout, read_bufsize=2**22
    ) as session:
        yield Api(session)


def _named(entries: list[Object], name: str) -> Object:
    (found,) = [each for each in entries if each["name"] == name]
    return found


def _trust(cluster: Object, user: Object) -> ssl.SSLContext:
    authority = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=None if authority is None else base64.b64decode(authority).decode(),
    )
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as folder:  # the library takes files only
        pair = [_file(user, name, Path(folder)) for name in ("client-certificate", "client-key")]
        if pair[0] is not None:
            context.load_cert_chain(pair[0], pair[1])
    return context


def _file(user: Object, name: str, folder: Path) -> str | None:
    data = user.get(f"{name}-data")
    if data is None:
        return user.get(name)
    (folder / name).write_bytes(base64.b64decode(data))
    return str(folder / name)
