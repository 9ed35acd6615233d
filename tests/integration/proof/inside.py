"""The inside of all light clusters in one small server: just enough of a Kubernetes API for the operator to set up.

Run as a process: `python -m tests.integration.proof.inside DIRECTORY`. It writes `authority.pem` and `port` there, and
reads where the provider is from `provider-url`, once that is there. A cluster is told from another by the token in its
kubeconfig, `light-<name>`; its nodes are those that the provider says it has, Ready, with eight GPUs each. There are
no pods, and what is applied stays as it was sent. Only server-side apply writes; nothing is checked.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from tunesmith_devcluster.pki import Authority

Object = dict[str, Any]
LOOK_SECONDS = 0.5
NODES = "/api/v1/nodes"
CLASS = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "shared-storage-class"}}


@dataclass
class Cluster:
    """What one cluster holds, by the path that it is listed under and its name."""

    name: str
    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    base: dict[str, dict[str, Object]] = field(default_factory=dict)
    version: int = 1
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    news: list[tuple[int, str, str, Object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}
        self.put("/api/v1/namespaces", system)
        self.put("/apis/storage.k8s.io/v1/storageclasses", CLASS)

    def put(self, collection: str, sent: Object) -> Object:
        """What is there of itself, and stays whatever is applied over it."""
        name = sent["metadata"]["name"]
        uid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.name}{collection}/{name}"))
        self.base.setdefault(collection, {})[name] = _merged(sent, {"metadata": {"uid": uid}})
        return self.apply(collection, {"metadata": {"name": name}})

    def apply(self, collection: str, sent: Object) -> Object:
        """Store what was applied over what is there of itself; what was applied before and is not named now goes."""
        there = self.objects.setdefault(collection, {})
        before = there.get(sent["metadata"]["name"])
        if before is None and collection == NODES and not self.base.get(NODES, {}).get(sent["metadata"]["name"]):
            raise web.HTTPConflict(text=json.dumps({"message": "the uid is that of a node that is gone"}))
        self.version += 1
        stored = _merged(self.base.get(collection, {}).get(sent["metadata"]["name"], {}), sent)
        stored["metadata"].setdefault("uid", str(uuid.uuid4()))
        stored["metadata"]["resourceVersion"] = str(self.version)
        there[sent["metadata"]["name"]] = stored
        self._tell("MODIFIED" if before else "ADDED", collection, stored)
        return stored

    def remove(self, collection: str, name: str) -> None:
        """It is gone."""
        self.version += 1
        gone = self.objects[collection].pop(name)
        self.base[collection].pop(name, None)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell("DELETED", collection, gone)

    def _tell(self, what: str, collection: str, about: Object) -> None:
        self.news.append((self.version, what, collection, json.loads(json.dumps(about))))
        self.changed.set()
        self.changed = asyncio.Event()


class Inside:
    """The server's state."""

    def __init__(self) -> None:
        self.clusters: dict[str, Cluster] = {}

    def of(self, request: web.Request) -> Cluster:
        """The cluster whose token it is."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer light-")
        if token not in self.clusters:
            raise web.HTTPUnauthorized()
        return self.clusters[token]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        cluster, path = self.of(request), request.path
        if request.method == "PATCH":
            return web.json_response(cluster.apply(path.rsplit("/", 1)[0], json.loads(await request.read())))
        if request.query.get("watch"):
            return await _watched(request, cluster, path)
        collection, _, name = path.rpartition("/")
        if name in cluster.objects.get(collection, {}):
            return web.json_response(cluster.objects[collection][name])
        if collection == "/api/v1/namespaces":
            return web.json_response({"kind": "Status", "message": "not found", "code": 404}, status=404)
        items = list(cluster.objects.get(path, {}).values())
        return web.json_response(
            {"kind": "List", "metadata": {"resourceVersion": str(cluster.version)}, "items": items}
        )

    def follow(self, state: Object) -> None:
        """The nodes are as the provider has them."""
        for found in state["clusters"]:
            name = found["cluster_name"]
            if found["gone_at"] is not None:
                self.clusters.pop(name, None)
                continue
            cluster = self.clusters.setdefault(name, Cluster(name))
            there = {node["host_name"] for node in found["nodes"] if _is_up(node)}
            have = set(cluster.objects.get(NODES, {}))
            for host in sorted(there - have):
                cluster.put(NODES, _node(host))
            for host in sorted(have - there):
                cluster.remove(NODES, host)


async def serve(directory: Path) -> None:
    """Until it is killed."""
    inside = Inside()
    authority = Authority.create("inside of light clusters")
    pair = authority.server("inside", ["127.0.0.1"])
    for name, text in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (directory / name).write_text(text)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    (directory / "authority.pem").write_text(authority.pair.certificate)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", inside.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    (directory / "port.new").write_text(str(port))
    (directory / "port.new").rename(directory / "port")
    file = directory / "provider-url"
    while not (url := file.read_text() if file.exists() else ""):  # it may be there before its text is
        await asyncio.sleep(0.05)
    async with httpx.AsyncClient(base_url=url, trust_env=False) as provider:
        while True:
            with suppress(httpx.HTTPError):  # a provider that is slow to answer is asked again
                inside.follow((await provider.get("/admin/state", timeout=60)).json())
            await asyncio.sleep(LOOK_SECONDS)


async def _watched(request: web.Request, cluster: Cluster, path: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    seen = int(request.query.get("resourceVersion") or 0)
    try:
        async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 300)):
            while True:
                changed = cluster.changed
                for version, what, collection, about in [each for each in cluster.news if each[0] > seen]:
                    seen = version
                    if collection == path:
                        await response.write(json.dumps({"type": what, "object": about}).encode() + b"\n")
                await _soon(changed, request, response, seen)
    except (TimeoutError, ConnectionResetError):
        return response


async def _soon(changed: asyncio.Event, request: web.Request, response: web.StreamResponse, seen: int) -> None:
    """Wait for news; a bookmark now and then shows that the watch is alive."""
    try:
        async with asyncio.timeout(30):
            await changed.wait()
    except TimeoutError:
        kind = "Node" if request.path.endswith("/nodes") else "Pod" if request.path.endswith("/pods") else "Job"
        bookmark = {"kind": kind, "metadata": {"resourceVersion": str(seen)}}
        await response.write(json.dumps({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n")


def _is_up(node: Object) -> bool:
    return bool(node["host_name"]) and node["deleted_at"] is None and node["phase"].lower().endswith("running")


def _node(host: str) -> Object:
    size = {"nvidia.com/gpu": "8"}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": host, "labels": {"kubernetes.io/hostname": host}},
        "status": {"allocatable": size, "capacity": size, "conditions": [ready]},
    }


def _merged(before: Object, sent: Object) -> Object:
    merged = dict(before)
    for key, value in sent.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    if isinstance(merged.get("metadata"), dict):
        merged["metadata"] = dict(merged["metadata"])
    return merged


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
