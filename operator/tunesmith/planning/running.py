"""An attempt in its course: made, let go onto its nodes, followed, and what comes after it when it breaks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tunesmith.planning.acceptance import Plan, plan_of
from tunesmith.planning.actions import ApplyObject, ReleasePod
from tunesmith.planning.attempt import Attempt, from_storage
from tunesmith.planning.attempt_end import Broke, Succeeded, Workload, end_of
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.configuration import configuration, travelling_files
from tunesmith.planning.contract import Retry
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.job_end import failed, leftovers
from tunesmith.planning.job_observation import JobDecision, JobObservation, done, stalled, working
from tunesmith.planning.manifests import configuration_map, rendezvous_service, training_job
from tunesmith.planning.placement import Tolerated
from tunesmith.planning.progress import stalled as silent_too_long
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import pods_written, progress_changes, progressing
from tunesmith.resources.conditions import find_condition

NOT_MADE = "NotMade"
BLAMED_NODES_KEPT = 16
FOLLOW_SECONDS = 15.0


def cannot_be_seen(seen: JobObservation) -> JobDecision | None:
    """Nothing is decided about pods that nobody can see. They go on by themselves."""
    if not isinstance(seen.workload, Unknown):
        return None
    message = f"The cluster of the job does not answer: {seen.workload.why}. The training goes on unseen."
    verdicts = {
        "ClusterReady": Verdict(None, "ClusterUnreachable", message),
        "Progressing": Verdict(None, "ProgressUnknown", message),
    }
    return working(seen, seen.status.state or "Training", "ClusterUnreachable", message, verdicts=verdicts)


def attempt_ended(seen: JobObservation) -> JobDecision | None:
    """Success by the trainer's own word; everything else is somebody's fault, and whose decides what follows."""
    workload = _workload(seen)
    end = end_of(workload, seen.attempt) or _lost(seen, workload)
    match end:
        case None:
            return None
        case Succeeded():
            return _succeeded(seen, end)
        case Broke():
            return _broke(seen, end)


def attempt_stalled(seen: JobObservation) -> JobDecision | None:
    """The pods run but nothing moves: make the group anew."""
    if seen.report is None or seen.report.attempt != seen.attempt:
        return None
    why = silent_too_long(seen.report, seen.spec.recovery.stall_timeout_seconds, seen.around.monotonic)
    return None if why is None else _broke(seen, Broke("Stall", Retry.INFRASTRUCTURE, why))


def attempt_not_made(seen: JobObservation) -> JobDecision | None:
    """The batch Job, with all its pods at the gate. What went before is taken away first."""
    if _workload(seen).job_of(seen.attempt) is not None:
        return None
    attempt = _attempt(seen)
    if isinstance(attempt, JobDecision):
        return attempt
    message = f"Attempt {seen.attempt} is being made."
    actions = (*leftovers(seen), ApplyObject(attempt.where, training_job(attempt)))
    return working(seen, "Starting", "Starting", message, *actions)


def pods_at_the_gate(seen: JobObservation) -> JobDecision | None:
    """ConfigMap and Service first, then every pod gets the node that was granted to its index."""
    workload = _workload(seen)
    job = workload.job_of(seen.attempt)
    waiting = [pod for pod in workload.pods_of(seen.attempt) if pod.gated and not pod.deleting and pod.index is not None]
    if job is None or not waiting:
        return None
    attempt = _attempt(seen)
    if isinstance(attempt, JobDecision):
        return attempt
    admission = seen.status.admission
    places = admission.pods if admission is not None else ()
    released = tuple(
        ReleasePod(seen.where, pod.namespace, pod.name, places[pod.index].node)
        for pod in waiting
        if pod.index is not None and pod.index < len(places)
    )
    message = f"The pods of attempt {seen.attempt} are let go onto their nodes."
    return working(
        seen,
        "Starting",
        "Starting",
        message,
        ApplyObject(seen.where, configuration_map(attempt, job.uid)),
        ApplyObject(seen.where, rendezvous_service(attempt, job.uid)),
        *released,
        verdicts={"PodsReady": Verdict(False, "Starting", message)},
    )


def training(seen: JobObservation) -> JobDecision:
    """The attempt goes on."""
    pods = _workload(seen).pods_of(seen.attempt)
    wanted = len(seen.status.admission.pods) if seen.status.admission is not None else 0
    running = [pod for pod in pods if pod.phase in {"Running", "Succeeded"}]
    changes = {"pods": pods_written(pods), **progress_changes(seen)}
    if len(running) < wanted:
        why = next((f" {p.waiting_reason}: {p.waiting_message}" for p in pods if p.waiting_reason), "")
        message = f"{len(running)} of {wanted} pods run.{why}"[:1000]
        verdicts = {"PodsReady": Verdict(False, _starting_reason(pods), message), **_no_progress_yet()}
        return working(
            seen, "Starting", "Starting", message, *leftovers(seen), changes=changes, verdicts=verdicts, again=FOLLOW_SECONDS
        )
    message = f"Attempt {seen.attempt} runs on {wanted} pod(s)."
    verdicts = {"PodsReady": Verdict(True, "Running", f"All {wanted} pods run."), "Progressing": progressing(seen)}
    return working(
        seen, "Training", "Training", message, *leftovers(seen), changes=changes, verdicts=verdicts, again=FOLLOW_SECONDS
    )
