"""Whether a job's pool could ever hold its pods: asked before anything is bought, fetched or prepared for the job.

The pool itself answers once the job stands in line. This is the same rule, asked of what is known before that.
"""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.planning.acceptance import Plan, plan_of
from tunesmith.planning.accepted import accepted_changes, accepted_verdicts
from tunesmith.planning.admission import asked_for, nodes_to_expect
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.job_observation import JobDecision, JobObservation, stalled
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.pool import never_fits, with_nodes_to_come
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.fine_tune_job_running import PlacementType
from tunesmith.resources.gpu_cluster import GPUCluster


def pool_too_small(seen: JobObservation) -> JobDecision | None:
    """Looked at again and again until the preparation begins: a pool can grow. One that cannot be seen is not small."""
    if seen.status.admission is not None or seen.status.preparation is not None:
        return None
    plan, nodes = plan_of(seen), _nodes_of_the_pool(seen)
    if not isinstance(plan, Plan) or nodes is None:
        return None
    small = never_fits(asked_for(seen.job, plan.pods, plan.gpus_per_pod), nodes)
    if small is None:
        return None
    return stalled(
        seen,
        "Waiting",
        "PoolTooSmall",
        small.why,
        changes={**accepted_changes(seen), "queue": None},
        verdicts={**accepted_verdicts(seen), "Admitted": Verdict(False, "PoolTooSmall", small.why)},
    )


def _nodes_of_the_pool(seen: JobObservation) -> Iterable[NodeFact] | None:
    """Those that are there, and those that will be; None as long as nobody knows."""
    placement = seen.spec.placement
    if seen.cluster is not None:
        return _nodes_of_cluster(seen, seen.cluster)
    if placement.type is PlacementType.TEMPLATE and placement.template is not None:
        return with_nodes_to_come((), placement.template.nodes)
    if placement.type is PlacementType.LOCAL and not isinstance(seen.workload, Unknown):
        return seen.workload.value.nodes
    return None


def _nodes_of_cluster(seen: JobObservation, cluster: GPUCluster) -> Iterable[NodeFact] | None:
    if not isinstance(seen.workload, Unknown):
        return with_nodes_to_come(seen.workload.value.nodes, nodes_to_expect(cluster))
    ordered = cluster.spec.max_nodes or cluster.spec.nodes
    return None if ordered is None else with_nodes_to_come((), ordered)
