"""A job whose GPUCluster is given back while its resource stays: it saves, gives its GPUs back, and waits."""

from __future__ import annotations

from tunesmith.planning.attempt_end import Succeeded, end_of
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.job_cluster import why_released
from tunesmith.planning.job_end import leftovers
from tunesmith.planning.job_observation import JobDecision, JobObservation, working
from tunesmith.planning.release import SAVES_FIRST
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import last_heard
from tunesmith.resources.gpu_cluster import GPUCluster

RELEASED = "ClusterReleased"


def cluster_released(seen: JobObservation) -> JobDecision | None:
    """An admitted job under a release. One that has just succeeded is judged by its own end first."""
    cluster = seen.cluster
    if cluster is None or cluster.status.release is None or seen.status.admission is None:
        return None
    if isinstance(seen.workload, Unknown):
        return None if cluster.status.cluster_id is not None else _waits_again(seen, cluster)
    if isinstance(end_of(seen.workload.value, seen.attempt), Succeeded):
        return None
    if cluster.status.cluster_id is None:
        return _waits_again(seen, cluster)
    if cluster.status.release.reason not in SAVES_FIRST:
        return None  # the cluster keeps itself for a job that was admitted meanwhile
    if not seen.workload.value.jobs and not any(not pod.finished for pod in seen.workload.value.pods):
        return _waits_again(seen, cluster)
    message = f"{why_released(cluster)} The pods save a checkpoint and end."
    ending = Verdict(False, "Saving", message)
    return working(
        seen,
        "Saving",
        "Saving",
        message,
        *leftovers(seen, everything=True),
        verdicts={"ClusterReady": Verdict(False, RELEASED, message), "PodsReady": ending, "Progressing": ending},
    )


def _waits_again(seen: JobObservation, cluster: GPUCluster) -> JobDecision:
    """The admission goes back; the restart is nobody's fault and is not counted."""
    message = f"{why_released(cluster)} The job goes on from its newest complete checkpoint when it is bought again."
    gone = Verdict(False, RELEASED, message)
    return working(
        seen,
        "Waiting",
        RELEASED,
        message,
        changes={**last_heard(seen), "stage": None, "admission": None, "pods": ()},
        verdicts=dict.fromkeys(("ClusterReady", "Admitted", "PodsReady", "Progressing"), gone),
        events=(EventNote(EventType.WARNING, RELEASED, message),),
        again=0.0,
    )
