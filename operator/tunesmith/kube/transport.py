"""One request to a Kubernetes API server, or one stream from it: limited in time and size, measured, and gated.

Every failure is a `KubeError`. Nothing is retried here, because the work queue retries. What is asked for is the
business of `client.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from tunesmith.kube.errors import KubeError, from_status, unreachable
from tunesmith.kube.kinds import ObjectKind

REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 5.0
LONGEST_ANSWER_BYTES = 64 * 2**20

Answer = TypeVar("Answer")

# verb, kind, outcome ("ok" or the HTTP status or "unreachable"), seconds
RequestObserver = Callable[[str, str, str, float], None]


class Transport:
    """The way to one API server. All methods raise `KubeError`."""

    def __init__(
        self,
        api: ApiClient,
        *,
        observer: RequestObserver | None = None,
        gate: Callable[[str], None] | None = None,
        request_seconds: float = REQUEST_SECONDS,
        connector: aiohttp.BaseConnector | None = None,
    ) -> None:
        """`gate` is asked before each request, with what it is for, and may raise `KubeError`.

        `connector` is one that was handed to `api`, which therefore leaves closing it to us.
        """
        self._api = api
        self._observer = observer
        self._gate = gate
        self._request_seconds = request_seconds
        self._connector = connector
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def close_when_idle(self, longest_seconds: float) -> None:
        """Let the requests in flight end, for so long at most, then close. Streams that are open end with it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_seconds):
                await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        if self._connector is not None:
            await self._connector.close()

    async def json(
        self,
        method: str,
        path: str,
        what: str,
        kind: ObjectKind,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        accept: str | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """One request and its whole answer."""

        async def exchange() -> dict[str, Any]:
            headers = {"Accept": accept or "application/json", "Content-Type": content_type}
            response = await self._send(method, path, query or {}, headers, body)
            async with response:
                await _raise_for_status(response, what)
                return parsed(await _whole(response, what), what)

        return await self._measured(method, kind, what, exchange)

    async def lines(
        self, path: str, what: str, kind: ObjectKind, query: Mapping[str, str], inactivity_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a streamed answer."""

        async def opened() -> aiohttp.ClientResponse:
            response = await self._send("GET", path, query, {"Accept": "application/json, */*"}, None, streamed=True)
            try:
                await _raise_for_status(response, what)
            except BaseException:
                response.close()
                raise
            return response

        response = await self._measured("WATCH", kind, what, opened)
        try:
            while True:
                async with asyncio.timeout(inactivity_seconds):
                    line = await response.content.readline()
                if not line:
                    return
                if line.strip():
                    yield line.rstrip(b"\r\n")
        except TimeoutError as error:
            raise unreachable(what, f"the stream was silent for {inactivity_seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(what, f"the stream broke ({type(error).__name__})") from error
        finally:
            response.close()

    async def _measured(
        self, verb: str, kind: ObjectKind, what: str, request: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Run a request under the time limit, with every failure as `KubeError`."""
        if self._gate is not None:
            self._gate(what)
        begun = time.monotonic()
        outcome = "unreachable"
        self._in_flight += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(self._request_seconds):
                answer = await request()
            outcome = "ok"
            return answer
        except KubeError as error:
            outcome = str(error.status)
            raise
        except TimeoutError as error:
            raise unreachable(what, f"no answer within {self._request_seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(what, f"the API server cannot be reached ({type(error).__name__})") from error
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            if self._observer is not None:
                self._observer(verb, kind.kind, outcome, time.monotonic() - begun)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: dict[str, str],
        body: object,
        *,
        streamed: bool = False,
    ) -> aiohttp.ClientResponse:
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        total = None if streamed else self._request_seconds
        limits = aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_SECONDS)
        answer = await self._api.call_api(method, url, header_params=headers, body=body, _request_timeout=limits)
        response: aiohttp.ClientResponse = answer.response
        return response


async def _whole(response: aiohttp.ClientResponse, what: str) -> bytes:
    """The body up to its end, refused when it is larger than any real answer."""
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > LONGEST_ANSWER_BYTES:
            raise unreachable(what, f"the API server's answer is larger than {LONGEST_ANSWER_BYTES} bytes")
    return bytes(data)


async def _raise_for_status(response: aiohttp.ClientResponse, what: str) -> None:
    if response.status < 300:
        return
    message = ""
    with suppress(ValueError, AttributeError):
        message = str(json.loads(await response.content.read(2**16)).get("message", ""))
    raise from_status(what, response.status, message, _retry_after_seconds(response.headers.get("Retry-After")))


def _retry_after_seconds(header: str | None) -> float | None:
    """Only the form in seconds: Kubernetes sends no dates."""
    return float(header) if header and header.isdigit() else None


def parsed(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object; anything else is no answer of an API server. `what` was asked for."""
    parsed = json.loads(data)
    if not isinstance(parsed, dict):
        raise unreachable(what, "the API server's answer is not an object")
    return parsed
