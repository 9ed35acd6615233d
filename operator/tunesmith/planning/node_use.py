"""Who uses the nodes of a bought cluster, and what it would lose; and the words in which the status speaks of nodes."""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation, JobUse

SCALE_DOWN, PREEMPTED, REPAIR = "ScaleDown", "Preempted", "Repair"
"""Why a node gets no further jobs: `status.leavingNodes[].reason`."""
MAY_FINISH, MUST_LEAVE = "MayFinish", "MustLeave"
"""What becomes of the jobs that are on it: `status.leavingNodes[].jobs`."""


def is_used(seen: ClusterObservation, name: str, *, by_others: bool = True) -> bool:
    """Whether a job or a living pod with GPUs holds the node; so too while pods are unknown.

    A job gives its admission back while its pods may still write: both are asked for. `by_others` False: only what is
    ours counts.
    """
    if name in seen.jobs_by_node or isinstance(seen.pods, Unknown):
        return True
    return any(
        pod.node == name and not pod.finished and pod.gpus > 0 and (by_others or pod.owner_uid is not None)
        for pod in seen.pods.value
    )


def used_nodes(seen: ClusterObservation) -> frozenset[str]:
    """All nodes that jobs or living pods with GPUs hold."""
    pods = () if isinstance(seen.pods, Unknown) else seen.pods.value
    return frozenset(seen.jobs_by_node) | {pod.node for pod in pods if pod.node and not pod.finished and pod.gpus > 0}


def by_least_loss(seen: ClusterObservation, names: Iterable[str]) -> tuple[str, ...]:
    """The nodes in the order that disturbs the fewest jobs: all nodes of the job that loses least come first.

    A job that is disturbed once is disturbed: its further nodes follow at once.
    """
    wanted = set(names)
    at_risk = {job.name: _seconds_at_risk(seen, job) for job in seen.jobs}
    jobs_on = {name: seen.jobs_by_node.get(name, ()) for name in wanted}
    costs = {name: (len(jobs), sum(at_risk[job.name] for job in jobs)) for name, jobs in jobs_on.items()}
    disturbed: set[str] = set()
    ordered: dict[str, None] = {}
    for name in sorted(wanted, key=lambda each: (*costs[each], each)):
        if name in ordered:
            continue
        ordered[name] = None
        disturbed |= {job.name for job in jobs_on[name]}
        siblings = sorted({node for job in jobs_on[name] for node in job.nodes} & wanted)
        ordered |= dict.fromkeys(
            node for node in siblings if node not in ordered and all(job.name in disturbed for job in jobs_on[node])
        )
    return tuple(ordered)


def _seconds_at_risk(seen: ClusterObservation, job: JobUse) -> float:
    """The node-seconds that the job has worked since its newest checkpoint."""
    if job.saved is None:
        return 0.0
    return max(0.0, (seen.around.now - job.saved).total_seconds()) * len(job.nodes)
