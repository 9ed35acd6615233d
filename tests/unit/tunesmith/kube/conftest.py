"""A small API server over real HTTP: enough of Kubernetes to be strict with, and to misbehave on demand."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from tunesmith.kube.client import Kube
from tunesmith.kube.transport import Transport


@dataclass
class ApiStub:
    """Objects by path. Every change gets the next version and goes to the open watches of its collection."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 10
    requests: list[tuple[str, str]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)  # given instead, one a request, before anything else
    streams: list[tuple[str, asyncio.Queue[dict[str, Any] | None]]] = field(default_factory=list)
    history: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # (collection, event)
    oldest: int = 0  # watches from versions before this one are answered with 410
    silent: bool = False  # requests are never answered

    def put(self, path: str, raw: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        known = self.objects.get(path)
        stored = copy.deepcopy(raw)
        stored["metadata"].setdefault("uid", known["metadata"]["uid"] if known else f"uid-{self.version}")
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = stored
        self._tell(path, "MODIFIED" if known else "ADDED", stored)
        return stored

    def remove(self, path: str, *, told: bool = True) -> None:
        self.version += 1
        gone = copy.deepcopy(self.objects.pop(path))
        gone["metadata"]["resourceVersion"] = str(self.version)
        if told:
            self._tell(path, "DELETED", gone)

    def end_watches(self, event: dict[str, Any] | None = None) -> None:
        for _, stream in self.streams:
            if event is not None:
                stream.put_nowait(event)
            stream.put_nowait(None)
        self.streams.clear()

    def _tell(self, path: str, kind: str, raw: dict[str, Any]) -> None:
        collection = path.rsplit("/", 1)[0]
        event = {"type": kind, "object": copy.deepcopy(raw)}
        self.history.append((collection, event))
        for watched, stream in self.streams:
            if watched == collection:
                stream.put_nowait(event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        if self.silent:
            await asyncio.sleep(3600)
        if self.answers:
            return self.answers.pop(0)
        if request.query.get("watch"):
            return await self._watch(request)
        if request.method == "GET":
            return self._read(request.path)
        body = json.loads(await request.read())
        if request.method == "POST":
            return self._create(request.path, body)
        if request.method == "PATCH":
            return self._patch(request.path, body)
        if request.path not in self.objects:
            return failure(404)
        self.remove(request.path)
        return web.json_response({"kind": "Status"})

    def _read(self, path: str) -> web.Response:
        if path in self.objects:
            return web.json_response(self.objects[path])
        if path.rsplit("/", 1)[-1].islower() and path.count("/") in {3, 5, 6}:
            items = [raw for at, raw in self.objects.items() if at.rsplit("/", 1)[0] == path]
            if items or path.endswith("s"):
                stripped = [{k: v for k, v in raw.items() if k not in {"kind", "apiVersion"}} for raw in items]
                return web.json_response({"items": stripped, "metadata": {"resourceVersion": str(self.version)}})
        return failure(404)

    def _create(self, path: str, body: dict[str, Any]) -> web.Response:
        at = f"{path}/{body['metadata']['name']}"
        if at in self.objects:
            return failure(409)
        return web.json_response(self.put(at, body), status=201)

    def _patch(self, path: str, body: dict[str, Any]) -> web.Response:
        known = self.objects.get(path)
        if known is None:
            return failure(404)
        sent = body.get("metadata", {}).get("resourceVersion")
        if sent is not None and sent != known["metadata"]["resourceVersion"]:
            return failure(409)
        merged = {
            key: {**known.get(key, {}), **value} if isinstance(value, dict) else value for key, value in body.items()
        }
        return web.json_response(self.put(path, {**known, **merged}))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if since < self.oldest:
            await response.write(line({"type": "ERROR", "object": {"kind": "Status", "code": 410}}))
            return response
        stream: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        for collection, event in self.history:
            if collection == request.path and int(event["object"]["metadata"]["resourceVersion"]) > since:
                stream.put_nowait(event)
        self.streams.append((request.path, stream))
        while (event := await stream.get()) is not None:
            await response.write(line(event))
        return response


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def failure(status: int, **headers: str) -> web.Response:
    body = {"kind": "Status", "code": status, "message": "text of the server"}
    return web.json_response(body, status=status, headers=headers)


@pytest.fixture
async def stub() -> AsyncIterator[ApiStub]:
    api = ApiStub()
    yield api


@pytest.fixture
async def address(stub: ApiStub) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    stub.end_watches()
    await runner.cleanup()


@pytest.fixture
async def kube(address: str) -> AsyncIterator[Kube]:
    client = Kube(Transport(ApiClient(Configuration(host=address)), request_seconds=5))
    yield client
    await client.close()
