"""An attempt in its course: made, let go onto its nodes, followed, and what comes after it when it breaks."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.acceptance import Plan, plan_of
from tunesmith.planning.accepted import cluster_verdict
from tunesmith.planning.actions import ApplyObject, ReleasePod
from tunesmith.planning.admission import tolerations_of
from tunesmith.planning.attempt import Attempt
from tunesmith.planning.attempt_end import END_MESSAGE_LOST, Broke, Succeeded, Workload, end_of
from tunesmith.planning.cannot_start import cannot_start, trouble_of
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.configuration import configuration, travelling_files
from tunesmith.planning.contract import Retry
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.finish_check import look_for_the_result, try_without_gpus
from tunesmith.planning.job_cluster import why_lost
from tunesmith.planning.job_end import failed, leftovers, succeeded
from tunesmith.planning.job_observation import JobDecision, JobObservation, stalled, working
from tunesmith.planning.kube_facts import PodFact
from tunesmith.planning.manifests import configuration_map, rendezvous_service, training_job
from tunesmith.planning.progress import stalled as silent_too_long
from tunesmith.planning.restarts import GiveUp, counted
from tunesmith.planning.secret_copies import copies_beside, missing_copy
from tunesmith.planning.tracking import environment, talks_outside
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import last_heard, pods_written, progress_changes, progressing
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.fine_tune_job_status import Plan as WrittenPlan
from tunesmith.resources.fine_tune_job_status import Restarts

OUT_OF_MEMORY_CLASS = "OutOfMemory"
NOT_MADE = "PodsNotMade"
BLAMED_NODES_KEPT = 16
FOLLOW_SECONDS = 15.0


def cannot_be_seen(seen: JobObservation) -> JobDecision | None:
    """Nothing is decided about pods that nobody can see. They go on by themselves."""
    if not isinstance(seen.workload, Unknown):
        return None
    if seen.where is not None and seen.cluster is None:
        return _without_cluster(seen)
    message = f"The cluster of the job does not answer: {seen.workload.why}. Its pods are left alone; they may go on."
    verdicts = {
        "ClusterReady": Verdict(None, "ClusterUnreachable", message),
        "PodsReady": Verdict(None, "ClusterUnreachable", "The pods cannot be seen."),
        "Progressing": Verdict(None, "ProgressUnknown", message),
    }
    return working(seen, seen.status.state or "Training", "ClusterUnreachable", message, verdicts=verdicts)


def _without_cluster(seen: JobObservation) -> JobDecision:
    """Its GPUCluster was taken away under it, past the operator. Nothing is bought in its place unasked."""
    message = (
        f"There is no GPUCluster '{seen.cluster_name}' any more that can be read, so nothing of attempt {seen.attempt} "
        "can be seen. Make a GPUCluster of this name, on which the job goes on, or delete the job."
    )
    verdicts = {
        "ClusterReady": Verdict(False, "ClusterNotFound", message),
        "PodsReady": Verdict(None, "ClusterNotFound", "The pods cannot be seen."),
        "Progressing": Verdict(None, "ProgressUnknown", message),
    }
    return stalled(seen, "Waiting", "ClusterNotFound", message, verdicts=verdicts)


def cluster_lost(seen: JobObservation) -> JobDecision | None:
    """What it ran on is certainly gone: the attempt is over, and what comes after it may be another cluster."""
    why = why_lost(seen)
    if why is None or isinstance(end_of(_workload(seen), seen.attempt), Succeeded):
        return None
    return _broke(seen, Broke("ClusterLost", Retry.INFRASTRUCTURE, why))


def attempt_ended(seen: JobObservation) -> JobDecision | None:
    """Success by the trainer's own word; everything else is somebody's fault, and whose decides what follows."""
    workload = _workload(seen)
    end = end_of(workload, seen.attempt) or _lost(seen, workload)
    match end:
        case None:
            return None
        case Succeeded():
            return succeeded(seen, end)
        case Broke():
            return _broke(seen, end)


def attempt_stalled(seen: JobObservation) -> JobDecision | None:
    """The pods run but nothing moves: make the group anew."""
    if seen.report is None or seen.report.attempt != seen.attempt:
        return None
    why = silent_too_long(seen.report, seen.spec.recovery.stall_timeout_seconds, seen.around.monotonic)
    return None if why is None else _broke(seen, Broke("Stall", Retry.INFRASTRUCTURE, why))


def attempt_cannot_start(seen: JobObservation) -> JobDecision | None:
    """Its pods hold GPUs and wait for somebody to mend something: a pod without GPUs waits in their place."""
    stuck = cannot_start(seen, _workload(seen).pods_of(seen.attempt))
    return None if stuck is None else try_without_gpus(seen, stuck)


def attempt_not_made(seen: JobObservation) -> JobDecision | None:
    """The batch Job, with all its pods at the gate. What went before is taken away first."""
    if _workload(seen).job_of(seen.attempt) is not None:
        return None
    attempt = _attempt(seen)
    if isinstance(attempt, Decision):
        return attempt
    message = f"Attempt {seen.attempt} is being made."
    actions = (*leftovers(seen), ApplyObject(attempt.where, training_job(attempt)))
    return working(seen, "Starting", "PodsStarting", message, *actions)


def pods_at_the_gate(seen: JobObservation) -> JobDecision | None:
    """ConfigMap and Service first, then every pod gets the node that was granted to its index."""
    workload = _workload(seen)
    job = workload.job_of(seen.attempt)
    waiting = [
        pod for pod in workload.pods_of(seen.attempt) if pod.gated and not pod.deleting and pod.index is not None
    ]
    if job is None or not waiting:
        return None
    attempt = _attempt(seen)
    if isinstance(attempt, Decision):
        return attempt
    admission = seen.status.admission
    places = admission.pods if admission is not None else ()
    released = tuple(
        ReleasePod(seen.where, pod.namespace, pod.name, places[pod.index].node)
        for pod in waiting
        if pod.index is not None and pod.index < len(places)
    )
    message = f"The pods of attempt {seen.attempt} are let go onto their nodes."
    reason = "PodsStarting"
    copies = copies_beside(attempt, job, seen.around)
    missing = missing_copy(attempt, copies, seen.around)
    if missing is not None:
        reason, message = missing.reason, f"The pods wait: {missing.message}"
    return working(
        seen,
        "Starting",
        "PodsStarting",
        message,
        ApplyObject(seen.where, configuration_map(attempt, job.uid)),
        ApplyObject(seen.where, rendezvous_service(attempt, job.uid)),
        *copies,
        *released,
        verdicts={"PodsReady": Verdict(False, reason, message)},
    )


def training(seen: JobObservation) -> JobDecision:
    """The attempt goes on."""
    pods = _workload(seen).pods_of(seen.attempt)
    wanted = len(seen.status.admission.pods) if seen.status.admission is not None else 0
    running = [pod for pod in pods if pod.phase in {"Running", "Succeeded"}]
    changes = {"pods": pods_written(pods), **progress_changes(seen)}
    cluster = {"ClusterReady": cluster_verdict(seen)}
    if len(running) < wanted:
        why = next((f" {words}." for pod in pods if (words := _waits_for(pod))), "")
        message = f"{len(running)} of {wanted} pods run.{why}"[:1000]
        verdicts = {**cluster, "PodsReady": Verdict(False, _starting_reason(pods), message)}
        return working(
            seen,
            "Starting",
            "PodsStarting",
            message,
            *leftovers(seen),
            changes=changes,
            verdicts=verdicts,
            again=FOLLOW_SECONDS,
        )
    message = f"Attempt {seen.attempt} runs on {wanted} pod(s)."
    verdicts = {
        **cluster,
        "PodsReady": Verdict(True, "PodsRunning", f"All {wanted} pods run."),
        "Progressing": progressing(seen),
    }
    return working(
        seen,
        "Training",
        "Training",
        message,
        *leftovers(seen),
        changes=changes,
        verdicts=verdicts,
        again=FOLLOW_SECONDS,
    )


def _broke(seen: JobObservation, broke: Broke) -> JobDecision:
    """User errors end the job; the rest is tried again, from the newest checkpoint, as often as the job allows."""
    if broke.error_class == END_MESSAGE_LOST:
        return look_for_the_result(seen)
    restarts = counted(seen.status.restarts, seen.spec.recovery, broke)
    if isinstance(restarts, GiveUp):
        return failed(seen, restarts.whose, restarts.reason, restarts.message, broke.message)
    plan = seen.status.plan
    if broke.error_class == OUT_OF_MEMORY_CLASS and plan is not None:
        smaller = with_smaller_micro_batch(plan)
        if smaller is None:
            return failed(seen, "User", "OutOfMemory", f"{broke.message} {_smallest_fix(seen)}", broke.message)
        broke = replace(broke, message=f"{broke.message} {_smaller_bites(plan, smaller)}")
        plan = smaller
    return begun_anew(seen, broke, restarts, plan)


def _smaller_bites(before: WrittenPlan, after: WrittenPlan) -> str:
    return (
        f"The micro batch goes from {before.micro_batch} to {after.micro_batch} and the accumulation from "
        f"{before.gradient_accumulation or 1} to {after.gradient_accumulation}; the global batch stays."
    )


def _smallest_fix(seen: JobObservation) -> str:
    """What is left when one sequence at a time is too much."""
    plan = plan_of(seen)
    context = plan.context_length if isinstance(plan, Plan) else seen.spec.training.context_length or 0
    return (
        f"The micro batch is 1 already, so the memory goes into single rows: make a job with "
        f"`spec.training.contextLength` {max(8, context // 2)} in place of {context}; or lower the LoRA rank, "
        "or take more or larger GPUs."
    )


def begun_anew(
    seen: JobObservation, broke: Broke, restarts: Restarts | None = None, plan: WrittenPlan | None = None
) -> JobDecision:
    """The admission goes back; the pool grants anew, off the blamed nodes. What is not given stays as it was."""
    blamed = tuple(dict.fromkeys((*seen.status.blamed_nodes, *broke.blamed)))[-BLAMED_NODES_KEPT:]
    message = f"Attempt {seen.attempt} ended: {broke.message} It goes on from the newest complete checkpoint."
    verdicts = {
        "Admitted": Verdict(False, "Restarting", message),
        "PodsReady": Verdict(False, broke.error_class, broke.message),
        "Progressing": Verdict(False, broke.error_class, broke.message),
    }
    changes = {
        **last_heard(seen),
        "stage": None,
        "admission": None,
        "blamed_nodes": blamed,
        "restarts": restarts or seen.status.restarts,
        "plan": plan or seen.status.plan,
        "pods": (),
    }
    note = EventNote(EventType.WARNING, "Restarting", message[:1000])
    return working(
        seen, "Restarting", "Restarting", message, changes=changes, verdicts=verdicts, events=(note,), again=0.0
    )


def _lost(seen: JobObservation, workload: Workload) -> Broke | None:
    """The attempt's Job was there, and somebody took it away: its number is used up."""
    if workload.job_of(seen.attempt) is not None or not _was_made(seen):
        return None
    return Broke("JobDeleted", Retry.INFRASTRUCTURE, "The attempt's Job was deleted by somebody else.")


def _was_made(seen: JobObservation) -> bool:
    """Pods were seen of it: PodsReady says more than that they are not made."""
    condition = find_condition(seen.status.conditions, "PodsReady")
    return condition is not None and condition.reason not in {NOT_MADE, "NotYetObserved"}


def _attempt(seen: JobObservation) -> Attempt | JobDecision:
    """The attempt's manifests' ingredients; or why it cannot be made any more (the model's row was deleted, say)."""
    plan = plan_of(seen)
    if not isinstance(plan, Plan):
        return _holding_nothing(seen, plan.reason, plan.message, "Accepted")
    missing = [role for role, text in seen.files.items() if text is None]
    if missing:
        return _without_its_data(seen, missing)
    placement = seen.spec.placement.local
    return Attempt(
        job=seen.identity,
        number=seen.attempt,
        where=seen.where,
        namespace=seen.namespace,
        pods=plan.pods,
        gpus_per_pod=plan.gpus_per_pod,
        image=seen.image,
        claim=seen.claim,
        grace_seconds=seen.around.installation.save_grace_seconds,
        configuration=configuration(seen, plan, seen.attempt),
        datasets=travelling_files(seen),
        tolerations=tolerations_of(seen.job),
        pod_labels=(placement.pod_labels or {}) if placement is not None else {},
        pod_annotations=(placement.pod_annotations or {}) if placement is not None else {},
        image_secrets=tuple(reference.name for reference in seen.spec.image_pull_secret_refs),
        secrets=environment(seen.spec),
        outbound=seen.around.installation.outbound if talks_outside(seen.spec) else None,
        rdma_resource=placement.rdma_resource if placement is not None else None,
    )


def _without_its_data(seen: JobObservation, missing: list[str]) -> JobDecision:
    message = f"The ConfigMap of the {' and '.join(missing)} data is gone. Create it again; the job waits for it."
    return _holding_nothing(seen, "DatasetNotFound", message, "DatasetReady", again=15.0)


def _holding_nothing(
    seen: JobObservation, reason: str, message: str, condition: str, *, again: float | None = None
) -> JobDecision:
    """Somebody must mend what `condition` speaks of, and GPUs are not held till then."""
    verdict = Verdict(False, reason, message)
    return stalled(
        seen,
        "Waiting",
        reason,
        message,
        *leftovers(seen, everything=True),
        changes={"admission": None, "pods": ()},
        verdicts={condition: verdict, "Admitted": verdict},
        again=again,
    )


def _workload(seen: JobObservation) -> Workload:
    """What is there. Asked only after `cannot_be_seen`."""
    return Workload() if isinstance(seen.workload, Unknown) else seen.workload.value


def _waits_for(pod: PodFact) -> str:
    """In Kubernetes' own words; empty when it has none."""
    if pod.node is None and pod.unschedulable:
        return f"Pod {pod.name} has no node: {pod.unschedulable.rstrip('.')}"
    return ": ".join(filter(None, (pod.waiting_reason, pod.waiting_message.rstrip(".")))) if pod.waiting_reason else ""


def _starting_reason(pods: tuple[PodFact, ...]) -> str:
    """Kubernetes' own word for what a container waits for stands in the message."""
    return next(filter(None, map(trouble_of, pods)), "PodsStarting")


def with_smaller_micro_batch(plan: WrittenPlan) -> WrittenPlan | None:
    """The same batch in smaller bites: the next smaller micro batch that divides it; None when it is 1 already."""
    micro, accumulation = plan.micro_batch or 1, plan.gradient_accumulation or 1
    share = micro * accumulation
    smaller = next((size for size in range(micro // 2, 0, -1) if share % size == 0), None)
    if smaller is None:
        return None
    before = plan.micro_batch_before or micro
    return plan.model_copy(
        update={"micro_batch": smaller, "gradient_accumulation": share // smaller, "micro_batch_before": before}
    )
