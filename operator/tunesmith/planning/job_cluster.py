"""A job and the GPUCluster that it runs on: made for it by a template, or named by the user; ready for pods or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.planning.accepted import accepted_changes, accepted_verdicts
from tunesmith.planning.actions import ApplyObject, DeleteObject
from tunesmith.planning.attempt import OWNER_KIND
from tunesmith.planning.cannot_start import CANNOT_START
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.decision import Action
from tunesmith.planning.job_observation import JobDecision, JobObservation, stalled, working
from tunesmith.planning.reacquire import REACQUIRE_ANNOTATION
from tunesmith.planning.slurm import is_slurm
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.fine_tune_job_running import PlacementType
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.metadata import API_VERSION
from tunesmith.resources.purchase import ManagementPolicy
from tunesmith.resources.reasons import Reason
from tunesmith.resources.schema import to_raw

OF_THE_ORDER = frozenset(
    {
        Reason.REGION_UNKNOWN,
        Reason.GPU_TYPE_UNAVAILABLE,
        Reason.DRIVER_UNKNOWN,
        Reason.DRIVER_MISSING,
        Reason.VOLUME_IN_ANOTHER_REGION,
        Reason.VOLUME_IN_ANOTHER_PARTITION,
        Reason.PROVIDER_REFUSED,
    }
)
"""Why an order cannot be carried out as it is written."""


def cluster_of_the_template(seen: JobObservation) -> JobDecision | None:
    """The cluster's name stands in the status before the cluster is made: a crash in between finds it again."""
    if seen.spec.placement.type is not PlacementType.TEMPLATE or seen.cluster is not None:
        return None
    if seen.status.admission is not None:
        return None  # it was there once: what became of it is not ours to make again under a running attempt
    name = seen.identity.template_cluster_name
    message = f"GPUCluster '{name}' is being made for this job."
    return working(
        seen,
        "Waiting",
        "ClusterRequested",
        message,
        ApplyObject(None, template_cluster(seen)),
        changes={**accepted_changes(seen), "cluster_name": name},
        verdicts={**accepted_verdicts(seen), "ClusterReady": Verdict(False, "ClusterRequested", message)},
    )


def cluster_not_ready(seen: JobObservation) -> JobDecision | None:
    """The job waits for its cluster. One broken node does not matter here: the pool judges nodes."""
    if seen.where is None or seen.status.admission is not None:
        return None
    if seen.cluster is None:
        message = f"There is no GPUCluster '{seen.cluster_name}' in this namespace. Create it; the job waits."
        return _waits_for_it(seen, "ClusterNotFound", message)
    return (
        _runs_slurm(seen, seen.cluster)
        or _only_watched(seen, seen.cluster)
        or _without_its_storage(seen, seen.cluster)
        or _without_pods(seen, seen.cluster)
    )


def _runs_slurm(seen: JobObservation, cluster: GPUCluster) -> JobDecision | None:
    """Slurm gives out the nodes of such a cluster; pods beside it would be given GPUs that it counts as its own."""
    if not is_slurm(cluster.spec):
        return None
    message = (
        f"GPUCluster '{cluster.metadata.name}' runs Slurm, which gives out its nodes itself. Name a cluster of "
        "`clusterType` 'Kubernetes', or train there through Slurm."
    )
    verdict = Verdict(False, "SlurmCluster", message)
    return stalled(
        seen, "Invalid", "SlurmCluster", message, verdicts={**accepted_verdicts(seen), "ClusterReady": verdict}
    )


def _only_watched(seen: JobObservation, cluster: GPUCluster) -> JobDecision | None:
    """A job would make a namespace, claims and pods in it, which nobody may."""
    if cluster.spec.management_policy is not ManagementPolicy.OBSERVE:
        return None
    message = f"{closed_to_jobs(cluster)} Set its `managementPolicy` to 'Manage', or name another cluster."
    verdict = Verdict(False, "ClusterWatched", message)
    return stalled(
        seen, "Invalid", "ClusterWatched", message, verdicts={**accepted_verdicts(seen), "ClusterReady": verdict}
    )


def _without_its_storage(seen: JobObservation, cluster: GPUCluster) -> JobDecision | None:
    """The job's volume must be the cluster's own: it cannot come later."""
    wanted = seen.spec.storage.shared_volume.name if seen.spec.storage.shared_volume is not None else None
    attached = cluster.spec.volume_ref.name if cluster.spec.volume_ref is not None else None
    if wanted == attached:
        return None
    has = f"SharedVolume '{attached}'" if attached else "no volume"
    message = (
        f"GPUCluster '{cluster.metadata.name}' has {has}, the job's storage is SharedVolume '{wanted}'. "
        "A volume is attached only when a cluster is created: name the cluster's own volume, or another cluster."
    )
    verdict = Verdict(False, "StorageMismatch", message)
    return stalled(
        seen,
        "Invalid",
        "StorageMismatch",
        message,
        verdicts={**accepted_verdicts(seen), "ClusterReady": verdict},
    )


def _without_pods(seen: JobObservation, cluster: GPUCluster) -> JobDecision | None:
    """It will take pods later, or again."""
    if cluster.metadata.is_being_deleted:
        return _waits_for_it(seen, "ClusterDeleting", f"GPUCluster '{cluster.metadata.name}' is being deleted.")
    if cluster.status.release is not None:
        return _could_not_start(seen, cluster) or _waits_for_it(
            seen, "ClusterReleased", f"{why_released(cluster)} The job waits for it."
        )
    if is_gone(cluster):
        return _waits_for_it(seen, "ClusterLost", f"{_why_gone(cluster)} The job waits for another.")
    if not can_take_pods(cluster):
        return _not_ready(seen, cluster)
    if isinstance(seen.workload, Unknown):
        message = f"GPUCluster '{cluster.metadata.name}' does not answer: {seen.workload.why}."
        return _waits_for_it(seen, "ClusterUnreachable", message)
    return None


def _could_not_start(seen: JobObservation, cluster: GPUCluster) -> JobDecision | None:
    """No cluster is bought for a job that somebody must mend: it would stand idle until it is released again."""
    before = find_condition(seen.status.conditions, "Stalled")
    if before is None or not before.is_true or before.reason not in CANNOT_START:
        return None
    message = (
        f"{why_released(cluster)} The job's pods could not start there (the job's Event says why), so nothing is "
        f"bought for it. When that is mended, ask for the cluster by its annotation `{REACQUIRE_ANNOTATION}`, or "
        "delete the job and make another."
    )
    return stalled(
        seen,
        "Waiting",
        before.reason,
        message,
        changes={**accepted_changes(seen), "cluster_name": seen.cluster_name, "queue": None},
        verdicts={**accepted_verdicts(seen), "ClusterReady": Verdict(False, "ClusterReleased", message)},
    )


def can_take_pods(cluster: GPUCluster) -> bool:
    """It was Ready once, so that namespace and claim are there, and its kubeconfig is usable now."""
    return cluster.status.first_ready_time is not None and closed_to_jobs(cluster) is None and can_be_asked(cluster)


def closed_to_jobs(cluster: GPUCluster) -> str | None:
    """Why the cluster begins no further jobs although it may run; None: it is open. What runs on it runs on."""
    if cluster.status.release is not None:
        return why_released(cluster)
    if cluster.spec.management_policy is ManagementPolicy.OBSERVE:
        return (
            f"GPUCluster '{cluster.metadata.name}' is only watched (`managementPolicy` 'Observe'): no job runs on it."
        )
    if is_gone(cluster):
        return _why_gone(cluster)
    ready = find_condition(cluster.status.conditions, "Ready")
    if ready is not None and ready.reason == Reason.HOURS_OVER:
        return f"The hours of GPUCluster '{cluster.metadata.name}' are over."
    return None


def is_gone(cluster: GPUCluster) -> bool:
    """The provider has it no more, and this resource did not delete it: certain, and written down."""
    return reason_of(cluster.status.conditions, "Provisioned") in {Reason.GONE, Reason.RESERVATION_ENDED}


def why_lost(seen: JobObservation) -> str | None:
    """Why the cluster of the present attempt is certainly gone, in words; None: it is there, or nobody can say."""
    admission, cluster = seen.status.admission, seen.cluster
    if admission is None or cluster is None:
        return None
    if is_gone(cluster):
        return _why_gone(cluster)
    known = admission.cluster_id is not None and bool(cluster.status.conditions)  # none: a restored backup, say
    if not known or cluster.status.cluster_id == admission.cluster_id:
        return None
    return f"The cluster '{admission.cluster_id}' that GPUCluster '{cluster.metadata.name}' had before is gone."


def _why_gone(cluster: GPUCluster) -> str:
    """In the words of the GPUCluster, which say what to do."""
    said = find_condition(cluster.status.conditions, "Provisioned")
    return (
        f"GPUCluster '{cluster.metadata.name}' has lost its cluster. {said.message if said is not None else ''}".strip()
    )


def why_released(cluster: GPUCluster) -> str:
    """That it is given back, why, and whether it comes again by itself, in one or two sentences."""
    given_back = cluster.status.release
    reason = given_back.reason if given_back is not None else None
    verb = "is being given back" if cluster.status.cluster_id is not None else "was given back"
    ready = find_condition(cluster.status.conditions, "Ready")
    more = f" {ready.message}" if ready is not None and ready.reason == Reason.RELEASED else ""
    return f"GPUCluster '{cluster.metadata.name}' {verb} ({reason}).{more}"


def can_be_asked(cluster: GPUCluster) -> bool:
    """There is a kubeconfig for it."""
    return is_true(cluster.status.conditions, "KubeconfigAvailable")


def template_cluster(seen: JobObservation) -> dict[str, Any]:
    """The OnDemand GPUCluster of `spec.placement.template`, owned by the job."""
    template = seen.spec.placement.template
    assert template is not None  # a union whose type is Template has this member
    written = to_raw(template)
    return {
        "apiVersion": API_VERSION,
        "kind": "GPUCluster",
        "metadata": {
            "name": seen.identity.template_cluster_name,
            "namespace": seen.identity.namespace,
            "labels": seen.identity.labels,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": OWNER_KIND,
                    "name": seen.identity.name,
                    "uid": seen.identity.uid,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {"clusterType": "Kubernetes", "billing": {"type": "OnDemand"}, "deletionPolicy": "Delete", **written},
    }


def give_back_the_template_cluster(seen: JobObservation) -> tuple[Action, ...]:
    """Delete the cluster that was made for this job, unless it has another owner by now."""
    cluster = seen.cluster
    if seen.spec.placement.type is not PlacementType.TEMPLATE or cluster is None or cluster.metadata.is_being_deleted:
        return ()
    owners = {owner.uid for owner in cluster.metadata.owner_references}
    if owners != {seen.identity.uid}:
        return ()
    meta = cluster.metadata
    return (DeleteObject(None, API_VERSION, "GPUCluster", meta.namespace or "", meta.name, uid=meta.uid),)


def _waits_for_it(
    seen: JobObservation, reason: str, message: str, how: Callable[..., JobDecision] = working
) -> JobDecision:
    return how(
        seen,
        "Waiting",
        reason,
        message,
        changes={**accepted_changes(seen), "cluster_name": seen.cluster_name, "queue": None},
        verdicts={**accepted_verdicts(seen), "ClusterReady": Verdict(False, reason, message)},
    )


def _not_ready(seen: JobObservation, cluster: GPUCluster) -> JobDecision:
    """In the words of the GPUCluster. One that somebody must mend makes its jobs wait for the same."""
    named, ready = f"GPUCluster '{cluster.metadata.name}'", find_condition(cluster.status.conditions, "Ready")
    if ready is None:
        message = f"{named} is not ready for pods yet (nobody has looked at it yet); the job waits."
        return _waits_for_it(seen, "ClusterNotReady", message)
    message = f"{named} is not ready for pods yet ({ready.reason}): {ready.message}"
    if not is_true(cluster.status.conditions, "Stalled"):
        return _waits_for_it(seen, "ClusterNotReady", f"{message} The job waits.")
    return _waits_for_it(seen, "ClusterNotReady", f"{message} {_way_out(seen, cluster, ready.reason)}", how=stalled)


def _way_out(seen: JobObservation, cluster: GPUCluster, reason: str) -> str:
    """The template of a job cannot be changed, nor what its cluster is bought by."""
    template = seen.spec.placement.type is PlacementType.TEMPLATE
    if template and cluster.status.cluster_id is None and reason in OF_THE_ORDER:
        return "Delete this job and make another with a template that can be bought."
    return "The job goes on by itself once the cluster does."
