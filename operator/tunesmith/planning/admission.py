"""What a job's status says to its pool: whether it asks for GPUs, and what it holds. The pool believes nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.job_observation import cluster_name_of
from tunesmith.planning.kube_facts import NodeFact, PodFact
from tunesmith.planning.placement import PodPlace, Tolerated
from tunesmith.planning.pool import Granted, Holding, InLine, PoolAnswer, Request, as_holding, assign
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.gpu_cluster import GPUCluster

# The job stands in line with one of these as the reason of its Ready condition.
ASKING = frozenset({"Queued", "PoolUnknown", "PoolTooSmall"})
BEGINNING = datetime.fromtimestamp(0, UTC)


def pool_of(job: FineTuneJob) -> RemoteCluster | None:
    """Where the job's GPUs come from: a bought cluster, or None for the pool of all local GPU nodes."""
    cluster = cluster_name_of(job)
    return None if cluster is None else RemoteCluster(job.namespace, cluster)


def request_of(job: FineTuneJob) -> Request | None:
    """What the job asks of its pool, or None while it does not stand in line."""
    plan, ready = job.status.plan, find_condition(job.status.conditions, "Ready")
    if job.status.admission is not None or job.metadata.is_being_deleted or plan is None or ready is None:
        return None
    if ready.reason not in ASKING or plan.pods is None or plan.gpus_per_pod is None:
        return None
    if ready.reason == "PoolTooSmall" and not _is_prepared(job):
        return None  # told before the line; GPUs granted now would wait for its data
    return asked_for(job, plan.pods, plan.gpus_per_pod)


def asked_for(job: FineTuneJob, pods: int, gpus_per_pod: int) -> Request:
    """What the job asks of its pool when it needs so much."""
    local = job.spec.placement.local
    return Request(
        uid=job.metadata.uid,
        name=job.metadata.name,
        created=job.metadata.creation_timestamp or BEGINNING,
        attempt=(job.status.attempt or 0) + 1,
        pods=pods,
        gpus_per_pod=gpus_per_pod,
        avoid=frozenset(job.status.blamed_nodes),
        node_selector=(local.node_selector or {}) if local is not None else {},
        tolerations=tolerations_of(job),
    )


def _is_prepared(job: FineTuneJob) -> bool:
    preparation = job.status.preparation
    return preparation is not None and preparation.completion_time is not None


def holding_of(job: FineTuneJob, pods: Iterable[PodFact]) -> Holding | None:
    """What the job was granted and has recorded, until it has ended or is gone."""
    admission = job.status.admission
    if admission is None or has_ended(job):
        return None
    return Holding(
        uid=job.metadata.uid,
        name=job.metadata.name,
        since=admission.time or BEGINNING,
        pods=tuple(PodPlace(pod.node, pod.gpus) for pod in admission.pods),
        has_pods=any(pod.owner_uid == job.metadata.uid and pod.attempt == job.status.attempt for pod in pods),
    )


def stands_on(job: FineTuneJob, nodes: frozenset[str]) -> bool:
    """Whether the job's present attempt was granted one of these nodes."""
    admission = job.status.admission
    return admission is not None and not has_ended(job) and any(pod.node in nodes for pod in admission.pods)


def has_ended(job: FineTuneJob) -> bool:
    """Succeeded or failed, for good."""
    return is_true(job.status.conditions, "Succeeded") or is_true(job.status.conditions, "Failed")


def nodes_to_expect(cluster: GPUCluster) -> int:
    """How many GPU nodes the cluster can come to have: the provider may make an autoscaled one as large as it may be.

    Where the user leaves the size to the provider, it is what the provider was seen to have last.
    """
    spec, counts = cluster.spec, cluster.status.nodes
    return spec.max_nodes or spec.nodes or (counts.desired if counts is not None else None) or 1


def still_wanted(grants: Mapping[str, tuple[Request, Granted]], asking: Mapping[str, Request]) -> frozenset[str]:
    """The uids of grants in memory whose jobs still ask for just that; the others recorded or declined theirs."""
    return frozenset(uid for uid, (request, _) in grants.items() if asking.get(uid) == request)


def tolerations_of(job: FineTuneJob) -> tuple[Tolerated, ...]:
    """What the job's pods put up with besides the taint of GPU nodes."""
    local = job.spec.placement.local
    if local is None:
        return ()
    return tuple(
        Tolerated(
            one.key,
            one.operator.value,
            one.value or "",
            one.effect.value if one.effect is not None else "",
            one.toleration_seconds,
        )
        for one in local.tolerations
    )


@dataclass(frozen=True)
class Judgement:
    """One pass over a pool: grants that are not recorded yet, by uid, and the answer for every job that has one."""

    grants: Mapping[str, tuple[Request, Granted]]
    answers: Mapping[str, PoolAnswer]

    def answer_for(self, job: FineTuneJob) -> PoolAnswer | None:
        """The answer to what the job asks now; a grant of an earlier attempt is none."""
        answer, request = self.answers.get(job.metadata.uid), request_of(job)
        if isinstance(answer, Granted) and (request is None or self.grants[job.metadata.uid][0] != request):
            return None
        return answer


def with_positions_of_before(
    answers: Mapping[str, PoolAnswer], before: Mapping[str, PoolAnswer]
) -> Mapping[str, PoolAnswer]:
    """The answers, but who still stands in line is told what it was told before: places move often."""
    return {
        uid: before[uid] if isinstance(answer, InLine) and isinstance(before.get(uid), InLine) else answer
        for uid, answer in answers.items()
    }


def judge(
    jobs: Iterable[FineTuneJob],
    grants: Mapping[str, tuple[Request, Granted]],
    nodes: Iterable[NodeFact],
    pods: Iterable[PodFact],
    now: datetime,
    *,
    suspects: frozenset[str] = frozenset(),
    closed: str | None = None,
) -> Judgement:
    """All jobs of one pool against its nodes. Earlier grants stand until they are recorded or declined.

    `closed` says why nothing more is granted; the jobs in line are told.
    """
    jobs, pods = tuple(jobs), tuple(pods)
    waiting = {request.uid: request for request in map(request_of, jobs) if request is not None}
    wanted = still_wanted(grants, waiting)
    kept = {uid: grant for uid, grant in grants.items() if uid in wanted}
    held = [holding for holding in (holding_of(job, pods) for job in jobs) if holding is not None]
    pending = [as_holding(request, granted, now) for request, granted in kept.values()]
    asking = [request for uid, request in waiting.items() if uid not in kept]
    if closed is not None:
        line = sorted(asking, key=lambda one: (one.created, one.uid))
        told: dict[str, PoolAnswer] = {one.uid: InLine(place, closed) for place, one in enumerate(line, start=1)}
        return Judgement(kept, {**told, **{uid: granted for uid, (_, granted) in kept.items()}})
    answers = dict(assign(asking, [*held, *pending], nodes, pods, suspects))
    new = {uid: (waiting[uid], answer) for uid, answer in answers.items() if isinstance(answer, Granted)}
    return Judgement({**kept, **new}, {**answers, **{uid: granted for uid, (_, granted) in kept.items()}})
