"""What a GPUCluster's status says of a bought cluster: as the provider and the cluster itself show it now."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.circumstances import NotYet, Unknown
from tunesmith.planning.cluster_account import closed
from tunesmith.planning.cluster_drift import drift
from tunesmith.planning.cluster_kubeconfig_facts import kubeconfig_verdict
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_tests import tested
from tunesmith.planning.credential_kept import key_of_now
from tunesmith.planning.idle import idle_since, idle_verdict
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.leaving import leaving_nodes
from tunesmith.planning.node_health import suspects
from tunesmith.planning.nodes_told import said_of_nodes
from tunesmith.planning.provider import GPUS_PER_NODE, Phase, ProviderCluster
from tunesmith.planning.repair_plan import repairs_recorded
from tunesmith.planning.reservation import ends_soon, reservation_of, waits_for_its_time
from tunesmith.planning.taken_over import what_deletion_does
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import AttachedVolume, GPUClusterStatus, GPUCounts, NodeCounts
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time


def as_seen(seen: ClusterObservation, cluster: ProviderCluster) -> GPUClusterStatus:
    """The status with what the provider shows now. What it cost is cluster_account's."""
    status = with_counts(seen)
    return status.model_copy(
        update={
            "nodes": _with_kinds(status.nodes, cluster),
            "provider_status": cluster.status,
            "volumes": tuple(AttachedVolume(id=volume.id, name=volume.name or None) for volume in cluster.volumes),
            "kubeconfig_secret_name": seen.secret_name,
            "selector": f"tunesmith.dev/cluster={seen.resource.metadata.name}",
            "suspect_nodes": suspects(seen),
            "leaving_nodes": leaving_nodes(seen, cluster),
            "repairs": repairs_recorded(seen, cluster),
            "reservation": reservation_of(seen, cluster),
            "idle_since": idle_since(seen, cluster),
            **key_of_now(seen),
        }
    )


def standing(seen: ClusterObservation, cluster: ProviderCluster) -> dict[str, Verdict]:
    """What is known of every condition of a bought cluster now. Every decision about one begins from this."""
    return {
        "Provisioned": provisioned(seen, cluster),
        **kubeconfig_verdict(seen, cluster),
        "NodesHealthy": _nodes(seen, cluster),
        "AcceptanceTested": tested(seen, cluster),
        "Drifted": drift(seen, cluster),
        **idle_verdict(seen, cluster),
    }


def is_being_built(seen: ClusterObservation, cluster: ProviderCluster) -> bool:
    """It was never Ready, and the provider says that it works on it. Later the same words mean other work on it."""
    return cluster.phase is Phase.IN_PROGRESS and seen.status.first_ready_time is None


def provisioned(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict:
    """Whether the provider has built it; of one that was taken over also what becomes of it with this resource."""
    verdict, more = _provisioned(seen, cluster), what_deletion_does(seen.spec, "cluster")
    return replace(verdict, message=f"{verdict.message} {more}") if more else verdict


def _provisioned(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict:
    """The message names its phase and since when, and so moves only with it."""
    if is_being_built(seen, cluster):
        scheduled = waits_for_its_time(seen, cluster)
        if scheduled is not None:
            return scheduled
        phase = cluster.latest_phase
        since = f" since {format_time(phase.time.replace(microsecond=0))}" if phase is not None else ""
        return Verdict(False, Reason.PROVISIONING, f"The provider is building the cluster: '{cluster.status}'{since}.")
    if cluster.phase is Phase.DELETING:
        return Verdict(False, Reason.DELETING, f"The provider is deleting cluster '{cluster.name}'.")
    if cluster.phase is Phase.DEGRADED:
        return Verdict(True, Reason.DEGRADED, f"The provider says that some of cluster '{cluster.name}' does not work.")
    if cluster.phase is Phase.PAUSED:
        message = f"The provider has built cluster '{cluster.name}' and stopped it ('{cluster.status}')."
        return Verdict(True, Reason.STOPPED_BY_PROVIDER, message)
    return ends_soon(seen, cluster) or Verdict(True, Reason.BOUGHT, f"The provider has built cluster '{cluster.name}'.")


def counted(seen: ClusterObservation) -> str:
    """How many nodes and GPUs can be used, in words."""
    nodes = () if isinstance(seen.nodes, Unknown) else seen.nodes.value
    ready, gpus = ready_nodes(nodes), ready_gpus(nodes)
    if ready >= seen.wanted_nodes and gpus >= seen.wanted_gpus:
        if seen.wanted_nodes == 1:
            return f"1 node with {seen.wanted_gpus} GPUs is Ready."
        return f"{seen.wanted_nodes} nodes with {seen.wanted_gpus} GPUs are Ready."
    return f"{ready} of {seen.wanted_nodes} nodes are Ready with {gpus} of {seen.wanted_gpus} GPUs."


def _nodes(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict:
    if is_being_built(seen, cluster):
        return Verdict(None, Reason.PROVISIONING, "The nodes are seen when the provider has built the cluster.")
    if isinstance(seen.nodes, NotYet):
        return Verdict(None, Reason.CONNECTING, "Nothing is known of the nodes yet.")
    if isinstance(seen.nodes, Unknown):
        return Verdict(None, Reason.CLUSTER_UNREACHABLE, f"Nothing is known of the nodes: {seen.nodes.why}")
    nodes, gpus = ready_nodes(seen.nodes.value), ready_gpus(seen.nodes.value)
    reason, more = said_of_nodes(seen, cluster)
    message = f"{counted(seen)} {more}".rstrip()
    if reason is None and nodes >= seen.wanted_nodes and gpus >= seen.wanted_gpus:
        return Verdict(True, Reason.NODES_READY, message)
    missing = Reason.GPUS_MISSING if nodes >= seen.wanted_nodes else Reason.NODES_NOT_READY
    return Verdict(False, reason or missing, message)


def _with_kinds(nodes: NodeCounts | None, cluster: ProviderCluster) -> NodeCounts | None:
    """The counts, with how many of the nodes may be taken away and how many come from a capacity pool, if any."""
    if nodes is None:
        return None
    kinds = {"preemptible": cluster.allocated_preemptible_gpus, "capacity_pool": cluster.capacity_pool_gpus}
    return nodes.model_copy(update={kind: gpus // GPUS_PER_NODE or None for kind, gpus in kinds.items()})


def ready_nodes(nodes: tuple[NodeFact, ...]) -> int:
    """How many GPU nodes are Ready."""
    return sum(1 for node in nodes if node.ready and node.gpus > 0)


def ready_gpus(nodes: tuple[NodeFact, ...]) -> int:
    """How many GPUs are allocatable on Ready nodes."""
    return sum(node.gpus for node in nodes if node.ready)


def with_counts(seen: ClusterObservation) -> GPUClusterStatus:
    """The status with the counts of now."""
    held = sum(job.gpus for job in seen.jobs)
    desired = None if seen.spec.nodes is None else seen.wanted_nodes  # nobody asked for a size: none is invented
    if isinstance(seen.nodes, Unknown):
        ready, gpus = _as_last_seen(seen)
    else:
        ready, gpus = ready_nodes(seen.nodes.value), ready_gpus(seen.nodes.value)
    return seen.status.model_copy(
        update={
            "nodes": NodeCounts(desired=desired, ready=ready),
            "gpus": GPUCounts(desired=None if desired is None else seen.wanted_gpus, allocated=held, ready=gpus),
        }
    )


def without_what_is_gone(seen: ClusterObservation) -> GPUClusterStatus:
    """The status once the provider shows the cluster no more: nothing is counted, and nothing accrues."""
    status = seen.status.model_copy(
        update={"provider_status": None, "nodes": None, "gpus": None, "suspect_nodes": (), "leaving_nodes": ()}
    )
    return closed(seen, status)


def _as_last_seen(seen: ClusterObservation) -> tuple[int | None, int | None]:
    """While nothing is seen of the nodes both counts stay; the condition NodesHealthy says that they are old."""
    nodes, gpus = seen.status.nodes, seen.status.gpus
    return (nodes.ready if nodes is not None else None), (gpus.ready if gpus is not None else None)
