"""HTTP to the provider: the key, time limits, retries of reads, and the audit line of every write.

Knows no generation of the API and no object of it. Nothing but a read is ever sent twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from tunesmith.cloud.audit import AuditTrail, Write
from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.errors import CloudError, error_of, error_of_answer, error_of_transport
from tunesmith.cloud.gate import Gate
from tunesmith.cloud.retries import ReadRetries
from tunesmith.cloud.shapes import NotUnderstoodError
from tunesmith.planning.decision import ErrorClass

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
LONGEST_ANSWER_BYTES = 32 * 2**20

Fact = TypeVar("Fact")

# method, collection, outcome ("ok" or the class of its error), seconds
Observer = Callable[[str, str, str, float], None]


@dataclass(frozen=True)
class Request:
    """One request. `path` begins with a slash; `doing` completes the sentence "Could not ...".

    `creates`: a repeat would make a second thing, so what is not definite about it is ambiguous.
    """

    method: str
    path: str
    collection: str
    doing: str
    params: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    creates: bool = False


class Transport:
    """Requests with one credential to one address."""

    def __init__(
        self,
        base_url: str,
        credential: ApiCredential,
        *,
        gate: Gate,
        request_seconds: float = REQUEST_SECONDS,
        retries: ReadRetries | None = None,
        observer: Observer | None = None,
        trail: AuditTrail | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`http` replaces the network in tests."""
        self.credential = credential
        self._gate = gate
        self._request_seconds = request_seconds
        self._retries = retries or ReadRetries()
        self._observer = observer
        self._trail = trail or AuditTrail()
        self._monotonic = monotonic
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/").removesuffix("/v1"),  # both forms of the provider's address are in use
            timeout=httpx.Timeout(request_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,  # a redirect would carry the key to another host
            trust_env=False,  # so would a proxy that the environment names
            transport=http,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def read(self, request: Request) -> object:
        """The decoded answer of a read, tried a few times. Raises `CloudError`."""

        async def ask() -> object:
            await self._gate.enter(request.doing, creates=False)
            return await self._send(request)

        return await self._retries.run(ask)

    async def read_or_none(self, request: Request) -> object | None:
        """The same for one object; None only when the provider says that it does not exist."""
        try:
            return await self.read(request)
        except CloudError as error:
            if error.failure.error is ErrorClass.NOT_FOUND:
                return None
            raise

    async def create(
        self, request: Request, write: Write, reader: Callable[[object], Fact], *, deadline: float | None = None
    ) -> Fact:
        """What the answer of a write holds, sent once and only until `deadline` (monotonic seconds). Audited.

        It is read before the end is written down: an answer that cannot be understood is no success.
        """
        await self._gate.enter(request.doing, creates=request.creates)
        if deadline is not None and self._monotonic() > deadline:
            raise error_of(ErrorClass.NOT_SENT, request.doing)
        line = self._begun(request, write)
        outcome, made = "ok", None
        try:
            answer = await self._send(request)
            made = write.id_in(answer)
            return understood(reader, answer, request)
        except CloudError as error:
            outcome = error.failure.error.value
            raise
        except asyncio.CancelledError:
            outcome = "Cancelled"
            raise
        finally:
            self._trail.ended(line, outcome, made)

    async def write(self, request: Request, write: Write) -> None:
        """A write whose answer says no more than that it was taken, sent once. Audited."""
        await self.create(request, write, lambda answer: answer)

    async def delete(self, request: Request, write: Write) -> None:
        """A delete, sent once. Already gone counts as done."""
        try:
            await self.write(request, write)
        except CloudError as error:
            if error.failure.error is not ErrorClass.NOT_FOUND:
                raise

    def _begun(self, request: Request, write: Write) -> dict[str, object]:
        """What cannot be written down is not bought; giving money back does not wait for a full disk."""
        line = self._trail.line(write, self.credential.fingerprint)
        try:
            self._trail.begun(line)
        except OSError:
            if write.spends:
                because = "the audit log cannot be written, and nothing is bought unrecorded"
                error = ErrorClass.NOT_SENT if request.creates else ErrorClass.UNAVAILABLE
                raise error_of(error, request.doing, because=because) from None
        return line

    async def _send(self, request: Request) -> object:
        self._gate.admit(request.doing, creates=request.creates)
        begun = self._monotonic()
        try:
            async with asyncio.timeout(self._request_seconds + CONNECT_SECONDS):
                answer = await self._exchange(request)
        except (httpx.HTTPError, TimeoutError) as cause:
            error = error_of_transport(request.doing, cause, creates=request.creates)
            self._ended(request, begun, error)
            raise error from None
        except CloudError as error:
            self._ended(request, begun, error)
            raise
        self._ended(request, begun, None)
        return answer

    def _ended(self, request: Request, begun: float, error: CloudError | None) -> None:
        self._gate.ended(error)
        if self._observer is not None:
            outcome = "ok" if error is None else error.failure.error.value
            self._observer(request.method, request.collection, outcome, self._monotonic() - begun)

    async def _exchange(self, request: Request) -> object:
        # bytes: a key that is not ASCII is wrong, and the provider says so better than an encoder does
        key = self.credential.api_key.get_secret_value().encode()
        sent = self._http.build_request(
            request.method,
            request.path,
            params=request.params,
            json=request.body,
            headers={b"Authorization": b"Bearer " + key, b"Accept": b"application/json"},
        )
        response = await self._http.send(sent, stream=True)
        try:
            content = await _limited(response, request)
        finally:
            await response.aclose()
        if not response.is_success:
            raise error_of_answer(
                request.doing,
                method=request.method,
                creates=request.creates,
                status=response.status_code,
                text=content.decode(errors="replace"),
                retry_after=response.headers.get("retry-after"),
            )
        if request.method == "GET" and not content:
            raise unclear(request)
        try:
            return json.loads(content or b"null")
        except (ValueError, RecursionError):
            raise unclear(request) from None


def understood(reader: Callable[[object], Fact], body: object, request: Request) -> Fact:
    """The fact that an answer holds. Raises `CloudError` when it does not have the shape that it must have."""
    try:
        return reader(body)
    except NotUnderstoodError:
        raise unclear(request) from None


def unclear(request: Request) -> CloudError:
    """The error of an answer that cannot be understood: it may have been done all the same."""
    return error_of(ErrorClass.AMBIGUOUS if request.creates else ErrorClass.UNAVAILABLE, request.doing)


async def _limited(response: httpx.Response, request: Request) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > LONGEST_ANSWER_BYTES:
            raise unclear(request)
    return bytes(content)
