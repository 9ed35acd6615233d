"""The API server as one node sees it: a few verbs over aiohttp with the node's own client certificate.

Knows how to be cut off: then every request fails as on a broken wire, until `reconnect`.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

Json = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
_REQUEST_SECONDS = 15.0
_WATCH_SECONDS = 300


class ApiError(Exception):
    """The API server refused: `status` is the HTTP status, `reason` Kubernetes' word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class Unreachable(Exception):
    """The API server could not be reached, or this node is cut off."""


@dataclass(frozen=True)
class Access:
    """A kubeconfig's current context with embedded data, as far as a node needs it."""

    server: str
    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes

    @classmethod
    def read(cls, kubeconfig: Path) -> "Access":
        """Read a kubeconfig; KeyError names what it lacks (file references and tokens are not used here)."""
        document: Json = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        context = _named(document["contexts"], document["current-context"])["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
        return cls(
            server=cluster["server"].rstrip("/"),
            ca_pem=base64.b64decode(cluster["certificate-authority-data"]),
            certificate_pem=base64.b64decode(user["client-certificate-data"]),
            key_pem=base64.b64decode(user["client-key-data"]),
        )

    @property
    def host(self) -> str:
        """The API server's host, as pods are told it."""
        return urlsplit(self.server).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The API server's port, as pods are told it."""
        return urlsplit(self.server).port or 443


class Api:
    """An open connection pool. Use as an async context manager; paths begin with `/api` or `/apis`."""

    def __init__(self, access: Access, directory: Path, user_agent: str) -> None:
        self.access = access
        self._tls = _client_tls(access, directory)
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._cut = False
        self._watched: set[aiohttp.StreamReader] = set()

    async def __aenter__(self) -> "Api":
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def cut_off(self) -> None:
        """Drop every connection and refuse new requests."""
        self._cut = True
        for stream in self._watched:  # closing the session alone leaves its readers waiting for ever
            stream.set_exception(aiohttp.ClientConnectionError("cut off"))
        await self._close()

    def reconnect(self) -> None:
        """End `cut_off`."""
        if self._cut:
            self._cut = False
            self._open()

    async def get(self, path: str, **params: str) -> Json:
        """GET one object or list."""
        return await self._request("GET", path, params=params)

    async def post(self, path: str, body: Json) -> Json:
        """POST one object."""
        return await self._request("POST", path, body=body)

    async def patch(self, path: str, body: Json) -> Json:
        """Merge-patch one object."""
        return await self._request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def delete(self, path: str, body: Json | None = None) -> Json:
        """DELETE one object with optional DeleteOptions."""
        return await self._request("DELETE", path, body=body)

    async def watch(self, path: str, **params: str) -> AsyncIterator[Json]:
        """The events of one watch until the server ends it; ApiError 410 means: list again."""
        query = {**params, "watch": "true", "timeoutSeconds": str(_WATCH_SECONDS), "allowWatchBookmarks": "true"}
        limit = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST_SECONDS, sock_read=_WATCH_SECONDS + 30)
        try:
            async with self._alive().get(self.access.server + path, params=query, timeout=limit) as response:
                await _raise_for_error(response)
                self._watched.add(response.content)
                try:
                    async for line in _lines(response.content):
                        yield _event(json.loads(line))
                finally:
                    self._watched.discard(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            raise Unreachable(str(error)) from error

    async def _request(
        self, verb: str, path: str, *, params: Mapping[str, str] | None = None, body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:  # fmt: skip
        headers = {"Content-Type": content_type} if body is not None else {}
        data = json.dumps(body) if body is not None else None
        url = self.access.server + path
        try:
            async with self._alive().request(verb, url, params=params, data=data, headers=headers) as response:
                await _raise_for_error(response)
                answer: Json = await response.json()
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            raise Unreachable(f"{verb} {path}: {error}") from error

    def _alive(self) -> aiohttp.ClientSession:
        if self._cut or self._session is None:
            raise Unreachable("this node is cut off from the API server")
        return self._session

    def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            headers={"User-Agent": self._user_agent},
        )

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)


def _client_tls(access: Access, directory: Path) -> ssl.SSLContext:
    """TLS with the node's certificate. OpenSSL takes it from a file only: one that nobody else may read."""
    context = ssl.create_default_context(cadata=access.ca_pem.decode())
    pair = directory / "client.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(access.certificate_pem + b"\n" + access.key_pem)
    context.load_cert_chain(pair)
    return context


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; the stream's own reader has a limit that large objects would meet."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def _event(event: Json) -> Json:
    if event["type"] == "ERROR":
        status = event["object"]
        raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
    return event


async def _raise_for_error(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    text = await response.text()
    try:
        status = json.loads(text)
        raise ApiError(response.status, status.get("reason", ""), status.get("message", ""))
    except ValueError:
        raise ApiError(response.status, "", text[:300]) from None


def _named(entries: list[Json], name: str) -> Json:
    return next(entry for entry in entries if entry["name"] == name)
