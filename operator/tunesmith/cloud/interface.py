"""What the operator asks of a provider, in planning's words. One implementation per generation of the API."""

from __future__ import annotations

from typing import Protocol

from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder
from tunesmith.planning.provider import ProviderCluster, ProviderVolume, Region, Remediation


class Cloud(Protocol):
    """The provider, for one credential. Every method raises `CloudError`."""

    async def list_clusters(self) -> tuple[ProviderCluster, ...]:
        """All clusters of the credential's project."""
        ...

    async def list_volumes(self) -> tuple[ProviderVolume, ...]:
        """All shared volumes of the credential's project."""
        ...

    async def list_regions(self) -> tuple[Region, ...]:
        """All regions."""
        ...

    async def list_remediations(self, cluster_id: str) -> tuple[Remediation, ...]:
        """All repairs of a cluster's nodes that the provider still knows."""
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

    async def create_remediation(self, cluster_id: str, instance_id: str, mode: str, reason: str) -> Remediation:
        """Have a node repaired, once. `mode` is without its prefix. What is not definite is ambiguous."""
        ...

    async def approve_remediation(self, cluster_id: str, instance_id: str, remediation_id: str, comment: str) -> None:
        """Approve a repair that waits for it."""
        ...

    async def reject_remediation(self, cluster_id: str, instance_id: str, remediation_id: str, comment: str) -> None:
        """Reject a repair that waits for approval."""
        ...

    async def cancel_remediation(self, cluster_id: str, instance_id: str, remediation_id: str) -> None:
        """Cancel a repair that has not begun."""
        ...
