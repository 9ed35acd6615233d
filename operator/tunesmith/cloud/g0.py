"""Generation G0 of the Instant Clusters API (September 2025): `/gpu_cluster`, `/shared_volume`, ids as answers.

For installations whose provider still serves these paths. There are no projects, no repairs and little to order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.cloud.audit import Thing, Verb, Write
from tunesmith.cloud.errors import CloudError, error_of
from tunesmith.cloud.g0_answers import (
    read_cluster,
    read_clusters,
    read_created,
    read_created_volume,
    read_regions,
    read_volume,
    read_volumes,
)
from tunesmith.cloud.g0_bodies import NotExpressibleError, changes_body, cluster_body, volume_body
from tunesmith.cloud.g2 import segment
from tunesmith.cloud.transport import Request, Transport, understood
from tunesmith.planning.decision import ErrorClass
from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder
from tunesmith.planning.provider import ProviderCluster, ProviderVolume, Region, Remediation

# provider: what exists is told in the plural, what is done is done in the singular
CLUSTER, CLUSTERS = "/v1/gpu_cluster", "/v1/gpu_clusters"
VOLUME, VOLUMES = "/v1/shared_volume", "/v1/shared_volumes"
REGIONS = "/v1/regions"


class G0Cloud:
    """The `Cloud` of generation G0."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list_clusters(self) -> tuple[ProviderCluster, ...]:
        """All clusters of the credential."""
        request = Request("GET", CLUSTERS, "clusters", "list the clusters")
        return understood(read_clusters, await self._transport.read(request), request)

    async def list_volumes(self) -> tuple[ProviderVolume, ...]:
        """All shared volumes of the credential."""
        request = Request("GET", VOLUMES, "volumes", "list the shared volumes")
        return understood(read_volumes, await self._transport.read(request), request)

    async def list_regions(self) -> tuple[Region, ...]:
        """All regions."""
        request = Request("GET", REGIONS, "regions", "list the regions")
        return understood(read_regions, await self._transport.read(request), request)

    async def list_remediations(self, cluster_id: str) -> tuple[Remediation, ...]:
        """None: G0 has no repairs."""
        return ()

    async def get_cluster(self, cluster_id: str) -> ProviderCluster | None:
        """One cluster; None only when the provider says that it does not exist."""
        request = Request("GET", f"{CLUSTER}/{segment(cluster_id)}", "clusters", f"look up cluster '{cluster_id}'")
        body = await self._transport.read_or_none(request)
        return None if body is None else understood(read_cluster, body, request)

    async def get_volume(self, volume_id: str) -> ProviderVolume | None:
        """One volume; None only when the provider says that it does not exist."""
        request = Request("GET", f"{VOLUME}/{segment(volume_id)}", "volumes", f"look up volume '{volume_id}'")
        body = await self._transport.read_or_none(request)
        return None if body is None else understood(read_volume, body, request)

    async def create_cluster(self, order: ClusterOrder, *, deadline: float) -> ProviderCluster:
        """Buy a cluster, once. The answer is an id, under which it is read back."""
        doing = f"buy cluster '{order.name}'"
        body = _expressed(doing, lambda: cluster_body(order))
        request = Request("POST", CLUSTER, "clusters", doing, body=body, creates=True)
        write = Write(Verb.CREATE, Thing.CLUSTER, name=order.name, spends=True, asks=body)
        cluster_id, status = await self._transport.create(request, write, read_created, deadline=deadline)
        return await self._read_back(order, cluster_id, status)

    async def create_volume(self, order: VolumeOrder, *, deadline: float) -> ProviderVolume:
        """Buy a volume, once. The answer is an id."""
        doing = f"buy volume '{order.name}'"
        body = _expressed(doing, lambda: volume_body(order))
        request = Request("POST", VOLUME, "volumes", doing, body=body, creates=True)
        write = Write(Verb.CREATE, Thing.VOLUME, name=order.name, spends=True, asks=body)
        volume_id = await self._transport.create(request, write, read_created_volume, deadline=deadline)
        return ProviderVolume(volume_id, order.name, order.size_tib, "provisioning")

    async def change_cluster(self, cluster_id: str, changes: ClusterChanges) -> None:
        """Change a bought cluster's size. provider: its type stands in the body too, so that is read first."""
        doing = f"change cluster '{cluster_id}'"
        _expressed(doing, lambda: changes_body(cluster_id, "", changes))
        present = await self.get_cluster(cluster_id)
        if present is None:
            raise error_of(ErrorClass.NOT_FOUND, doing)
        body = changes_body(cluster_id, present.cluster_type, changes)
        request = Request("PUT", CLUSTER, "clusters", doing, body=body)
        await self._transport.write(request, Write(Verb.CHANGE, Thing.CLUSTER, cluster_id, spends=True, asks=body))

    async def resize_volume(self, volume_id: str, size_tib: int) -> None:
        """Grow a volume."""
        body: dict[str, object] = {"volume_id": volume_id, "size_tib": size_tib}
        request = Request("PUT", VOLUME, "volumes", f"grow volume '{volume_id}' to {size_tib} TiB", body=body)
        await self._transport.write(request, Write(Verb.CHANGE, Thing.VOLUME, volume_id, spends=True, asks=body))

    async def delete_cluster(self, cluster_id: str) -> None:
        """Give a cluster back. Already gone counts as done."""
        request = Request("DELETE", f"{CLUSTER}/{segment(cluster_id)}", "clusters", f"delete cluster '{cluster_id}'")
        await self._transport.delete(request, Write(Verb.DELETE, Thing.CLUSTER, cluster_id))

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume. Already gone counts as done."""
        request = Request("DELETE", f"{VOLUME}/{segment(volume_id)}", "volumes", f"delete volume '{volume_id}'")
        await self._transport.delete(request, Write(Verb.DELETE, Thing.VOLUME, volume_id))

    async def create_remediation(self, cluster_id: str, instance_id: str, mode: str, reason: str) -> Remediation:
        """Refused: G0 has no repairs."""
        raise _not_expressible(f"have node '{instance_id}' repaired", NotExpressibleError("spec.repair"))

    async def approve_remediation(self, cluster_id: str, instance_id: str, remediation_id: str, comment: str) -> None:
        """Refused: G0 has no repairs."""
        raise _not_expressible(f"approve repair '{remediation_id}'", NotExpressibleError("spec.repair"))

    async def reject_remediation(self, cluster_id: str, instance_id: str, remediation_id: str, comment: str) -> None:
        """Refused: G0 has no repairs."""
        raise _not_expressible(f"reject repair '{remediation_id}'", NotExpressibleError("spec.repair"))

    async def cancel_remediation(self, cluster_id: str, instance_id: str, remediation_id: str) -> None:
        """Refused: G0 has no repairs."""
        raise _not_expressible(f"cancel repair '{remediation_id}'", NotExpressibleError("spec.repair"))

    async def _read_back(self, order: ClusterOrder, cluster_id: str, status: str) -> ProviderCluster:
        """The cluster as it stands. It is bought whatever the second answer says, so that one may fail."""
        try:
            found = await self.get_cluster(cluster_id)
        except CloudError:
            found = None
        return found or ProviderCluster(
            cluster_id, order.name, status, order.region, order.gpu_type, order.gpus, billing_type=order.billing.type
        )


def _expressed(doing: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make()
    except NotExpressibleError as error:
        raise _not_expressible(doing, error) from None


def _not_expressible(doing: str, error: NotExpressibleError) -> CloudError:
    hint = f"; {error.hint}" if error.hint else ""
    because = (
        f"generation G0 of the provider's API, which this installation uses, cannot express `{error.field}`{hint}. "
        "Leave it out, or set the installation's `provider.apiGeneration` to 'G2'"
    )
    return error_of(ErrorClass.BAD_REQUEST, doing, because=because)
