"""Everything that a decision about one SharedVolume needs, as typed facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from tunesmith.planning.adoption_target import Held, adoptable_volumes, held_volume
from tunesmith.planning.bought import BoughtObservation, NoCredential
from tunesmith.planning.circumstances import Known, NotYet, Unknown
from tunesmith.planning.decision import Decision
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.provider import Credential, ProviderCluster, ProviderVolume
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.volume_usage import VolumeUsage
from tunesmith.resources.reasons import Reason
from tunesmith.resources.references import NameReference
from tunesmith.resources.shared_volume import (
    CONDITIONS,
    BindingMode,
    SharedVolume,
    SharedVolumeSpec,
    SharedVolumeStatus,
)

VolumeDecision = Decision[SharedVolumeStatus]
NOT_MEASURED = NotYet("nobody has measured it yet")


@dataclass(frozen=True)
class NamingCluster:
    """A GPUCluster of the same namespace that names this volume.

    `buying`: its intent is open. `held_up`: it has no intent, and the newest that is known of it is that the provider
    refused its order for certain, or that somebody must do something first. `credential`: what it sees the provider
    with; None: by both specs the same as the volume does.
    """

    name: str
    uid: str
    regions: tuple[str, ...]
    created: datetime | None = None
    deleting: bool = False
    buying: bool = False
    cluster_id: str | None = None
    held_up: bool = False
    credentials_ref: NameReference | None = None
    project_id: str | None = None
    credential: Credential | NoCredential | Unknown | None = None

    @property
    def may_be_elected(self) -> bool:
        """It has not been bought yet, and still may be."""
        return not self.deleting and not self.held_up and self.cluster_id is None

    @property
    def needs_the_volume(self) -> bool:
        """It holds the volume, or an order of it may be on its way that does."""
        return self.cluster_id is not None or self.buying


_NOT_BOUGHT = {
    "InUse": Verdict(False, Reason.NOT_BOUGHT, "Nothing is bought yet."),
    "Resizing": Verdict(False, Reason.NOT_BOUGHT, "Nothing is bought yet."),
}


@dataclass(frozen=True)
class VolumeObservation(BoughtObservation[SharedVolumeStatus]):
    """One SharedVolume and the world round it."""

    word: ClassVar = "volume"
    conditions: ClassVar = CONDITIONS
    not_bought: ClassVar = _NOT_BOUGHT

    resource: SharedVolume
    clusters: tuple[NamingCluster, ...] = ()  # read anew from the API server while nobody is elected
    jobs: tuple[str, ...] = ()
    """Names of the FineTuneJobs that store on it, have not ended and are not being deleted; sorted."""
    usage: Known[VolumeUsage] | Unknown = NOT_MEASURED

    @property
    def spec(self) -> SharedVolumeSpec:
        """What the user wants."""
        return self.resource.spec

    @property
    def status(self) -> SharedVolumeStatus:
        """What was written down before."""
        return self.resource.status

    @property
    def regions(self) -> tuple[str, ...]:
        """Where it lies once that is known; before that everywhere it may be made, in the user's order."""
        if self.status.volume_id is not None and self.status.region:
            return (self.status.region,)
        return tuple(region for region in (self.spec.region, *self.spec.regions) if region)

    def id_in(self, status: SharedVolumeStatus) -> str | None:
        """The provider's id of the volume that this status speaks of."""
        return status.volume_id

    @property
    def wished_id(self) -> str | None:
        """`spec.adopt.volumeID`."""
        return None if self.spec.adopt is None else self.spec.adopt.volume_id

    @property
    def wished_name(self) -> str | None:
        """`spec.adopt.volumeName`."""
        return None if self.spec.adopt is None else self.spec.adopt.volume_name

    @property
    def held(self) -> Held | None:
        """The volume that this resource holds, or would take over."""
        return held_volume(self.resource, self.provider)

    @property
    def adoptable(self) -> tuple[ProviderVolume, ...]:
        """The living volumes that `spec.adopt` names."""
        return adoptable_volumes(self.resource, self.provider)

    def shown(self, thing_id: str) -> ProviderVolume | None:
        """The volume with this id, when the provider's lists show it."""
        return self.provider.volume(thing_id)

    def look(self, not_before: float, thing_id: str | None) -> LookAtProvider:
        """A look for the volume with this id."""
        return LookAtProvider(not_before, volume_id=thing_id)

    @property
    def bought(self) -> ProviderVolume | None:
        """The volume whose id is recorded, when the provider shows it."""
        return None if self.status.volume_id is None else self.provider.volume(self.status.volume_id)

    @property
    def bought_beside(self) -> tuple[ProviderVolume, ...]:
        """Volumes of this resource's own name besides the one that is recorded, by id."""
        own = self.provider.own_volumes(self.name)
        return tuple(each for each in own if each.id != self.status.volume_id and each.status != "deleting")

    @property
    def holder(self) -> ProviderCluster | None:
        """The provider's cluster that holds the volume. The volume itself does not say."""
        return None if self.status.volume_id is None else self.provider.holder_of(self.status.volume_id)

    @property
    def waits_for_first_cluster(self) -> bool:
        """It is made inline with a cluster, so that both land in the same part of the datacenter."""
        return self.spec.binding_mode is BindingMode.WAIT_FOR_FIRST_CLUSTER

    @property
    def is_held_by_no_resource(self) -> bool:
        """The provider shows it attached to a cluster that no GPUCluster of the namespace speaks of."""
        holder = self.holder
        return holder is not None and all(cluster.cluster_id != holder.id for cluster in self.clusters)

    def user(self) -> str | None:
        """Who has the volume or has ordered it: the GPUCluster's name, or the provider's when it is no resource's.

        Lists lag: a cluster that was bought and is not listed yet counts, and one whose order is under way.
        """
        if self.status.volume_id is None:
            return None
        holder = self.holder
        if holder is not None:
            return next((c.name for c in self.clusters if c.cluster_id == holder.id), holder.name)
        unlisted = (
            c for c in self.clusters if c.cluster_id is not None and self.provider.cluster(c.cluster_id) is None
        )
        return next((c.name for c in (*unlisted, *self.clusters) if c.needs_the_volume and not c.deleting), None)
