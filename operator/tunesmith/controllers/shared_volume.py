"""A SharedVolume's eyes and hands: gathers what planning/shared_volume.py decides on, and carries out its requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tunesmith.controllers.cloud_view import CloudView
from tunesmith.controllers.controller import Key
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.purchasing import Purchasing
from tunesmith.controllers.volume_usage import VolumeUsages
from tunesmith.kube.kinds import GPU_CLUSTER
from tunesmith.planning.adoption_target import held_volume
from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Action, Decision
from tunesmith.planning.neighbours import naming_clusters, storing_jobs
from tunesmith.planning.shared_volume import decide
from tunesmith.planning.volume_observation import NamingCluster, VolumeObservation
from tunesmith.resources.parsing import parse
from tunesmith.resources.shared_volume import SharedVolume, SharedVolumeStatus

Raw = Mapping[str, Any]


class SharedVolumeController:
    """The SharedVolume's part in a pass."""

    kind = "SharedVolume"

    def __init__(self, ports: Ports, clouds: CloudView) -> None:
        self._ports = ports
        self._clouds = clouds
        self._purchasing = Purchasing(ports, clouds)
        self._usages = VolumeUsages(ports)

    async def observe(self, key: Key, raw: Raw, around: Circumstances) -> VolumeObservation:
        """The resource, the provider, and the clusters that name it."""
        resource = _typed(raw)
        eyes = await self._purchasing.eyes(resource)
        return VolumeObservation(
            around=around,
            resource=resource,
            credential=eyes.credential,
            provider=eyes.view,
            memory=self._purchasing.remembered(key, resource, resource.status.volume_id, eyes, around),
            clusters=await self._clusters(key, resource),
            jobs=storing_jobs(self._ports.cache.list("FineTuneJob", key.namespace), key.name),
            usage=await self._usages.of(key, resource),
            credential_secret_held=eyes.secret_held,
            other_claims=self._purchasing.other_claims(resource, held_volume(resource, eyes.view)),
        )

    def decide(self, seen: VolumeObservation) -> Decision[SharedVolumeStatus]:
        """The pure decision, on what its neighbours need at this very moment: of some that go at once one goes last."""
        needed, leaving = self._clouds.secrets_of_neighbours(seen.resource)
        reference = seen.spec.credentials_ref
        shared = reference is not None and reference.name in needed
        decision = decide(replace(seen, credential_shared=shared, secrets_of_others=needed, secrets_of_leaving=leaving))
        self._clouds.was_decided(seen.resource.metadata.uid, decision.actions)
        return decision

    async def act(self, seen: VolumeObservation, action: Action) -> object:
        """One request to the provider, or one line of the audit log."""
        return await self._purchasing.act(seen, action)

    def wakes(self, raw: Raw) -> Iterable[Key]:
        """The clusters that name it: they wait for its election, its id, or its end."""
        meta = raw["metadata"]
        namespace = meta.get("namespace", "")
        clusters = naming_clusters(self._ports.cache.list("GPUCluster", namespace), meta["name"])
        return tuple(Key("GPUCluster", namespace, cluster.name) for cluster in clusters)

    def forget(self, key: Key) -> None:
        """The resource is gone: drop its memory."""
        self._purchasing.forget(key)
        self._usages.forget(key)

    async def _clusters(self, key: Key, resource: SharedVolume) -> tuple[NamingCluster, ...]:
        """The clusters that name it. While nobody is elected, as they stand now: the cache may lag behind an intent."""
        found = naming_clusters(self._ports.cache.list("GPUCluster", key.namespace), key.name)
        status = resource.status
        if not found or status.volume_id is not None:
            return found
        if status.create_intent is None:
            found = naming_clusters((await self._ports.kube.list(GPU_CLUSTER, key.namespace)).items, key.name)
        return tuple([await self._with_credential(resource, cluster) for cluster in found])

    async def _with_credential(self, resource: SharedVolume, cluster: NamingCluster) -> NamingCluster:
        found = await self._purchasing.credential_beside(resource, cluster.credentials_ref, cluster.project_id)
        return replace(cluster, credential=found)


def _typed(raw: Raw) -> SharedVolume:
    resource = parse(raw)
    if not isinstance(resource, SharedVolume):
        raise TypeError(f"not a SharedVolume that can be read: {resource}")
    return resource
