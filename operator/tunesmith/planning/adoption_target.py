"""What `spec.adopt` names, among what the provider shows. Facts only; what follows is decided in `adoption.py`."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.planning.provider import Phase, ProviderCluster, ProviderView, ProviderVolume
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.shared_volume import SharedVolume

LEAVING_VOLUME = "deleting"


@dataclass(frozen=True)
class Held:
    """An object of the provider, by id and name."""

    id: str
    name: str


def adoptable_clusters(resource: GPUCluster, view: ProviderView) -> tuple[ProviderCluster, ...]:
    """The living clusters that `spec.adopt` names, in the order of their ids. An id has one at most."""
    adopt = resource.spec.adopt
    if adopt is None:
        return ()
    if adopt.cluster_id is not None:
        found = [each for each in view.seen_clusters() if each.id == adopt.cluster_id]
    else:
        found = [each for each in view.seen_clusters() if each.name == adopt.cluster_name]
    living = (each for each in found if each.phase is not Phase.DELETING)
    return tuple(sorted(living, key=lambda each: each.id))


def adoptable_volumes(resource: SharedVolume, view: ProviderView) -> tuple[ProviderVolume, ...]:
    """The living volumes that `spec.adopt` names, in the order of their ids."""
    adopt = resource.spec.adopt
    if adopt is None:
        return ()
    if adopt.volume_id is not None:
        found = [each for each in view.seen_volumes() if each.id == adopt.volume_id]
    else:
        found = [each for each in view.seen_volumes() if each.name == adopt.volume_name]
    return tuple(sorted((each for each in found if each.status != LEAVING_VOLUME), key=lambda each: each.id))


def held_cluster(resource: GPUCluster, view: ProviderView) -> Held | None:
    """The cluster that this resource holds, or would take over: what it is claimed from others by."""
    if resource.status.cluster_id is not None:
        return Held(resource.status.cluster_id, resource.status.provider_name or "")
    found = adoptable_clusters(resource, view)
    return Held(found[0].id, found[0].name) if len(found) == 1 else None


def held_volume(resource: SharedVolume, view: ProviderView) -> Held | None:
    """The volume that this resource holds, or would take over."""
    if resource.status.volume_id is not None:
        return Held(resource.status.volume_id, resource.status.provider_name or "")
    found = adoptable_volumes(resource, view)
    return Held(found[0].id, found[0].name) if len(found) == 1 else None
