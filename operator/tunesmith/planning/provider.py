"""What the provider shows of clusters, volumes and regions, as typed facts. The wire itself is known only to cloud/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
class ProviderNode:
    """One GPU node as the provider records it. `host_name` is the node's name in the cluster's own Kubernetes.

    `phase` is the newest of its phases without the prefix, such as 'RUNNING'; `status` is a free string.
    `phases` are all of them, also without the prefix; `deleted` is when it went, for nodes that are gone.
    """

    id: str
    host_name: str
    instance_id: str = ""
    status: str = ""
    phase: str = ""
    phase_since: datetime | None = None
    gpus: int = 0
    marked_for_deletion: bool = False
    phases: tuple[PhaseTransition, ...] = ()
    deleted: datetime | None = None

    @property
    def preemptible(self) -> bool:
        """provider: preemptible nodes are named `gpu-preemptible-dp-*`."""
        return self.host_name.startswith("gpu-preemptible-dp-")


@dataclass(frozen=True)
class NodeEvent:
    """One entry of a cluster's node timeline, kept for 72 h. `reason` is such as 'TogetherPreemptionNotified'."""

    node_id: str
    reason: str
    message: str
    time: datetime


@dataclass(frozen=True)
class AddOn:
    """An add-on as it stands in a cluster."""

    name: str
    kind: str
    enabled: bool


@dataclass(frozen=True)
class InstalledComponents:
    """What the provider has installed into a cluster, in the words of our own spec; None: it does not say."""

    load_balancer: str | None = None
    ingress: bool | None = None
    observability: bool | None = None
    dashboard: bool | None = None
    gpu_operator_version: str | None = None
    network_operator_version: str | None = None


@dataclass(frozen=True)
class Login:
    """How people log in to a cluster, by OIDC. Empty: the provider does not say."""

    issuer_url: str = ""
    client_id: str = ""
    username_claim: str = ""
    username_prefix: str = ""
    groups_claim: str = ""
    groups_prefix: str = ""
    ca_certificate: str = ""


@dataclass(frozen=True)
class Alert:
    """What the provider's health checks said of a node. `severity` is INFO, WARNING or CRITICAL."""

    name: str
    severity: str
    started: datetime | None = None
    resolved: datetime | None = None
    summary: str = ""


@dataclass(frozen=True)
class Remediation:
    """One repair of a node at the provider. `mode` and `trigger` are without their prefixes, such as 'REBOOT_VM'."""

    id: str
    cluster_id: str
    instance_id: str
    mode: str
    state: str
    trigger: str = "MANUAL"
    instance_name: str = ""
    reason: str = ""
    error_message: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    alerts: tuple[Alert, ...] = ()

    @property
    def open(self) -> bool:
        """It is not over; a state that we do not know counts as open."""
        return self.state not in {"SUCCEEDED", "FAILED", "CANCELLED", "AUTO_RESOLVED"}

    @property
    def waits_for_approval(self) -> bool:
        """Somebody must approve it first."""
        return self.state == "PENDING_APPROVAL"


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
    cluster_type: str = "KUBERNETES"
    reserved_gpus: int = 0
    desired_preemptible_gpus: int = 0
    allocated_preemptible_gpus: int = 0
    capacity_pool_id: str = ""
    capacity_pool_gpus: int = 0
    reservation_start: datetime | None = None
    reservation_end: datetime | None = None
    duration_hours: int | None = None
    slurm_shared_memory_gib: int | None = None
    login: Login = Login()
    first_ready: datetime | None = None
    control_plane_ready: bool | None = None
    nodes: tuple[ProviderNode, ...] = ()
    deleted_nodes: tuple[ProviderNode, ...] = ()
    events: tuple[NodeEvent, ...] = ()
    components: InstalledComponents = InstalledComponents()
    add_ons: tuple[AddOn, ...] = ()

    @property
    def phase(self) -> Phase:
        """The status in our closed vocabulary."""
        return PHASE_OF_STATUS.get(self.status, Phase.IN_PROGRESS)

    @property
    def parsed_name(self) -> ProviderName | None:
        """The parts of the name when some installation of Tunesmith gave it, else None."""
        return parse_provider_name(self.name)

    @property
    def is_prepaid(self) -> bool | None:
        """It is paid ahead, all or in part, by the provider's word; None: it uses no word for that which is known."""
        if self.reserved_gpus > 0 or self.billing_type in {"RESERVED", "SCHEDULED_CAPACITY"}:
            return True
        return False if self.billing_type == "ON_DEMAND" else None

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
    fetched: Mapping[str, float] = field(default_factory=dict)
    """Ids of clusters that were asked for by themselves, past the list: when the newest such request began."""
    remediations: Mapping[str, Known[tuple[Remediation, ...]]] = field(default_factory=dict)
    """The repairs of each cluster (by its id) that `LookAtRemediations` asked for."""

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
        """Volumes of this resource itself (same installation, identity and uid), any incarnation, by id.

        One that was made inline may be shown by its cluster before the list of volumes has it.
        """
        attached = (
            ProviderVolume(volume.id, volume.name, volume.size_tib, volume.status)
            for cluster in self.seen_clusters()
            for volume in cluster.volumes
            if cluster.phase is not Phase.DELETING
        )
        known = {volume.id: volume for volume in (*attached, *self.seen_volumes())}.values()
        mine = [v for v in known if v.parsed_name is not None and v.parsed_name.is_same_object(name)]
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


def named_things(things: Iterable[ProviderCluster | ProviderVolume]) -> str:
    """Their names and ids, in words."""
    return ", ".join(f"'{each.name}' ({each.id})" for each in things)


def _age(cluster: ProviderCluster) -> tuple[str, str]:
    return (cluster.created.isoformat() if cluster.created else "", cluster.id)
