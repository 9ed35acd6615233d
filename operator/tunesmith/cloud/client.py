"""The Instant Clusters API over HTTP: one method a request, typed errors, nothing retried here.

The caller's work queue repeats reads and idempotent writes; a create is never repeated by anybody without looking.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.errors import CloudError, error_of, error_of_answer, error_of_transport
from tunesmith.cloud.limiter import RateLimiter
from tunesmith.cloud.wire import (
    NotUnderstoodError,
    changes_body,
    cluster_body,
    read_cluster,
    read_clusters,
    read_regions,
    read_volume,
    read_volumes,
    volume_body,
)
from tunesmith.planning.decision import ErrorClass
from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder
from tunesmith.planning.provider import ProviderCluster, ProviderVolume, Region

CLUSTERS = "/v1/compute/clusters"
VOLUMES = "/v1/compute/clusters/storage/volumes"
REGIONS = "/v1/compute/regions"
CONNECT_SECONDS = 5.0
LONGEST_ANSWER_BYTES = 32 * 2**20

Fact = TypeVar("Fact")

audit = logging.getLogger("tunesmith.audit")

# verb, path without ids, outcome ("ok" or the error class), seconds
RequestObserver = Callable[[str, str, str, float], None]


class Cloud(Protocol):
    """What the operator asks of a provider, for one credential. Every method raises `CloudError`."""

    async def list_clusters(self) -> tuple[ProviderCluster, ...]:
        """All clusters of the credential's project."""
        ...

    async def list_volumes(self) -> tuple[ProviderVolume, ...]:
        """All shared volumes of the credential's project."""
        ...

    async def list_regions(self) -> tuple[Region, ...]:
        """All regions."""
        ...

    async def get_cluster(self, cluster_id: str) -> ProviderCluster | None:
        """One cluster; None only when the provider says that it does not exist."""
        ...

    async def get_volume(self, volume_id: str) -> ProviderVolume | None:
        """One volume; None only when the provider says that it does not exist."""
        ...

    async def create_cluster(self, order: ClusterOrder, *, deadline: float) -> ProviderCluster:
        """Buy a cluster, once. Not sent at all (`NotSent`) after `deadline` (monotonic seconds)."""
        ...

    async def create_volume(self, order: VolumeOrder, *, deadline: float) -> ProviderVolume:
        """Buy a volume, once. Not sent at all (`NotSent`) after `deadline` (monotonic seconds)."""
        ...

    async def change_cluster(self, cluster_id: str, changes: ClusterChanges) -> None:
        """Change a bought cluster: its size, the end of its reservation, what is installed."""
        ...

    async def resize_volume(self, volume_id: str, size_tib: int) -> None:
        """Grow a volume."""
        ...

    async def delete_cluster(self, cluster_id: str) -> None:
        """Give a cluster back. Already gone counts as done."""
        ...

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume. Already gone counts as done."""
        ...


class TogetherCloud:
    """The `Cloud` of Together's Instant Clusters, generation G2."""

    def __init__(
        self,
        base_url: str,
        credential: ApiCredential,
        *,
        limiter: RateLimiter,
        request_seconds: float = 30.0,
        observer: RequestObserver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._credential = credential
        self._limiter = limiter
        self._request_seconds = request_seconds
        self._observer = observer
        self._monotonic = monotonic
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/").removesuffix("/v1"),  # both forms of the provider's address are in use
            timeout=httpx.Timeout(request_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,  # a redirect would carry the key to another host
            trust_env=False,
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def list_clusters(self) -> tuple[ProviderCluster, ...]:
        """All clusters of the credential's project."""
        doing = "list the clusters"
        return _read(read_clusters, await self._read("GET", CLUSTERS, doing, params=self._project()), doing)

    async def list_volumes(self) -> tuple[ProviderVolume, ...]:
        """All shared volumes of the credential's project."""
        doing = "list the shared volumes"
        return _read(read_volumes, await self._read("GET", VOLUMES, doing, params=self._project()), doing)

    async def list_regions(self) -> tuple[Region, ...]:
        """All regions."""
        doing = "list the regions"
        return _read(read_regions, await self._read("GET", REGIONS, doing), doing)

    async def get_cluster(self, cluster_id: str) -> ProviderCluster | None:
        """One cluster; None only when the provider says that it does not exist."""
        doing = f"look up cluster '{cluster_id}'"
        body = await self._or_none("GET", f"{CLUSTERS}/{quote(cluster_id, safe='')}", doing)
        return None if body is None else _read(read_cluster, body, doing)

    async def get_volume(self, volume_id: str) -> ProviderVolume | None:
        """One volume; None only when the provider says that it does not exist."""
        doing = f"look up volume '{volume_id}'"
        body = await self._or_none("GET", f"{VOLUMES}/{quote(volume_id, safe='')}", doing)
        return None if body is None else _read(read_volume, body, doing)

    async def create_cluster(self, order: ClusterOrder, *, deadline: float) -> ProviderCluster:
        """Buy a cluster, once. Not sent at all (`NotSent`) after `deadline` (monotonic seconds)."""
        doing = f"buy cluster '{order.name}'"
        body = await self._create(CLUSTERS, cluster_body(order), doing, deadline)
        return _read(read_cluster, body, doing, creates=True)

    async def create_volume(self, order: VolumeOrder, *, deadline: float) -> ProviderVolume:
        """Buy a volume, once. Not sent at all (`NotSent`) after `deadline` (monotonic seconds)."""
        doing = f"buy volume '{order.name}'"
        body = await self._create(VOLUMES, volume_body(order), doing, deadline)
        return _read(read_volume, body, doing, creates=True)

    async def change_cluster(self, cluster_id: str, changes: ClusterChanges) -> None:
        """Change a bought cluster: its size, the end of its reservation, what is installed."""
        path, doing = f"{CLUSTERS}/{quote(cluster_id, safe='')}", f"change cluster '{cluster_id}'"
        await self._write("PUT", path, doing, changes_body(changes))

    async def resize_volume(self, volume_id: str, size_tib: int) -> None:
        """Grow a volume. provider: the id stands in the body, not in the path."""
        doing = f"grow volume '{volume_id}' to {size_tib} TiB"
        await self._write("PUT", VOLUMES, doing, {"volume_id": volume_id, "size_tib": size_tib})

    async def delete_cluster(self, cluster_id: str) -> None:
        """Give a cluster back. Already gone counts as done."""
        await self._delete(f"{CLUSTERS}/{quote(cluster_id, safe='')}", f"delete cluster '{cluster_id}'")

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume. Already gone counts as done."""
        await self._delete(f"{VOLUMES}/{quote(volume_id, safe='')}", f"delete volume '{volume_id}'")

    def _project(self) -> dict[str, str]:
        # provider: camelCase in the query, snake_case in bodies
        return {"projectId": self._credential.project_id} if self._credential.project_id else {}

    async def _or_none(self, method: str, path: str, doing: str) -> object | None:
        try:
            return await self._read(method, path, doing)
        except CloudError as error:
            if error.failure.error is ErrorClass.NOT_FOUND:
                return None
            raise

    async def _read(self, method: str, path: str, doing: str, *, params: dict[str, str] | None = None) -> object:
        await self._limiter.take()
        return await self._send(method, path, doing, params=params)

    async def _create(self, path: str, body: dict[str, Any], doing: str, deadline: float) -> object:
        await self._limiter.take()
        if self._monotonic() > deadline:
            raise error_of(ErrorClass.NOT_SENT, doing)
        return await self._audited("POST", path, doing, body, creates=True)

    async def _write(self, method: str, path: str, doing: str, body: dict[str, Any] | None = None) -> None:
        await self._limiter.take()
        await self._audited(method, path, doing, body)

    async def _delete(self, path: str, doing: str) -> None:
        try:
            await self._write("DELETE", path, doing)
        except CloudError as error:
            if error.failure.error is not ErrorClass.NOT_FOUND:
                raise

    async def _audited(
        self, method: str, path: str, doing: str, body: dict[str, Any] | None, *, creates: bool = False
    ) -> object:
        outcome = "ok"
        try:
            return await self._send(method, path, doing, body=body, creates=creates)
        except CloudError as error:
            outcome = error.failure.error.value
            raise
        except asyncio.CancelledError:
            outcome = "Cancelled"
            raise
        finally:
            line = {"method": method, "path": path, "credential": self._credential.fingerprint, "outcome": outcome}
            audit.info(json.dumps({**line, "body": body}, sort_keys=True))

    async def _send(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        creates: bool = False,
    ) -> object:
        begun, outcome = self._monotonic(), "ok"
        try:
            async with asyncio.timeout(self._request_seconds + CONNECT_SECONDS):
                return await self._exchange(method, path, doing, params=params, body=body, creates=creates)
        except (httpx.HTTPError, TimeoutError) as cause:
            error = error_of_transport(doing, cause, creates=creates)
            outcome = error.failure.error.value
            raise error from None
        except CloudError as error:
            outcome = error.failure.error.value
            raise
        finally:
            if self._observer is not None:
                self._observer(method, _collection(path), outcome, self._monotonic() - begun)

    async def _exchange(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: dict[str, str] | None,
        body: dict[str, Any] | None,
        creates: bool,
    ) -> object:
        request = self._http.build_request(
            method,
            path,
            params=params,
            json=body,
            headers={
                "Authorization": f"Bearer {self._credential.api_key.get_secret_value()}",
                "Accept": "application/json",
            },
        )
        response = await self._http.send(request, stream=True)
        try:
            content = await _limited(response, doing, creates=creates)
        finally:
            await response.aclose()
        if not response.is_success:
            raise error_of_answer(
                doing,
                creates=creates,
                status=response.status_code,
                text=content.decode(errors="replace"),
                retry_after=response.headers.get("retry-after"),
            )
        try:
            return json.loads(content or b"null")
        except ValueError:
            raise _unclear(doing, creates=creates) from None


def _collection(path: str) -> str:
    if path.startswith(VOLUMES):
        return "volumes"
    return "regions" if path == REGIONS else "clusters"


async def _limited(response: httpx.Response, doing: str, *, creates: bool) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > LONGEST_ANSWER_BYTES:
            raise _unclear(doing, creates=creates)
    return bytes(content)


def _read(reader: Callable[[object], Fact], body: object, doing: str, *, creates: bool = False) -> Fact:
    try:
        return reader(body)
    except NotUnderstoodError:
        raise _unclear(doing, creates=creates) from None


def _unclear(doing: str, *, creates: bool) -> CloudError:
    return error_of(ErrorClass.AMBIGUOUS if creates else ErrorClass.UNAVAILABLE, doing)
