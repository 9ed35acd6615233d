"""Servers on loopback that keep to the protocols of the Hub and of file servers, for tests; `testing_store` has S3.

They serve what they are given, remember what they were asked, and break on demand: see `Faults`.
"""

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Faults:
    """What goes wrong, by a part of the path; each fault is used `times` times and then over."""

    of: list["Fault"] = field(default_factory=list)

    def next_for(self, path: str) -> "Fault | None":
        """The fault that this request meets."""
        for fault in self.of:
            if fault.times > 0 and fault.path in path:
                fault.times -= 1
                return fault
        return None


@dataclass
class Fault:
    """One thing that goes wrong."""

    path: str
    kind: Literal["status", "cut", "corrupt", "hang", "no ranges", "slow"]
    times: int = 1_000_000
    status: int = 503
    after_bytes: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request that a server got."""

    method: str
    path: str
    headers: Mapping[str, str]


class Served:
    """One server on a port of its own; `answer` returns what a request gets."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults = Faults()
        self.over = threading.Event()
        self._scheme = "http"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def encrypt(self, certificate: Path, key: Path) -> None:
        """From now on by TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https"

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: "Request") -> "Answer":
        """What a request gets."""
        raise NotImplementedError

    def bodies_asked(self, path: str) -> list[Asked]:
        """Requests whose path has the part."""
        return [asked for asked in self.asked if path in asked.path]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                served.asked.append(Asked(self.command, self.path, headers))
                _send(self, served, request, served.answer(request))

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler


@dataclass(frozen=True)
class Request:
    """A request as the answers look at it; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def place(self) -> str:
        """The path without the query, decoded."""
        return unquote(urlsplit(self.path).path)

    @property
    def query(self) -> dict[str, str]:
        """The query's values, the first of each name."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}


@dataclass(frozen=True)
class Answer:
    """A whole answer; ranges and faults are put on it when it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def _send(handler: BaseHTTPRequestHandler, served: Served, request: Request, answer: Answer) -> None:
    fault = served.faults.next_for(request.path)
    if fault is not None and fault.kind == "hang":
        served.over.wait(60)
        return
    if fault is not None and fault.kind == "status":
        answer = Answer(fault.status, b"no", fault.headers)
    status, body, headers = answer.status, answer.body, dict(answer.headers)
    wanted = request.headers.get("range")
    same = request.headers.get("if-range") in (None, headers.get("ETag"))
    if status == 200 and wanted and same and not (fault and fault.kind == "no ranges"):
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        begin, end = int(first), min(int(last) + 1 if last else len(body), len(body))
        if begin >= len(body):
            status, body = 416, b""
        else:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(body)}"
            status, body = 206, body[begin:end]
    if fault is not None and fault.kind == "corrupt" and body:
        middle = len(body) // 2
        body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command == "HEAD":
        return
    try:
        _send_body(handler, body, fault)
    except (BrokenPipeError, ConnectionResetError):
        handler.close_connection = True


def _send_body(handler: BaseHTTPRequestHandler, body: bytes, fault: Fault | None) -> None:
    if fault is not None and fault.kind == "cut":
        handler.wfile.write(body[: fault.after_bytes])
        handler.close_connection = True
        return
    if fault is not None and fault.kind == "slow":
        for begin in range(0, len(body), 64 << 10):
            handler.wfile.write(body[begin : begin + (64 << 10)])
            time.sleep(0.01)
        return
    handler.wfile.write(body)


class ServedFiles(Served):
    """Files by path, with ETags."""

    def __init__(self, files: dict[str, bytes], *, marks: bool = True) -> None:
        super().__init__()
        self.files = files
        self.marks = marks

    def answer(self, request: Request) -> Answer:
        """The file of the path."""
        content = self.files.get(request.place)
        if content is None:
            return Answer(404)
        etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"'} if self.marks else {}
        return Answer(200, content, etag)


@dataclass
class Repository:
    """A repository of the served Hub. `large` files come from the content network, by redirects to another origin."""

    files: dict[str, bytes]
    large: tuple[str, ...] = (".safetensors", ".parquet")
    token: str | None = None
    commit: str = COMMIT
    revisions: tuple[str, ...] = ("main",)
    parameters: int | None = None

    def is_large(self, name: str) -> bool:
        """Whether the Hub would keep the file in its large file storage."""
        return name.endswith(self.large)


class ServedHub(Served):
    """The Hub, with its content network beside it (`content`)."""

    def __init__(self, repositories: Mapping[str, Repository]) -> None:
        """`repositories` by `models/<repo>` or `datasets/<repo>`."""
        super().__init__()
        self.repositories = repositories
        blobs = {
            f"/{hashlib.sha256(body).hexdigest()}": body
            for repository in repositories.values()
            for body in repository.files.values()
        }
        self.content = ServedFiles(blobs)

    def put(self, key: str, repository: Repository) -> None:
        """One repository more, as if somebody had just made it."""
        blobs = {f"/{hashlib.sha256(body).hexdigest()}": body for body in repository.files.values()}
        self.content.files.update(blobs)
        self.repositories = {**self.repositories, key: repository}

    def __enter__(self) -> "ServedHub":
        self.content.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.content.__exit__()

    def answer(self, request: Request) -> Answer:
        """One of the three addresses that fetching asks."""
        for key, repository in self.repositories.items():
            kind, repo = key.split("/", 1)
            prefix = "" if kind == "models" else "/datasets"
            for revision in (*repository.revisions, repository.commit):
                api = f"/api/{key}/revision/{quote(revision, safe='')}"
                if urlsplit(request.path).path == api:
                    return self._refused(repository, request) or _described(repository)
                resolve = f"{prefix}/{repo}/resolve/{revision}/"
                if request.place.startswith(resolve):
                    return self._refused(repository, request) or self._resolved(repository, request, len(resolve))
            if request.place.startswith(f"/api/{key}/revision/"):
                return Answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        return Answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _refused(self, repository: Repository, request: Request) -> Answer | None:
        given = request.headers.get("authorization")
        if repository.token is None or given == f"Bearer {repository.token}":
            return None
        return Answer(403 if given else 401, b"{}", {"X-Error-Code": "GatedRepo"})

    def _resolved(self, repository: Repository, request: Request, prefix: int) -> Answer:
        name = request.place[prefix:]
        body = repository.files.get(name)
        if body is None:
            return Answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        commit = {"X-Repo-Commit": repository.commit}
        if not repository.is_large(name):
            return Answer(200, body, {**commit, "ETag": f'"{git_hash(body)}"'})
        digest = hashlib.sha256(body).hexdigest()
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(body))}
        location = f"{self.content.url}/{digest}?X-Signature=of-the-content-network"
        return Answer(302, b"", {**commit, **linked, "Location": location})


def git_hash(content: bytes) -> str:
    """git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _described(repository: Repository) -> Answer:
    siblings = [
        {
            "rfilename": name,
            "size": len(body),
            "blobId": git_hash(body),
            **({"lfs": {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}}
               if repository.is_large(name) else {}),
        }
        for name, body in repository.files.items()
    ]  # fmt: skip
    counted = {"safetensors": {"total": repository.parameters}} if repository.parameters else {}
    document = {"sha": repository.commit, "siblings": siblings, "gated": bool(repository.token), **counted}
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


@contextmanager
def silent() -> Iterator[str]:
    """An address at which nobody listens."""
    with ServedFiles({}) as served:
        url = served.url
    yield url
