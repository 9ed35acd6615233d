"""How a job ends: recorded first, then everything that it made is taken away, then the resource is let go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tunesmith.planning.actions import DeleteObject, SetMetadata
from tunesmith.planning.attempt import from_storage
from tunesmith.planning.attempt_end import Part, Succeeded
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.decision import Action, EventNote, EventType
from tunesmith.planning.errand import errand_under_way
from tunesmith.planning.job_cluster import give_back_the_template_cluster, is_gone
from tunesmith.planning.job_observation import (
    FINALIZER,
    LOOK_AGAIN_SECONDS,
    JobDecision,
    JobObservation,
    as_it_was,
    done,
    stalled,
    working,
)
from tunesmith.planning.kube_facts import PodFact
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import finished_progress, last_heard, progress_changes
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.fine_tune_job_running import OnDelete
from tunesmith.resources.fine_tune_job_status import Failure, FineTuneJobStatus, OutputStatus
from tunesmith.resources.metadata import API_VERSION

AT_ONCE_SECONDS = 1  # kubernetes: 0 would take the pod out of the API while its processes may go on
LOG_TAIL_LINES = 50
LOGS_KEPT_SECONDS = 3600.0
PEERS_END_SECONDS = 60.0  # kubernetes: the Job controller ends the other pods of a failed Job by itself
TAIL_CHARACTERS = 4000


def being_deleted(seen: JobObservation) -> JobDecision | None:
    """Training pods are stopped (and save, unless the user said Abort), then the resource goes."""
    if not seen.job.metadata.is_being_deleted:
        return None
    if FINALIZER not in seen.job.metadata.finalizers:
        return JobDecision(status=seen.status)
    if (seen.attempt == 0 and seen.status.preparation is None) or _cluster_takes_everything_along(seen):
        return _let_go(seen)  # nothing was ever made, or its cluster's end is its end
    if isinstance(seen.workload, Unknown):
        message = f"The cluster does not answer ({seen.workload.why}); what the job made there is still to be removed."
        unseen = Verdict(None, "ClusterUnreachable", message)
        verdicts = dict.fromkeys(("ClusterReady", "PodsReady", "Progressing"), unseen)
        return working(seen, "Deleting", "ClusterUnreachable", message, verdicts=verdicts)
    actions = (*_stop_at_once(seen), *leftovers(seen, everything=True))
    if seen.workload.value.jobs or live_pods(seen):
        saving = seen.spec.on_delete is OnDelete.SAVE and seen.status.admission is not None
        message = "Its pods are ending" + (" and save a checkpoint." if saving else ".")
        ending = Verdict(False, "Deleting", message)
        verdicts = {} if _has_ended(seen) else {"PodsReady": ending, "Progressing": ending}
        return working(seen, "Deleting", "Deleting", message, *actions, verdicts=verdicts)
    return _let_go(seen)


def finished(seen: JobObservation) -> JobDecision | None:
    """The end stands in the status: take away what the attempts made, then wait for the job's time to live."""
    if not _has_ended(seen):
        return None
    status, kept_seconds = as_it_was(seen), _seconds_to_keep_the_log(seen)
    tidy = (*leftovers(seen, everything=kept_seconds <= 0), *give_back_the_template_cluster(seen))
    if tidy or FINALIZER not in seen.job.metadata.finalizers:
        return JobDecision(status=status, actions=tidy or _expired(seen), look_again_seconds=_seconds_to_live(seen))
    if isinstance(seen.workload, Unknown) and not _cluster_takes_everything_along(seen):
        return JobDecision(status=status, look_again_seconds=LOOK_AGAIN_SECONDS)
    if not isinstance(seen.workload, Unknown) and seen.workload.value.jobs:
        # Kept for its log, or being deleted.
        return JobDecision(status=status, look_again_seconds=kept_seconds or LOOK_AGAIN_SECONDS)
    return JobDecision(status=status, actions=(_without_finalizer(seen),), look_again_seconds=_seconds_to_live(seen))


def succeeded(seen: JobObservation, end: Succeeded) -> JobDecision:
    """The job has its result, by the trainer's own word."""
    said = end.said
    path = from_storage(said.path or "")
    done_steps = f"All {said.total_steps} steps are done"
    if said.stopped_early_at_step is not None:
        done_steps = f"Stopped early at step {said.step} of {said.total_steps}: the evaluation loss fell no more"
    message = f"{done_steps}; the result is at '{path}' on the storage."
    verdicts = {
        "Succeeded": Verdict(True, "Succeeded", message),
        "Failed": Verdict(False, "Succeeded", "The job has succeeded."),
    }
    changes = {
        **progress_changes(seen, last=True),
        "progress": finished_progress(seen, said),
        "output": (seen.status.output or OutputStatus()).model_copy(
            update={"path": path, "sha256": said.result_sha256, "size_bytes": said.result_bytes}
        ),
        "completion_time": seen.around.now,
        "queue": None,
    }
    note = EventNote(EventType.NORMAL, "Succeeded", message)
    return done(seen, "Succeeded", "Succeeded", message, changes=changes, verdicts=verdicts, events=(note,), again=0.0)


def failed(
    seen: JobObservation,
    error_class: str,
    reason: str,
    message: str,
    words: str = "",
    *,
    verdicts: Mapping[str, Verdict] | None = None,
) -> JobDecision:
    """The job has failed for good. `message` is what the user reads first; `words` are the trainer's own.

    `verdicts` are on conditions besides the two ends.
    """
    tail = seen.last_words or (seen.report.tail if seen.report is not None else ())
    return stalled(
        seen,
        "Failed",
        reason,
        message,
        changes={
            **last_heard(seen),
            "failure": Failure(class_=error_class, reason=reason, message=words or message),
            "log_tail": "\n".join(tail[-LOG_TAIL_LINES:])[-TAIL_CHARACTERS:] or None,
            "queue": None,
            "completion_time": seen.around.now,
        },
        verdicts={
            **(verdicts or {}),
            "Failed": Verdict(True, reason, message),
            "Succeeded": Verdict(False, reason, message),
        },
        events=(EventNote(EventType.WARNING, "Failed", message),),
        again=0.0,
    )


def leftovers(seen: JobObservation, *, everything: bool = False) -> tuple[Action, ...]:
    """Delete the Jobs of attempts and errands that are over; each takes its pods and all that it owns along.

    The pods of a dead node are not waited for, nor taken out of the API: the fence on the storage holds them off.
    """
    if isinstance(seen.workload, Unknown):
        return ()
    kept = () if everything else _under_way(seen)
    return tuple(
        DeleteObject(seen.where, "batch/v1", "Job", job.namespace, job.name, uid=job.uid)
        for job in seen.workload.value.jobs
        if not any(part in (job.attempt, job.errand) for part in kept) and not job.deleting
    )


def part_under_way(status: FineTuneJobStatus) -> Part | None:
    """What of the job runs now, or should: its attempt if it holds GPUs, else an errand that is not done."""
    return status.attempt if status.admission is not None else errand_under_way(status)


def _under_way(seen: JobObservation) -> tuple[Part, ...]:
    """The attempt that holds GPUs, and the errand that has not come to its purpose."""
    errand = errand_under_way(seen.status)
    attempt = () if seen.status.admission is None else (seen.attempt,)
    return attempt if errand is None else (*attempt, errand)


def _has_ended(seen: JobObservation) -> bool:
    conditions = seen.status.conditions
    return is_true(conditions, "Succeeded") or is_true(conditions, "Failed")


def _seconds_to_keep_the_log(seen: JobObservation) -> float:
    """How long the last attempt's pods still stay, so that `kubectl logs` can read them; 0: they go.

    Pods that go on although the job has ended hold GPUs: they may end by themselves only for a moment.
    """
    since = (seen.around.now - (_ended(seen) or seen.around.now)).total_seconds()
    ttl = seen.spec.ttl_seconds_after_finished
    keep = LOGS_KEPT_SECONDS if ttl is None else min(LOGS_KEPT_SECONDS, ttl)
    pods = () if isinstance(seen.workload, Unknown) else seen.workload.value.pods_of(_last(seen))
    if not any(pod.finished or pod.termination is not None for pod in pods):
        keep = 0.0
    elif live_pods(seen):
        keep = min(keep, PEERS_END_SECONDS)
    return max(0.0, keep - since)


def _last(seen: JobObservation) -> Part:
    """What of the job ran last."""
    return errand_under_way(seen.status) or seen.attempt


def _expired(seen: JobObservation) -> tuple[Action, ...]:
    """Nothing is left of it but the resource itself, and its time to live is over."""
    left = _seconds_to_live(seen)
    if left is None or left > 0:
        return ()
    meta = seen.job.metadata
    return (DeleteObject(None, API_VERSION, "FineTuneJob", meta.namespace or "", meta.name, uid=meta.uid),)


def _seconds_to_live(seen: JobObservation) -> float | None:
    ttl, ended = seen.spec.ttl_seconds_after_finished, _ended(seen)
    if ttl is None or ended is None:
        return None
    return max(0.0, ttl - (seen.around.now - ended).total_seconds())


def _ended(seen: JobObservation) -> datetime | None:
    for kind in ("Succeeded", "Failed"):
        condition = find_condition(seen.status.conditions, kind)
        if condition is not None and condition.is_true:
            return condition.last_transition_time
    return None


def _cluster_takes_everything_along(seen: JobObservation) -> bool:
    """The bought cluster is gone or going, and does not answer: its end is the end of what the job made there."""
    if seen.where is None or not isinstance(seen.workload, Unknown):
        return False
    cluster = seen.cluster
    return (
        cluster is None or cluster.metadata.is_being_deleted or cluster.status.release is not None or is_gone(cluster)
    )


def _stop_at_once(seen: JobObservation) -> tuple[Action, ...]:
    """Abort: nothing is worth saving."""
    if seen.spec.on_delete is not OnDelete.ABORT:
        return ()
    return tuple(
        DeleteObject(seen.where, "v1", "Pod", pod.namespace, pod.name, pod.uid, grace_period_seconds=AT_ONCE_SECONDS)
        for pod in live_pods(seen)
        if not pod.deleting
    )


def live_pods(seen: JobObservation) -> tuple[PodFact, ...]:
    """Pods that may still write: those of a dead node are held off by the fence and are not waited for."""
    if isinstance(seen.workload, Unknown):
        return ()
    sick = seen.workload.value.sick_nodes()
    return tuple(pod for pod in seen.workload.value.pods if not pod.finished and pod.node not in sick)


def _let_go(seen: JobObservation) -> JobDecision:
    actions = (*give_back_the_template_cluster(seen), _without_finalizer(seen))
    return JobDecision(status=seen.status, actions=actions)


def _without_finalizer(seen: JobObservation) -> SetMetadata:
    return SetMetadata(finalizers=tuple(one for one in seen.job.metadata.finalizers if one != FINALIZER))
