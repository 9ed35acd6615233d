"""The nodes of a bought cluster and what uses them: which are GPU nodes, who holds one, and what it would lose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation, JobUse
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.provider import ProviderCluster, ProviderNode, Remediation

SCALE_DOWN, PREEMPTED, REPAIR = "ScaleDown", "Preempted", "Repair"
"""Why a node gets no further jobs: `status.leavingNodes[].reason`."""
MAY_FINISH, MUST_LEAVE = "MayFinish", "MustLeave"
"""What becomes of the jobs that are on it: `status.leavingNodes[].jobs`."""


def gpu_nodes(seen: ClusterObservation, cluster: ProviderCluster) -> Mapping[str, NodeFact]:
    """The GPU nodes that the cluster's own Kubernetes has, by name; empty while they are unknown.

    A node that has lost all its GPUs is one too when the provider records it as one.
    """
    if isinstance(seen.nodes, Unknown):
        return {}
    recorded = provider_nodes(cluster)
    return {node.name: node for node in seen.nodes.value if node.gpus > 0 or node.name in recorded}


def provider_nodes(cluster: ProviderCluster) -> Mapping[str, ProviderNode]:
    """The provider's records of GPU nodes, by their name in the cluster's own Kubernetes."""
    return {node.host_name: node for node in cluster.nodes if node.host_name}


def node_of(cluster: ProviderCluster, repair: Remediation) -> str:
    """The node that is repaired, by its name in the cluster's own Kubernetes; else by the provider's own name of it."""
    mine = (n.host_name for n in cluster.nodes if repair.instance_id and repair.instance_id in {n.instance_id, n.id})
    return next(mine, repair.instance_name or repair.instance_id)


def holders(seen: ClusterObservation, name: str) -> tuple[JobUse, ...]:
    """The jobs that were admitted to the node."""
    return tuple(job for job in seen.jobs if name in job.nodes)


def is_used(seen: ClusterObservation, name: str, *, by_others: bool = True) -> bool:
    """Whether a job or a living pod with GPUs holds the node; so too while pods are unknown.

    A job gives its admission back while its pods may still write: both are asked for. `by_others` False: only what is
    ours counts.
    """
    if holders(seen, name) or isinstance(seen.pods, Unknown):
        return True
    return any(
        pod.node == name and not pod.finished and pod.gpus > 0 and (by_others or pod.owner_uid is not None)
        for pod in seen.pods.value
    )


def used_nodes(seen: ClusterObservation) -> frozenset[str]:
    """All nodes that jobs or living pods with GPUs hold."""
    held: set[str] = set()
    for job in seen.jobs:
        held |= job.nodes
    if not isinstance(seen.pods, Unknown):
        held |= {pod.node for pod in seen.pods.value if pod.node and not pod.finished and pod.gpus > 0}
    return frozenset(held)


def seconds_at_risk(seen: ClusterObservation, job: JobUse) -> float:
    """The node-seconds that the job has worked since its newest checkpoint."""
    if job.saved is None:
        return 0.0
    return max(0.0, (seen.around.now - job.saved).total_seconds()) * len(job.nodes)


def by_least_loss(seen: ClusterObservation, names: Iterable[str]) -> tuple[str, ...]:
    """The nodes in the order that disturbs the fewest jobs: all nodes of the job that loses least come first.

    A job that is disturbed once is disturbed: its further nodes cost nothing more.
    """
    left = sorted(names)
    jobs_on = {name: holders(seen, name) for name in left}
    at_risk = {job.name: seconds_at_risk(seen, job) for job in seen.jobs}
    disturbed: set[str] = set()
    ordered: list[str] = []
    while left:
        fresh = {name: [job for job in jobs_on[name] if job.name not in disturbed] for name in left}
        costs = {name: (len(jobs), sum(at_risk[job.name] for job in jobs)) for name, jobs in fresh.items()}
        next_one = min(left, key=lambda name: (*costs[name], name))
        disturbed |= {job.name for job in jobs_on[next_one]}
        together = [name for name in left if all(job.name in disturbed for job in jobs_on[name])]
        ordered += [next_one, *(name for name in together if name != next_one)]
        left = [name for name in left if name not in set(ordered)]
    return tuple(ordered)
