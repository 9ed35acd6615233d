"""Generation G2 of the Instant Clusters API: paths under /v1/compute, whole objects as answers, repairs of nodes."""

from __future__ import annotations

from urllib.parse import quote

from tunesmith.cloud.audit import Thing, Verb, Write
from tunesmith.cloud.g2_answers import read_cluster, read_clusters, read_regions, read_volume, read_volumes
from tunesmith.cloud.g2_bodies import changes_body, cluster_body, remediation_body, volume_body
from tunesmith.cloud.g2_remediations import (
    MOST_PAGES,
    RemediationFilter,
    read_page,
    read_remediation,
)
from tunesmith.cloud.transport import Request, Transport, unclear, understood
from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder
from tunesmith.planning.provider import ProviderCluster, ProviderVolume, Region, Remediation

CLUSTERS = "/v1/compute/clusters"
VOLUMES = "/v1/compute/clusters/storage/volumes"
REGIONS = "/v1/compute/regions"


class G2Cloud:
    """The `Cloud` of generation G2."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list_clusters(self) -> tuple[ProviderCluster, ...]:
        """All clusters of the credential's project."""
        request = Request("GET", CLUSTERS, "clusters", "list the clusters", params=self._project())
        return understood(read_clusters, await self._transport.read(request), request)

    async def list_volumes(self) -> tuple[ProviderVolume, ...]:
        """All shared volumes of the credential's project."""
        request = Request("GET", VOLUMES, "volumes", "list the shared volumes", params=self._project())
        return understood(read_volumes, await self._transport.read(request), request)

    async def list_regions(self) -> tuple[Region, ...]:
        """All regions."""
        request = Request("GET", REGIONS, "regions", "list the regions")
        return understood(read_regions, await self._transport.read(request), request)

    async def list_remediations(
        self, cluster_id: str, only: RemediationFilter | None = None
    ) -> tuple[Remediation, ...]:
        """All repairs of a cluster's nodes that the provider still knows, page by page."""
        only = only or RemediationFilter()
        path, doing = _remediations(cluster_id, only.instance_id), f"list the repairs of cluster '{cluster_id}'"
        found: list[Remediation] = []
        token = ""
        for _ in range(MOST_PAGES):
            request = Request("GET", path, "remediations", doing, params=only.query(token))
            page = understood(read_page, await self._transport.read(request), request)
            found.extend(page.remediations)
            if not page.next_token:
                return tuple(found)
            if page.next_token == token:
                break  # a list that turns in a circle is not a list
            token = page.next_token
        raise unclear(request)

    async def get_cluster(self, cluster_id: str) -> ProviderCluster | None:
        """One cluster; None only when the provider says that it does not exist."""
        request = Request("GET", _one(CLUSTERS, cluster_id), "clusters", f"look up cluster '{cluster_id}'")
        body = await self._transport.read_or_none(request)
        return None if body is None else understood(read_cluster, body, request)

    async def get_volume(self, volume_id: str) -> ProviderVolume | None:
        """One volume; None only when the provider says that it does not exist."""
        request = Request("GET", _one(VOLUMES, volume_id), "volumes", f"look up volume '{volume_id}'")
        body = await self._transport.read_or_none(request)
        return None if body is None else understood(read_volume, body, request)

    async def create_cluster(self, order: ClusterOrder, *, deadline: float) -> ProviderCluster:
        """Buy a cluster, once. Not sent at all (`NotSent`) after `deadline` (monotonic seconds)."""
        body = cluster_body(order)
        request = Request("POST", CLUSTERS, "clusters", f"buy cluster '{order.name}'", body=body, creates=True)
        write = Write(Verb.CREATE, Thing.CLUSTER, name=order.name, spends=True, asks=body)
        return await self._transport.create(request, write, read_cluster, deadline=deadline)

    async def create_volume(self, order: VolumeOrder, *, deadline: float) -> ProviderVolume:
        """Buy a volume, once. Not sent at all (`NotSent`) after `deadline` (monotonic seconds)."""
        body = volume_body(order)
        request = Request("POST", VOLUMES, "volumes", f"buy volume '{order.name}'", body=body, creates=True)
        write = Write(Verb.CREATE, Thing.VOLUME, name=order.name, spends=True, asks=body)
        return await self._transport.create(request, write, read_volume, deadline=deadline)

    async def change_cluster(self, cluster_id: str, changes: ClusterChanges) -> None:
        """Change a bought cluster: its size, the end of its reservation, what is installed."""
        body, doing = changes_body(changes), f"change cluster '{cluster_id}'"
        request = Request("PUT", _one(CLUSTERS, cluster_id), "clusters", doing, body=body)
        await self._transport.write(request, Write(Verb.CHANGE, Thing.CLUSTER, cluster_id, spends=True, asks=body))

    async def resize_volume(self, volume_id: str, size_tib: int) -> None:
        """Grow a volume. provider: the id stands in the body, not in the path."""
        body: dict[str, object] = {"volume_id": volume_id, "size_tib": size_tib}
        request = Request("PUT", VOLUMES, "volumes", f"grow volume '{volume_id}' to {size_tib} TiB", body=body)
        await self._transport.write(request, Write(Verb.CHANGE, Thing.VOLUME, volume_id, spends=True, asks=body))

    async def delete_cluster(self, cluster_id: str) -> None:
        """Give a cluster back. Already gone counts as done."""
        request = Request("DELETE", _one(CLUSTERS, cluster_id), "clusters", f"delete cluster '{cluster_id}'")
        await self._transport.delete(request, Write(Verb.DELETE, Thing.CLUSTER, cluster_id))

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume. Already gone counts as done."""
        request = Request("DELETE", _one(VOLUMES, volume_id), "volumes", f"delete volume '{volume_id}'")
        await self._transport.delete(request, Write(Verb.DELETE, Thing.VOLUME, volume_id))

    async def create_remediation(self, cluster_id: str, instance_id: str, mode: str, reason: str) -> Remediation:
        """Have a node repaired, once."""
        body, doing = remediation_body(mode, reason), f"have node '{instance_id}' repaired"
        path = _remediations(cluster_id, instance_id)
        request = Request("POST", path, "remediations", doing, body=body, creates=True)
        asks = {"cluster_id": cluster_id, "instance_id": instance_id, **body}
        write = Write(Verb.CREATE, Thing.REMEDIATION, name=instance_id, asks=asks)
        return await self._transport.create(request, write, read_remediation)

    async def approve_remediation(self, cluster_id: str, instance_id: str, remediation_id: str, comment: str) -> None:
        """Approve a repair that waits for it."""
        await self._judge(Verb.APPROVE, cluster_id, instance_id, remediation_id, {"comment": comment})

    async def reject_remediation(self, cluster_id: str, instance_id: str, remediation_id: str, comment: str) -> None:
        """Reject a repair that waits for approval."""
        await self._judge(Verb.REJECT, cluster_id, instance_id, remediation_id, {"comment": comment})

    async def cancel_remediation(self, cluster_id: str, instance_id: str, remediation_id: str) -> None:
        """Cancel a repair that has not begun."""
        await self._judge(Verb.CANCEL, cluster_id, instance_id, remediation_id, {})

    async def _judge(
        self, verb: Verb, cluster_id: str, instance_id: str, remediation_id: str, body: dict[str, object]
    ) -> None:
        path = f"{_one(_remediations(cluster_id, instance_id), remediation_id)}/{verb}"
        request = Request("POST", path, "remediations", f"{verb} repair '{remediation_id}'", body=body)
        asks = {"cluster_id": cluster_id, "instance_id": instance_id, **body}
        await self._transport.write(request, Write(verb, Thing.REMEDIATION, remediation_id, instance_id, asks=asks))

    def _project(self) -> dict[str, str]:
        # provider: camelCase in the query, snake_case in bodies
        project = self._transport.credential.project_id
        return {"projectId": project} if project else {}


def segment(identifier: str) -> str:
    """An id as one segment of a path, whatever it holds: '.' and '..' are escaped too, because they would climb."""
    escaped = quote(identifier, safe="")
    return escaped.replace(".", "%2E") if not escaped.strip(".") else escaped


def _one(collection: str, identifier: str) -> str:
    return f"{collection}/{segment(identifier)}"


def _remediations(cluster_id: str, instance_id: str) -> str:
    return f"{_one(CLUSTERS, cluster_id)}/instances/{segment(instance_id)}/remediations"
