"""The played provider and the bought clusters as one process reaches them: each request a step that may go wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulation.api_server import INSIDE, PlayedKube, Store, gone_away
from tests.simulation.faults import Boundary, Fault, Kind
from tests.simulation.provider import REGIONS, Provider
from tests.simulation.world import Caller, Errors, World

from tunesmith.cloud.errors import CloudError
from tunesmith.kube.errors import KubeError
from tunesmith.kube.remote import RemoteView
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.cluster_observation import KubeconfigFacts
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder
from tunesmith.planning.provider import ProviderCluster, ProviderVolume, Region, Remediation


def _failed(error: ErrorClass, message: str, wait: float | None = None) -> CloudError:
    return CloudError(Failure(error, message, wait))


_READ = Errors(
    lost=lambda: _failed(ErrorClass.UNAVAILABLE, "No answer."),
    refused=lambda: _failed(ErrorClass.UNAVAILABLE, "The provider has a fault."),
    throttled=lambda seconds: _failed(ErrorClass.RATE_LIMITED, "Slower.", seconds),
)
_CREATED = Errors(
    lost=lambda: _failed(ErrorClass.AMBIGUOUS, "It is not known whether the provider did it."),
    refused=lambda: _failed(ErrorClass.AMBIGUOUS, "The provider has a fault."),
    throttled=lambda seconds: _failed(ErrorClass.RATE_LIMITED, "Slower.", seconds),
)


@dataclass(eq=False)
class PlayedCloud:
    """The provider as one process reaches it with one key. `account` gives whose key it is now; None: nobody's."""

    world: World
    caller: Caller
    account: Callable[[], Provider | None]

    async def list_clusters(self) -> tuple[ProviderCluster, ...]:
        """The clusters of the account."""
        return await self._across(Boundary.CLUSTERS_LIST, lambda account, fault: account.listed("clusters", fault))

    async def list_volumes(self) -> tuple[ProviderVolume, ...]:
        """The volumes of the account."""
        return await self._across(Boundary.VOLUMES_LIST, lambda account, fault: account.listed("volumes", fault))

    async def list_regions(self) -> tuple[Region, ...]:
        """All regions."""
        return await self._across(Boundary.REGIONS_LIST, lambda account, fault: REGIONS)

    async def list_remediations(self, cluster_id: str) -> tuple[Remediation, ...]:
        """No node is ever repaired here."""
        return ()

    async def get_cluster(self, cluster_id: str) -> ProviderCluster | None:
        """One cluster."""
        return await self._across(Boundary.CLUSTER_GET, lambda account, fault: account.looked_up(cluster_id, fault))

    async def get_volume(self, volume_id: str) -> ProviderVolume | None:
        """One volume."""
        return await self._across(Boundary.VOLUME_GET, lambda account, fault: account.looked_up(volume_id, fault))

    async def create_cluster(self, order: ClusterOrder, *, deadline: float) -> ProviderCluster:
        """Buy a cluster."""
        return await self._bought(Boundary.CLUSTER_CREATE, deadline, lambda account: account.create_cluster(order))

    async def create_volume(self, order: VolumeOrder, *, deadline: float) -> ProviderVolume:
        """Buy a volume."""
        return await self._bought(Boundary.VOLUME_CREATE, deadline, lambda account: account.create_volume(order))

    async def change_cluster(self, cluster_id: str, changes: ClusterChanges) -> None:
        """Change a cluster."""
        await self._across(Boundary.CLUSTER_CHANGE, lambda account, fault: account.change(cluster_id, changes))

    async def delete_cluster(self, cluster_id: str) -> None:
        """Give a cluster back."""
        await self._across(Boundary.CLUSTER_DELETE, lambda account, fault: account.delete_cluster(cluster_id))

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume."""
        await self._across(Boundary.VOLUME_DELETE, lambda account, fault: account.delete_volume(volume_id))

    async def _bought(self, boundary: Boundary, deadline: float, make: Callable[[Provider], Any]) -> Any:
        if self.world.now > deadline:
            raise _failed(ErrorClass.NOT_SENT, "Too late.")

        def made(account: Provider, fault: Fault | None) -> Any:
            if fault is not None and fault.kind is Kind.OUT_OF_STOCK:
                raise _failed(ErrorClass.OUT_OF_STOCK, "Out of stock.")
            return make(account)

        return await self._across(boundary, made, _CREATED)

    async def _across(
        self, boundary: Boundary, effect: Callable[[Provider, Fault | None], Any], errors: Errors = _READ
    ) -> Any:
        def guarded(fault: Fault | None) -> Any:
            account = self.account()
            if account is None:
                raise _failed(ErrorClass.UNAUTHENTICATED, "The provider does not know the API key.")
            return effect(account, fault)

        return await self.world.across(self.caller, boundary, guarded, errors)


@dataclass(eq=False)
class PlayedRemotes:
    """Bought clusters as one process reaches them: by what the kubeconfig Secret says, and by nothing else."""

    world: World
    caller: Caller
    api: Store
    providers: tuple[Provider, ...]

    def view(self, remote: RemoteCluster) -> RemoteView:
        """All nodes are Ready as soon as the cluster is."""
        found = self._found(remote)
        if found is None:
            dead = Unknown("nobody answers")
            return RemoteView(dead, dead, dead, dead)
        provider, cluster_id = found
        inside = provider.insides[cluster_id]
        nodes = tuple(_node(inside, name) for name in provider.nodes_of(cluster_id))
        now = self.world.now
        return RemoteView(Known(True, now), Known(nodes, now), Known((), now), Known((), now))

    def judge(self, kubeconfig: str) -> KubeconfigFacts:
        """Nothing is wrong with it."""
        return KubeconfigFacts()

    def look_now(self, remote: RemoteCluster) -> None:
        """It is read anew at every look anyway."""

    async def kube(self, remote: RemoteCluster) -> PlayedKube:
        """A client, as long as there is a kubeconfig."""
        cluster_id = self._named(remote)
        if cluster_id is None:
            raise KubeError(Failure(ErrorClass.NOT_FOUND, "There is no kubeconfig."))

        def store() -> Store:
            inside = next((p.insides[cluster_id] for p in self.providers if cluster_id in p.insides), None)
            if inside is None:
                raise gone_away()
            return inside

        return PlayedKube(self.world, self.caller, store, INSIDE)

    def _named(self, remote: RemoteCluster) -> str | None:
        resource = self.api.find("GPUCluster", remote.name)
        name = ((resource or {}).get("spec") or {}).get("kubeconfigSecretName") or f"{remote.name}-kubeconfig"
        secret = self.api.find("Secret", name)
        if secret is None:
            return None
        return base64.b64decode(secret["data"]["value"]).decode().rpartition("# ")[2]

    def _found(self, remote: RemoteCluster) -> tuple[Provider, str] | None:
        cluster_id = self._named(remote)
        return next(((p, cluster_id) for p in self.providers if cluster_id and cluster_id in p.insides), None)


def _node(inside: Store, name: str) -> Mapping[str, Any]:
    """A node, with the marks that the operator put on it."""
    marked = inside.find("Node", name, "") or {}
    return {
        "kind": "Node",
        "metadata": {"name": name, **(marked.get("metadata") or {})},
        "spec": marked.get("spec") or {},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }
