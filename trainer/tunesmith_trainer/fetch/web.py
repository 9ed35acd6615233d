"""Files and answers by http(s): time-outs, retries, ranges, and errors with a class.

Proxies and certificates by the usual variables (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE). A token goes to the host that
it was given for and not along with redirects to others. Addresses are said without their query: it may be a signature.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx

from tunesmith_trainer import __version__
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.transfer import BrokenError, Conditions, Opened, Patience, pause
from tunesmith_trainer.storage import BLOCK_BYTES

T = TypeVar("T")

WORTH_ASKING_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER_SECONDS = 120.0
# The only mark that needs no looking at: the address itself names the content, as a commit does.
IMMUTABLE = "immutable"


@dataclass(frozen=True)
class Asked:
    """What a request is for: its name in messages, its class when it is missing, and what to do when it is refused."""

    name: str
    error_class: ErrorClass
    when_refused: str


@dataclass(frozen=True)
class Probed:
    """What a server says of a file before it is fetched."""

    total_bytes: int | None
    mark: str | None


class Web:
    """A client for all requests of one stage."""

    def __init__(self, patience: Patience) -> None:
        self._client = httpx.Client(
            timeout=httpx.Timeout(
                connect=patience.connect_seconds,
                read=patience.read_seconds,
                write=patience.read_seconds,
                pool=None,
            ),
            follow_redirects=True,
            max_redirects=10,
            headers={"User-Agent": f"tunesmith-trainer/{__version__}", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> "Web":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def json(self, url: str, token: str | None, asked: Asked, conditions: Conditions) -> Any:
        """A small JSON answer, asked for again while that may help."""
        try:
            return json.loads(self._answer(url, token, asked, conditions, httpx.Response.read))
        except ValueError as error:
            raise TrainerError(
                ErrorClass.INFRASTRUCTURE, f"{asked.name}: {shown(url)} answered with something that is no JSON."
            ) from error

    def text(self, url: str, token: str | None, asked: Asked, conditions: Conditions) -> str:
        """A small text, asked for again while that may help."""
        return self._answer(url, token, asked, conditions, httpx.Response.read).decode("utf-8", errors="replace")

    def probe(self, url: str, asked: Asked, conditions: Conditions) -> Probed:
        """Size and version of a file, without its bytes. By a GET: addresses signed for it refuse a HEAD."""
        return self._answer(url, None, asked, conditions, lambda response: Probed(_length(response), _mark(response)))

    def _answer(
        self, url: str, token: str | None, asked: Asked, conditions: Conditions, read: Callable[[httpx.Response], T]
    ) -> T:
        failures = 0
        while True:
            conditions.guard()
            try:
                with self.stream(url, token, asked, {}) as response:
                    return read(response)
            except BrokenError as broken:
                failures += 1
                if failures >= conditions.patience.tries:
                    raise TrainerError(
                        ErrorClass.INFRASTRUCTURE,
                        f"{asked.name} could not be asked for after {failures} tries: {broken.reason}. "
                        "Check the network, the proxy and the source.",
                    ) from broken
                pause(conditions, max(conditions.patience.wait_seconds(failures), broken.retry_after_seconds or 0))

    @contextmanager
    def stream(self, url: str, token: str | None, asked: Asked, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """An answer with status 200, 206 or 416, whose body is still to be read."""
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                _judge(response, asked)
                yield response
        except httpx.TooManyRedirects as error:
            raise TrainerError(asked.error_class, f"{asked.name}: {shown(url)} redirects without end.") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise TrainerError(asked.error_class, f"{asked.name}: {shown(url)} leads to no http(s) address.") from error
        except httpx.TransportError as error:
            raise BrokenError(_reason(error, url)) from error


@dataclass(frozen=True)
class WebSource:
    """One file by http(s), as a source of a transfer."""

    web: Web
    url: str = field(repr=False)
    token: str | None = field(repr=False)
    asked: Asked
    immutable: bool = False

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return self.asked.name

    @property
    def error_class(self) -> ErrorClass:
        """What it is when the file is missing or wrong."""
        return self.asked.error_class

    def open(self, offset: int, mark: str | None) -> AbstractContextManager[Opened]:
        """Reads from `offset` on; from 0 when the server knows no ranges or has another version by now."""
        return self._opened(offset if mark is not None else 0, mark)

    @contextmanager
    def _opened(self, offset: int, mark: str | None) -> Iterator[Opened]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and mark is not None and not self.immutable:
            headers["If-Range"] = mark
        with self.web.stream(self.url, self.token, self.asked, headers) as response:
            if response.status_code == 416:
                # What is there is longer than the file is now.
                with self._opened(0, None) as again:
                    yield again
                return
            begins, total = _range(response)
            if begins not in (0, offset):
                raise BrokenError(f"the server answered with bytes from {begins} on instead of {offset}")
            yield Opened(
                offset=begins,
                total_bytes=total,
                mark=IMMUTABLE if self.immutable else _mark(response),
                blocks=_blocks(response),
            )


def shown(url: str) -> str:
    """An address as it may be said: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, "", ""))


def _judge(response: httpx.Response, asked: Asked) -> None:
    status = response.status_code
    if status in (200, 206, 416):
        return
    at = f"{shown(str(response.request.url))} answered {status}"
    if status in WORTH_ASKING_AGAIN:
        raise BrokenError(at, _retry_after(response))
    if status in (401, 403, 407):
        raise TrainerError(ErrorClass.CREDENTIALS, f"{asked.name} was refused ({at}). {asked.when_refused}")
    if status in (404, 410):
        raise TrainerError(asked.error_class, f"{asked.name} does not exist ({at}). Check its name and revision.")
    raise TrainerError(asked.error_class, f"{asked.name} cannot be fetched: {at}.")


def _reason(error: httpx.TransportError, url: str) -> str:
    host = urlsplit(url).hostname
    if isinstance(error, httpx.TimeoutException):
        return f"{host} did not answer in time ({type(error).__name__})"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            f"the certificate of {host} is not trusted; give the bundle of the authority that signed it (SSL_CERT_FILE)"
        )
    return f"{host}: {str(error)[:300] or type(error).__name__}"


def _blocks(response: httpx.Response) -> Iterator[bytes]:
    """The body in blocks worth a write; what came before it broke off comes too."""
    block = bytearray()
    try:
        for piece in response.iter_raw():
            block += piece
            if len(block) >= BLOCK_BYTES:
                yield bytes(block)
                block.clear()
    except httpx.TransportError:
        if block:
            yield bytes(block)
        raise
    if block:
        yield bytes(block)


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return min(float(value), LONGEST_RETRY_AFTER_SECONDS)
    try:
        seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(response.headers["Date"])).total_seconds()
    except (ValueError, KeyError, TypeError):
        return None
    return max(0.0, min(seconds, LONGEST_RETRY_AFTER_SECONDS))


def _range(response: httpx.Response) -> tuple[int, int | None]:
    """Where the body begins in the file, and the file's size."""
    if response.status_code != 206:
        return 0, _length(response)
    try:
        span, total = response.headers["Content-Range"].removeprefix("bytes ").split("/")
        return int(span.split("-")[0]), None if total == "*" else int(total)
    except (KeyError, ValueError) as error:
        raise BrokenError("the server answered with a range that it does not name") from error


def _length(response: httpx.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdecimal() else None


def _mark(response: httpx.Response) -> str | None:
    """The validator for If-Range; weak ETags do not promise the same bytes."""
    etag: str = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    modified: str | None = response.headers.get("Last-Modified")
    return modified
