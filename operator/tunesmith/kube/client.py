"""The verbs that the operator needs of a Kubernetes API: dictionaries in and out, every request limited in time.

Not a model of Kubernetes: any kind goes through one generic path. TLS and token refresh are those of `kubernetes.aio`;
how a request is sent, limited and measured stands in `transport.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from tunesmith.kube.apply_text import yaml_of
from tunesmith.kube.errors import KubeError, from_status
from tunesmith.kube.kinds import NODE, POD, ObjectKind, kind_of
from tunesmith.kube.transport import Transport, parsed

FIELD_MANAGER = "tunesmith"
PAGE_SIZE = 500

Raw = Mapping[str, Any]
Objects = list[Raw]
Operations = list[dict[str, Any]]


@dataclass(frozen=True)
class Listing:
    """A whole collection at one version."""

    items: tuple[Raw, ...]
    resource_version: str


@dataclass(frozen=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, with the object."""

    type: str
    object: Raw


class Kube:
    """One Kubernetes API server. All methods raise `KubeError`."""

    def __init__(self, transport: Transport) -> None:
        """`transport` is the way to the server; it is closed with this client."""
        self._transport = transport

    async def close_when_idle(self, longest_seconds: float) -> None:
        """Let the requests in flight end, for so long at most, then close. Streams that are open end with it."""
        await self._transport.close_when_idle(longest_seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def get(self, kind: ObjectKind, namespace: str | None, name: str) -> Raw | None:
        """The object, or None when the server says that it does not exist."""
        try:
            return await self._transport.json(
                "GET", kind.path(namespace, name), _what("get", kind, namespace, name), kind
            )
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self,
        kind: ObjectKind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> Listing:
        """The whole collection, fetched in pages. A continuation that expires is answered by one unpaged list."""
        query = _without_empty(labelSelector=label_selector, fieldSelector=field_selector)
        accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" if metadata_only else None
        try:
            return await self._list_pages(kind, namespace, {**query, "limit": str(PAGE_SIZE)}, accept)
        except KubeError as error:
            if not error.expired:
                raise
        return await self._list_pages(kind, namespace, query, accept)

    async def create(self, manifest: Raw) -> Raw:
        """Create an object; a `KubeError` of class Conflict says that it exists."""
        kind, namespace, name = _address(manifest)
        what = _what("create", kind, namespace, name)
        query = {"fieldManager": FIELD_MANAGER}
        return await self._transport.json("POST", kind.path(namespace), what, kind, query=query, body=manifest)

    async def apply(self, manifest: Raw) -> Raw:
        """Server-side apply of a whole object under our field manager; conflicting fields become ours."""
        kind, namespace, name = _address(manifest)
        return await self._apply(kind.path(namespace, name), _what("apply", kind, namespace, name), kind, manifest)

    async def patch_status(self, raw: Raw, status: Raw) -> Raw:
        """Server-side apply of the whole status of `raw`, refused with Conflict if `raw` is no longer the newest."""
        kind, namespace, name = _address(raw)
        meta = raw["metadata"]
        identity = {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in meta}
        body = {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": identity, "status": status}
        what = _what("write the status of", kind, namespace, name)
        return await self._apply(kind.path(namespace, name, "status"), what, kind, body)

    async def merge_patch(self, kind: ObjectKind, namespace: str | None, name: str, patch: Raw) -> Raw:
        """JSON merge patch. With `metadata.resourceVersion` in it, a Conflict if the object has changed."""
        return await self._patch(kind, namespace, name, patch, "application/merge-patch+json")

    async def json_patch(self, kind: ObjectKind, namespace: str | None, name: str, patch: Operations) -> Raw:
        """JSON patch: a list of operations. A failed `test` is class Invalid."""
        return await self._patch(kind, namespace, name, patch, "application/json-patch+json")

    async def delete(
        self,
        kind: ObjectKind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_seconds: int | None = None,
    ) -> bool:
        """Delete with background propagation. False: there was nothing (or, with `uid`, another object) to delete."""
        preconditions = _without_empty(uid=uid or "", resourceVersion=resource_version or "")
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if preconditions:
            body["preconditions"] = preconditions
        if grace_period_seconds is not None:
            body["gracePeriodSeconds"] = grace_period_seconds
        try:
            what = _what("delete", kind, namespace, name)
            await self._transport.json("DELETE", kind.path(namespace, name), what, kind, body=body)
        except KubeError as error:
            if error.status == 404 or (error.status == 409 and uid and not resource_version):
                return False
            raise
        return True

    async def watch(
        self,
        kind: ObjectKind,
        namespace: str | None,
        resource_version: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit_seconds: int = 290,
        inactivity_seconds: float = 70.0,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, until the server ends the stream after `limit_seconds`.

        Silence (not even a bookmark, which the server sends every minute) for `inactivity_seconds` is an error, and so
        is an ERROR line: its code becomes the status of the `KubeError` (410: list again).
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(limit_seconds),
            **_without_empty(labelSelector=label_selector, fieldSelector=field_selector),
        }
        what = _what("watch", kind, namespace, None)
        async with aclosing(
            self._transport.lines(kind.path(namespace), what, kind, query, inactivity_seconds)
        ) as lines:
            async for line in lines:
                event = parsed(line, what)
                if event.get("type") == "ERROR":
                    status = event.get("object") or {}
                    raise from_status(what, int(status.get("code") or 500), str(status.get("message", "")))
                yield WatchEvent(str(event["type"]), event["object"])

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        follow: bool = True,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        inactivity_seconds: float = 120.0,
    ) -> AsyncGenerator[str, None]:
        """Lines of a container's log without their line ends; ends when the container does (or at once, unfollowed)."""
        query = _without_empty(
            container=container,
            follow="true" if follow else "",
            tailLines="" if tail_lines is None else str(tail_lines),
            sinceSeconds="" if since_seconds is None else str(since_seconds),
        )
        what = _what("read the log of", POD, namespace, pod)
        path = POD.path(namespace, pod, "log")
        async with aclosing(self._transport.lines(path, what, POD, query, inactivity_seconds)) as lines:
            async for line in lines:
                yield line.decode("utf-8", "replace")

    async def node_summary(self, node: str) -> Raw:
        """What a node's kubelet says of its pods and their volumes (`stats/summary`), through the API server."""
        path = f"{NODE.path(None, node, 'proxy')}/stats/summary"
        return await self._transport.json("GET", path, _what("read the statistics of", NODE, None, node), NODE)

    async def _list_pages(
        self, kind: ObjectKind, namespace: str | None, query: dict[str, str], accept: str | None
    ) -> Listing:
        items: Objects = []
        what = _what("list", kind, namespace, None)
        while True:
            page = await self._transport.json("GET", kind.path(namespace), what, kind, query=query, accept=accept)
            # Items of a list carry neither apiVersion nor kind, which everything else of ours relies on.
            items += [{**item, "apiVersion": kind.api_version, "kind": kind.kind} for item in page.get("items") or ()]
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return Listing(tuple(items), str(meta.get("resourceVersion", "")))
            query = {**query, "continue": meta["continue"]}

    async def _apply(self, path: str, what: str, kind: ObjectKind, body: Raw) -> Raw:
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        # With the parameter, the library sends the text as it is; the API server drops the parameter.
        content = "application/apply-patch+yaml; charset=utf-8"
        return await self._transport.json(
            "PATCH", path, what, kind, query=query, body=yaml_of(body), content_type=content
        )

    async def _patch(self, kind: ObjectKind, namespace: str | None, name: str, patch: object, content_type: str) -> Raw:
        query = {"fieldManager": FIELD_MANAGER}
        path, what = kind.path(namespace, name), _what("patch", kind, namespace, name)
        return await self._transport.json("PATCH", path, what, kind, query=query, body=patch, content_type=content_type)


def _address(raw: Raw) -> tuple[ObjectKind, str | None, str]:
    meta = raw["metadata"]
    return kind_of(raw["apiVersion"], raw["kind"]), meta.get("namespace"), meta["name"]


def _what(verb: str, kind: ObjectKind, namespace: str | None, name: str | None) -> str:
    where = "/".join(part for part in (namespace, name) if part)
    return f"{verb} {kind.kind} {where}".rstrip()


def _without_empty(**query: str) -> dict[str, str]:
    return {key: value for key, value in query.items() if value}
