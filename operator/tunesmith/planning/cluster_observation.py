"""Everything that a decision about one GPUCluster needs, as typed facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import ClassVar

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.adoption_target import Held, adoptable_clusters, held_cluster
from tunesmith.planning.bought import BoughtObservation, NoCredential
from tunesmith.planning.circumstances import Known, NotYet, Unknown
from tunesmith.planning.cluster_choice import ClusterChoice, Unfit, fit, next_choice, present_choice, unfit
from tunesmith.planning.kube_facts import NodeFact, PodFact
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.provider import (
    GPUS_PER_NODE,
    Credential,
    Phase,
    ProviderCluster,
    ProviderNode,
    Remediation,
)
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster import CONDITIONS, GPUCluster, GPUClusterSpec
from tunesmith.resources.gpu_cluster_parts import BillingType
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

REFUSALS = frozenset(
    {
        Reason.OUT_OF_STOCK,
        Reason.RATE_LIMITED,
        Reason.ORDER_NOT_SENT,
        Reason.CREDENTIALS_REFUSED,
        Reason.NO_CREDIT,
        Reason.PROVIDER_REFUSED,
        Reason.DRIVER_MISSING,
        Reason.VOLUME_IN_ANOTHER_PARTITION,
    }
)
"""What condition Provisioned says after the provider refused an order for certain."""


@dataclass(frozen=True)
class NamedVolume:
    """The SharedVolume that a cluster names, as far as its purchase needs it.

    `order_name` is the provider name that the volume's own intent gave, `elected_uid` the cluster that may make it.
    `credential` is what its resource sees the provider with; None: by both specs the same as the cluster does.
    """

    name: str
    regions: tuple[str, ...]
    size_tib: int
    volume_id: str | None = None
    order_name: str | None = None
    elected_uid: str | None = None
    bound_to: str | None = None
    trouble: str | None = None
    deleting: bool = False
    credential: Credential | NoCredential | Unknown | None = None


@dataclass(frozen=True)
class JobUse:
    """A FineTuneJob that was admitted to this cluster and has not ended. `nodes` are those it holds `gpus` of.

    `saved` is when its newest checkpoint was complete, or when it was admitted: what it did since would be done again.
    """

    name: str
    nodes: frozenset[str] = frozenset()
    gpus: int = 0
    deleting_since: datetime | None = None
    saved: datetime | None = None


@dataclass(frozen=True)
class StoredSecret:
    """The Secret where the kubeconfig goes. `value` is what it holds now, `uid` which one it is.

    `cluster_id` and `kube_system_uid` say which cluster it belongs to: the provider's id, and the uid of that cluster's
    own namespace kube-system. `replaced` is the hash of the kubeconfig that this one took the place of.
    """

    owner_uids: frozenset[str]
    value: str = field(repr=False)
    cluster_id: str = ""
    kube_system_uid: str = ""
    replaced: str = ""
    renew_at: datetime | None = field(default=None, compare=False)
    uid: str = field(default="", compare=False)


@dataclass(frozen=True)
class KubeconfigFacts:
    """What reading a kubeconfig says of it, without its secrets.

    `problem` is why it is not used; empty: it can be. `whole` False: it seems cut off rather than hostile.
    `renew_at` is at 80 % of the life of its certificate or token; None: it does not end.
    """

    problem: str = ""
    whole: bool = True
    renew_at: datetime | None = None


@dataclass(frozen=True)
class InsideFacts:
    """What stands in the bought cluster of the things that the operator puts there.

    `claims` and `persistent_volumes` map a name to its phase and its storage class.
    """

    namespace_labels: Mapping[str, str] | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    persistent_volumes: Mapping[str, str] = field(default_factory=dict)
    storage_classes: frozenset[str] = frozenset()


NOT_LOOKED = NotYet("nobody has looked yet")


_NOTHING = "Nothing is bought yet."
_NOT_BOUGHT = {
    "KubeconfigAvailable": Verdict(False, Reason.NOT_BOUGHT, _NOTHING),
    "NodesHealthy": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
    "AcceptanceTested": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
    "Drifted": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
    "Idle": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
}


@dataclass(frozen=True)
class ClusterObservation(BoughtObservation[GPUClusterStatus]):
    """One GPUCluster and the world round it."""

    word: ClassVar = "cluster"
    conditions: ClassVar = CONDITIONS
    not_bought: ClassVar = _NOT_BOUGHT

    resource: GPUCluster
    volume: NamedVolume | None = None
    jobs: tuple[JobUse, ...] = ()
    wanting_jobs: Known[frozenset[str]] | Unknown = NOT_LOOKED
    """Names of jobs on this cluster that have not ended, in any stage, and could go on by themselves."""
    waiting_jobs: Known[frozenset[str]] | Unknown = NOT_LOOKED
    """Those that say that they wait for the released cluster, and would fit on it."""
    gpu_pods: Known[frozenset[str]] | Unknown = NOT_LOOKED
    """Pods inside the bought cluster that use GPUs or ask for them, as `namespace/name`; whoever made them."""
    kubeconfig_secret: Known[StoredSecret | None] | Unknown = NOT_LOOKED
    inside: Known[InsideFacts] | Unknown = NOT_LOOKED
    nodes: Known[tuple[NodeFact, ...]] | Unknown = NOT_LOOKED
    offered: KubeconfigFacts = KubeconfigFacts()
    kube_system_uid: str = ""
    pods: Known[tuple[PodFact, ...]] | Unknown = NOT_LOOKED
    blames: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The jobs (by name) that blame a node of this cluster (by its name), ended ones too."""

    @property
    def spec(self) -> GPUClusterSpec:
        """What the user wants."""
        return self.resource.spec

    @property
    def status(self) -> GPUClusterStatus:
        """What was written down before."""
        return self.resource.status

    @property
    def here(self) -> RemoteCluster:
        """The bought cluster, as actions name it."""
        return RemoteCluster(self.resource.metadata.namespace or "", self.resource.metadata.name)

    def id_in(self, status: GPUClusterStatus) -> str | None:
        """The provider's id of the cluster that this status speaks of."""
        return status.cluster_id

    @property
    def wished_id(self) -> str | None:
        """`spec.adopt.clusterID`."""
        return None if self.spec.adopt is None else self.spec.adopt.cluster_id

    @property
    def wished_name(self) -> str | None:
        """`spec.adopt.clusterName`."""
        return None if self.spec.adopt is None else self.spec.adopt.cluster_name

    @property
    def held(self) -> Held | None:
        """The cluster that this resource holds, or would take over."""
        return held_cluster(self.resource, self.provider)

    @property
    def adoptable(self) -> tuple[ProviderCluster, ...]:
        """The living clusters that `spec.adopt` names."""
        return adoptable_clusters(self.resource, self.provider)

    def shown(self, thing_id: str) -> ProviderCluster | None:
        """The cluster with this id, when the provider's lists show it."""
        return self.provider.cluster(thing_id)

    def look(self, not_before: float, thing_id: str | None) -> LookAtProvider:
        """A look for the cluster with this id."""
        return LookAtProvider(not_before, cluster_id=thing_id)

    @property
    def bought(self) -> ProviderCluster | None:
        """The cluster whose id is recorded, when the provider shows it."""
        return None if self.status.cluster_id is None else self.provider.cluster(self.status.cluster_id)

    @property
    def bought_beside(self) -> tuple[ProviderCluster, ...]:
        """Living clusters of this resource's own name besides the one that is recorded; oldest first."""
        own = (each for each in self.provider.own_clusters(self.name) if each.id != self.status.cluster_id)
        return tuple(each for each in own if each.phase is not Phase.DELETING)

    @cached_property
    def recorded_nodes(self) -> Mapping[str, ProviderNode]:
        """The provider's records of the cluster's GPU nodes, by their name in the cluster's own Kubernetes."""
        cluster = self.bought
        return {} if cluster is None else {node.host_name: node for node in cluster.nodes if node.host_name}

    @cached_property
    def gpu_nodes(self) -> Mapping[str, NodeFact]:
        """The GPU nodes of its own Kubernetes, by name; those too that have lost all GPUs. Empty while unknown."""
        if isinstance(self.nodes, Unknown):
            return {}
        return {n.name: n for n in self.nodes.value if n.gpus > 0 or n.name in self.recorded_nodes}

    @cached_property
    def remediations(self) -> tuple[Remediation, ...]:
        """The provider's repairs of the cluster's nodes that were seen last; empty also while nobody has looked."""
        known = None if self.bought is None else self.provider.remediations.get(self.bought.id)
        return () if known is None else known.value

    @cached_property
    def remediations_by_node(self) -> Mapping[str, tuple[Remediation, ...]]:
        """The same by the node's name, newest first."""
        found: dict[str, list[Remediation]] = {}
        for repair in sorted(self.remediations, key=lambda each: (str(each.created or ""), each.id), reverse=True):
            found.setdefault(self.node_of(repair), []).append(repair)
        return {name: tuple(repairs) for name, repairs in found.items()}

    def node_of(self, repair: Remediation) -> str:
        """The node that is repaired, by its name in the cluster's Kubernetes; else by the provider's own name of it."""
        return self._machines.get(repair.instance_id) or repair.instance_name or repair.instance_id

    @cached_property
    def _machines(self) -> Mapping[str, str]:
        """The nodes' names by the provider's ids of their machines."""
        return {key: n.host_name for n in self.recorded_nodes.values() for key in (n.id, n.instance_id) if key}

    @cached_property
    def jobs_by_node(self) -> Mapping[str, tuple[JobUse, ...]]:
        """The jobs that were admitted to each node."""
        found: dict[str, list[JobUse]] = {}
        for job in self.jobs:
            for node in job.nodes:
                found.setdefault(node, []).append(job)
        return {name: tuple(jobs) for name, jobs in found.items()}

    @property
    def choice(self) -> ClusterChoice:
        """Where and what: as it was bought, else as the intent says, else as it is tried next."""
        following = next_choice(self.fit_choices, self.status.out_of_stock)
        return present_choice(self.spec, self.status, following)

    @property
    def fit_choices(self) -> tuple[ClusterChoice, ...]:
        """The choices that may be bought, in the order in which they are tried."""
        return fit(self.spec, self.provider.regions, *self._volume_at)

    @property
    def unfit_choices(self) -> tuple[Unfit, ...]:
        """The choices that cannot be bought, and why."""
        return unfit(self.spec, self.provider.regions, *self._volume_at)

    @property
    def _volume_at(self) -> tuple[str | None, tuple[str, ...]]:
        return (None, ()) if self.volume is None else (self.volume.name, self.volume.regions)

    @property
    def prepaid(self) -> bool:
        """It is paid ahead, by the spec or by the provider's word: giving it back early gives no money back."""
        if self.spec.billing.type is not BillingType.ON_DEMAND:
            return True
        said = False if self.bought is None else self.bought.is_prepaid
        return self.spec.adopt is not None if said is None else said  # of our own purchase the order tells

    @property
    def wanted_nodes(self) -> int:
        """The size that is wanted, in nodes: the user's; the provider's own where the user leaves it to the provider.

        provider: an autoscaled cluster has the size that its load asks for; `spec.nodes` was only its first.
        """
        bought = self.bought
        if bought is not None and (self.spec.max_nodes is not None or self.spec.nodes is None):
            return bought.gpus // GPUS_PER_NODE
        return self.spec.nodes or 1

    @property
    def wanted_gpus(self) -> int:
        """The size that the user wants, in GPUs."""
        return self.wanted_nodes * GPUS_PER_NODE

    @property
    def secret_name(self) -> str:
        """Where the kubeconfig goes."""
        return self.spec.kubeconfig_secret_name or f"{self.resource.metadata.name}-kubeconfig"
