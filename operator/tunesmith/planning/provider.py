"""What the provider shows of clusters, volumes and regions, as typed facts. The wire itself is known only to cloud/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.naming import ProviderName, parse_provider_name

NOT_ASKED = Unknown("The provider was not asked yet.")
GPUS_PER_NODE = 8  # provider: `num_gpus` is a multiple of 8; one node holds 8


class Phase(Enum):
    """What a provider status means for us. An unknown status string is IN_PROGRESS: the provider adds new ones."""

    IN_PROGRESS = "in progress"
    READY = "ready"
    DEGRADED = "degraded"
    PAUSED = "paused"
    DELETING = "deleting"


PHASE_OF_STATUS = {
    "Ready": Phase.READY,
    "Degraded": Phase.DEGRADED,
    "Paused": Phase.PAUSED,
    "OnDemandComputePaused": Phase.PAUSED,
    "Deleting": Phase.DELETING,
}


@dataclass(frozen=True)
class PhaseTransition:
    """One step of a cluster's life, as the provider tells it."""

    phase: str
    time: datetime


@dataclass(frozen=True)
class AttachedVolume:
    """A shared volume as it stands in the cluster that holds it."""

    id: str
    name: str
    size_tib: int
    status: str


@dataclass(frozen=True)
class ProviderCluster:
    """One cluster at the provider. `kubeconfig` is the decoded YAML, empty while there is none; never printed."""

    id: str
    name: str
    status: str
    region: str
    gpu_type: str
    gpus: int
    project_id: str = ""
    billing_type: str = "ON_DEMAND"
    driver_version_id: str = ""
    cuda_version: str = ""
    driver_version: str = ""
    created: datetime | None = None
    phases: tuple[PhaseTransition, ...] = ()
    volumes: tuple[AttachedVolume, ...] = ()
    kubeconfig: str = field(default="", repr=False)

    @property
    def phase(self) -> Phase:
        """The status in our closed vocabulary."""
        return PHASE_OF_STATUS.get(self.status, Phase.IN_PROGRESS)

    @property
    def parsed_name(self) -> ProviderName | None:
        """The parts of the name when some installation of Tunesmith gave it, else None."""
        return parse_provider_name(self.name)

    @property
    def latest_phase(self) -> PhaseTransition | None:
        """The newest phase transition."""
        return max(self.phases, key=lambda transition: transition.time, default=None)


@dataclass(frozen=True)
class ProviderVolume:
    """One shared volume. The provider's list says neither its region nor the cluster that holds it."""

    id: str
    name: str
    size_tib: int
    status: str

    @property
    def parsed_name(self) -> ProviderName | None:
        """The parts of the name when some installation of Tunesmith gave it, else None."""
        return parse_provider_name(self.name)

    @property
    def is_usable(self) -> bool:
        """The volume can be named in a cluster's create, or already is held by one."""
        return self.status in {"available", "bound"}


@dataclass(frozen=True)
class Driver:
    """One entry of a region's driver catalogue."""

    id: str
    cuda_version: str
    driver_version: str
    os: str = ""


@dataclass(frozen=True)
class Region:
    """One region: what it can hold. The provider's list shows neither price nor stock."""

    name: str
    gpu_types: tuple[str, ...]
    drivers: tuple[Driver, ...] = ()


@dataclass(frozen=True)
class Credential:
    """Who asks: a cut hash of the API key, and the project that lists and purchases are made in. Never the key."""

    fingerprint: str
    project_id: str | None = None


@dataclass(frozen=True)
class ProviderView:
    """The newest clean lists that one credential got of one project. `as_of` is when each list was begun."""

    clusters: Known[tuple[ProviderCluster, ...]] | Unknown = NOT_ASKED
    volumes: Known[tuple[ProviderVolume, ...]] | Unknown = NOT_ASKED
    regions: Known[tuple[Region, ...]] | Unknown = NOT_ASKED
    not_found: Mapping[str, float] = field(default_factory=dict)
    """Ids that the provider said (404) it does not know, after a list lacked them: when the newest look began."""

    @property
    def begun(self) -> float | None:
        """Monotonic time at which the older of the two lists was begun; None when one was never got."""
        if isinstance(self.clusters, Unknown) or isinstance(self.volumes, Unknown):
            return None
        return min(self.clusters.as_of, self.volumes.as_of)

    def seen_clusters(self) -> tuple[ProviderCluster, ...]:
        """The clusters that are known to exist; empty also when the list is unknown, so never proof of absence."""
        return () if isinstance(self.clusters, Unknown) else self.clusters.value

    def seen_volumes(self) -> tuple[ProviderVolume, ...]:
        """The volumes that are known to exist; empty also when the list is unknown, so never proof of absence."""
        return () if isinstance(self.volumes, Unknown) else self.volumes.value

    def cluster(self, cluster_id: str) -> ProviderCluster | None:
        """The cluster of this id, if it is listed."""
        return next((cluster for cluster in self.seen_clusters() if cluster.id == cluster_id), None)

    def volume(self, volume_id: str) -> ProviderVolume | None:
        """The volume of this id, if it is listed."""
        return next((volume for volume in self.seen_volumes() if volume.id == volume_id), None)

    def holder_of(self, volume_id: str) -> ProviderCluster | None:
        """The cluster that holds this volume, if any is listed with it."""
        holds = (c for c in self.seen_clusters() if any(volume.id == volume_id for volume in c.volumes))
        return next(holds, None)

    def own_clusters(self, name: ProviderName) -> tuple[ProviderCluster, ...]:
        """Clusters of this resource itself (same installation, identity and uid), any incarnation; oldest first."""
        mine = [c for c in self.seen_clusters() if c.parsed_name is not None and c.parsed_name.is_same_object(name)]
        return tuple(sorted(mine, key=_age))

    def own_volumes(self, name: ProviderName) -> tuple[ProviderVolume, ...]:
        """Volumes of this resource itself (same installation, identity and uid), any incarnation, by id."""
        mine = [v for v in self.seen_volumes() if v.parsed_name is not None and v.parsed_name.is_same_object(name)]
        return tuple(sorted(mine, key=lambda volume: volume.id))

    def same_identity(self, name: ProviderName) -> tuple[ProviderCluster, ...]:
        """Living clusters of the same kind, namespace and name, but of another uid or installation; oldest first."""
        found = [
            c
            for c in self.seen_clusters()
            if c.parsed_name is not None and c.parsed_name.is_predecessor_of(name) and c.phase is not Phase.DELETING
        ]
        return tuple(sorted(found, key=_age))

    def same_identity_volumes(self, name: ProviderName) -> tuple[ProviderVolume, ...]:
        """Living volumes of the same identity, but of another uid or installation."""
        found = [v for v in self.seen_volumes() if v.parsed_name is not None and v.parsed_name.is_predecessor_of(name)]
        return tuple(sorted((v for v in found if v.status != "deleting"), key=lambda volume: volume.id))


def _age(cluster: ProviderCluster) -> tuple[str, str]:
    return (cluster.created.isoformat() if cluster.created else "", cluster.id)
