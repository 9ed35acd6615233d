"""The whole life of one FineTuneJob: accepted, waiting, admitted, attempted until it succeeds or fails, cleaned up."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.acceptance import files_too_large, plan_of
from tunesmith.planning.accepted import accepted_changes, accepted_verdicts, ready_verdicts
from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.admission import request_of
from tunesmith.planning.circumstances import NotYet, Unknown
from tunesmith.planning.configuration import changed_files, travelling_files
from tunesmith.planning.continuing import cannot_continue
from tunesmith.planning.decision import EventNote, EventType, first_answer
from tunesmith.planning.finish_check import result_not_looked_for
from tunesmith.planning.job_cluster import cluster_not_ready, cluster_of_the_template
from tunesmith.planning.job_end import being_deleted, failed, finished, leftovers
from tunesmith.planning.job_observation import (
    FINALIZER,
    LOOK_AGAIN_SECONDS,
    NOT_YET_SECONDS,
    JobDecision,
    JobObservation,
    as_it_was,
    done,
    stalled,
    working,
)
from tunesmith.planning.job_release import cluster_released
from tunesmith.planning.looking import requested
from tunesmith.planning.moving_off import leaving_its_nodes
from tunesmith.planning.ownership import is_paused
from tunesmith.planning.pool import FIRST_POSITIONS_SHOWN, GoesBack, Granted, InLine, NeverFits
from tunesmith.planning.pool_size import pool_too_small
from tunesmith.planning.preparation import not_prepared, source_secret_missing
from tunesmith.planning.refusal import Refusal
from tunesmith.planning.running import (
    attempt_cannot_start,
    attempt_ended,
    attempt_not_made,
    attempt_stalled,
    cannot_be_seen,
    cluster_lost,
    pods_at_the_gate,
    training,
)
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import notes_told
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.fine_tune_job_status import Admission, AdmittedPod, QueueStatus
from tunesmith.resources.not_implemented import set_but_not_implemented

MISSING_DATASET_SECONDS = 15.0


def decide(seen: JobObservation) -> JobDecision:
    """What to do next for one FineTuneJob. Pure; see docs/design/decisions.md."""
    return answering(seen, telling(seen, _answer(seen)))


def _answer(seen: JobObservation) -> JobDecision:
    return first_answer(
        seen,
        paused,  # nothing is touched while the user says so
        not_looked_yet,  # a restart of the operator is no news
        being_deleted,
        finished,
        not_implemented_fields,
        past_its_deadline,
        refused,
        cannot_continue,
        planned_only,
        dataset_missing,
        source_secret_missing,
        pool_too_small,  # before a cluster is bought for it, or a pod prepares what can never run
        without_finalizer,
        cluster_of_the_template,
        cluster_not_ready,
        not_prepared,  # fetched and checked without GPUs: what is wrong with model or data costs none
        result_not_looked_for,
        not_admitted,
        cluster_released,
        cluster_lost,
        cannot_be_seen,
        leaving_its_nodes,
        granted_nodes_lost,
        attempt_ended,  # judged before anything is made: a lost attempt is never made again under its number
        attempt_stalled,
        attempt_cannot_start,
        attempt_not_made,
        pods_at_the_gate,
        otherwise=training,
    )


def answering(seen: JobObservation, decision: JobDecision) -> JobDecision:
    """The decision, with the annotation that asked for a pass echoed: every pass looks at all there is to look at."""
    if is_paused(seen.job.metadata) or isinstance(seen.workload, NotYet) or not decision.status.conditions:
        return decision
    wish = requested(seen.job.metadata)
    if not wish or wish == decision.status.last_handled_reconcile_time:
        return decision
    return replace(decision, status=decision.status.model_copy(update={"last_handled_reconcile_time": wish}))


def telling(seen: JobObservation, decision: JobDecision) -> JobDecision:
    """The decision, with Events of what the trainer wanted a person to know and this decision writes down."""
    notes = notes_told(seen, decision.status)
    return replace(decision, events=(*notes, *decision.events)) if notes else decision


def needs_its_files(job: FineTuneJob) -> bool:
    """Whether a decision may speak of the dataset's ConfigMaps: not once all pods run, nor after the end."""
    conditions = job.status.conditions
    return not any(is_true(conditions, kind) for kind in ("PodsReady", "Succeeded", "Failed"))


def paused(seen: JobObservation) -> JobDecision | None:
    """The user wants no writes at all, not even of the status."""
    return JobDecision(status=seen.status) if is_paused(seen.job.metadata) else None


def not_looked_yet(seen: JobObservation) -> JobDecision | None:
    """This process has not read the cluster's lists whole: whatever stands in the status still holds."""
    if not isinstance(seen.workload, NotYet):
        return None
    return JobDecision(status=seen.status, look_again_seconds=NOT_YET_SECONDS)


def not_implemented_fields(seen: JobObservation) -> JobDecision | None:
    """A field that nothing acts on yet is refused, never ignored."""
    paths = set_but_not_implemented(seen.job)
    if not paths:
        return None
    message = f"Not implemented yet: {', '.join(f'`{path}`' for path in paths)}. Make the job without."
    return stalled(
        seen, "Invalid", "NotImplemented", message, verdicts={"Accepted": Verdict(False, "NotImplemented", message)}
    )


def past_its_deadline(seen: JobObservation) -> JobDecision | None:
    """`activeDeadlineSeconds` counts from when its GPUs were first granted, over all attempts."""
    limit, started = seen.spec.active_deadline_seconds, seen.status.start_time
    if limit is None or started is None or (seen.around.now - started).total_seconds() < limit:
        return None
    message = f"The job did not end within `spec.activeDeadlineSeconds` ({limit} s)."
    return failed(seen, "User", "DeadlineExceeded", message)


def refused(seen: JobObservation) -> JobDecision | None:
    """Asked before every attempt, not during one: a catalogue that changes does not end a training."""
    if seen.status.admission is not None:
        return None
    plan = plan_of(seen)
    refusal = plan if isinstance(plan, Refusal) else files_too_large(travelling_files(seen))
    if refusal is None:
        return None
    return stalled(
        seen,
        "Invalid",
        refusal.reason,
        refusal.message,
        *leftovers(seen),
        verdicts={"Accepted": Verdict(False, refusal.reason, refusal.message)},
        events=_refusal_event(seen, refusal),
    )


def planned_only(seen: JobObservation) -> JobDecision | None:
    """A dry run ends with the plan in the status; nothing was created, nothing spent."""
    if not seen.spec.dry_run:
        return None
    message = "The plan is in `status.plan`. Set `spec.dryRun` to false to carry it out."
    cluster = Verdict(None, "DryRun", "The cluster is not looked at for a plan.")
    nothing = Verdict(False, "DryRun", "Nothing is made for a plan.")
    return done(
        seen,
        "Planned",
        "DryRun",
        message,
        changes=accepted_changes(seen),
        verdicts={
            **accepted_verdicts(seen),
            "ClusterReady": cluster,
            **dict.fromkeys(("Admitted", "PodsReady", "Progressing"), nothing),
        },
        again=None,
    )


def dataset_missing(seen: JobObservation) -> JobDecision | None:
    """A ConfigMap that is not there may still come, but somebody must make it, so the job keeps no cluster till then.

    One that changed since the first attempt is not the same job.
    """
    if seen.status.admission is not None:
        return None
    missing = sorted(role for role, text in seen.files.items() if text is None)
    if missing:
        message = f"{' and '.join(_source(seen, role) for role in missing)} does not exist. Create it; the job waits."
        return stalled(
            seen,
            "Waiting",
            "DatasetNotFound",
            message,
            *leftovers(seen),
            changes=accepted_changes(seen),
            verdicts={**accepted_verdicts(seen), "DatasetReady": Verdict(False, "DatasetNotFound", message)},
            again=MISSING_DATASET_SECONDS,
        )
    if changed_files(seen):
        message = "The ConfigMap of the dataset changed after it was checked. Put it back, or make another job."
        verdict = Verdict(False, "DatasetChanged", message)
        return stalled(seen, "Waiting", "DatasetChanged", message, verdicts={"DatasetReady": verdict})
    return None


def without_finalizer(seen: JobObservation) -> JobDecision | None:
    """Before anything is made that must be taken away again."""
    if FINALIZER in seen.job.metadata.finalizers:
        return None
    return working(
        seen,
        "Waiting",
        "Accepted",
        "The job was accepted.",
        SetMetadata(finalizers=(*seen.job.metadata.finalizers, FINALIZER)),
        changes=accepted_changes(seen),
        verdicts=accepted_verdicts(seen),
    )


def not_admitted(seen: JobObservation) -> JobDecision | None:
    """All pods or none: the pool grants, and pods are made only after the grant stands in the status."""
    if seen.status.admission is not None:
        return None
    if request_of(seen.job) is not None and (isinstance(seen.answer, Unknown) or seen.answer.value is None):
        # It stands in line already, and there is no news of the line.
        return JobDecision(status=as_it_was(seen), actions=leftovers(seen), look_again_seconds=LOOK_AGAIN_SECONDS)
    if isinstance(seen.answer, Unknown):
        return _waits(seen, "PoolUnknown", f"The pool cannot be judged: {seen.answer.why}.")
    match seen.answer.value:
        case Granted() as granted:
            return _admitted(seen, granted)
        case InLine() as line:
            position = line.position if line.position <= FIRST_POSITIONS_SHOWN else None
            queue = QueueStatus(position=position, blocked_by=line.blocked_by[:256])
            return _waits(seen, "Queued", line.blocked_by, queue=queue)
        case NeverFits() as small:
            verdicts = {**ready_verdicts(seen), "Admitted": Verdict(False, "PoolTooSmall", small.why)}
            changes = {**accepted_changes(seen), "queue": None}
            return stalled(
                seen, "Waiting", "PoolTooSmall", small.why, *leftovers(seen), verdicts=verdicts, changes=changes
            )
        case _:
            return _waits(seen, "Queued", "The job stands in line for GPUs.")


def granted_nodes_lost(seen: JobObservation) -> JobDecision | None:
    """Its nodes can no longer give what was granted, and nothing of it exists yet: ask again."""
    if isinstance(seen.answer, Unknown) or not isinstance(seen.answer.value, GoesBack):
        return None
    if isinstance(seen.workload, Unknown) or seen.workload.value.job_of(seen.attempt) is not None:
        return None
    why = seen.answer.value.why
    verdicts = {"Admitted": Verdict(False, "AdmissionReturned", why)}
    return working(seen, "Queued", "AdmissionReturned", why, verdicts=verdicts, changes={"admission": None}, again=0.0)


def _admitted(seen: JobObservation, granted: Granted) -> JobDecision:
    pool = seen.cluster_name or "local"
    pods = tuple(AdmittedPod(node=place.node, gpus=place.gpus) for place in granted.pods)
    changes = {
        **accepted_changes(seen),
        "admission": Admission(pool=pool, cluster_id=_cluster_id(seen), pods=pods, time=seen.around.now),
        "attempt": seen.attempt + 1,
        "queue": None,
        "cluster_name": seen.cluster_name,
        "start_time": seen.status.start_time or seen.around.now,
    }
    nodes = ", ".join(dict.fromkeys(place.node for place in granted.pods))
    message = f"Attempt {seen.attempt + 1} was granted {sum(p.gpus for p in granted.pods)} GPU(s) on {nodes}."
    verdicts = {
        **ready_verdicts(seen),
        "Admitted": Verdict(True, "Admitted", message),
        "PodsReady": Verdict(False, "PodsNotMade", "The attempt's pods are not made yet."),
    }
    return working(
        seen,
        "Starting",
        "PodsStarting",
        message,
        changes=changes,
        verdicts=verdicts,
        events=(EventNote(EventType.NORMAL, "Admitted", message),),
        again=0.0,
    )


def _cluster_id(seen: JobObservation) -> str | None:
    return None if seen.cluster is None else seen.cluster.status.cluster_id


def _waits(seen: JobObservation, reason: str, message: str, queue: QueueStatus | None = None) -> JobDecision:
    verdicts = {**ready_verdicts(seen), "Admitted": Verdict(False, reason, message)}
    changes = {**accepted_changes(seen), "queue": queue}
    return working(seen, "Queued", reason, message, *leftovers(seen), verdicts=verdicts, changes=changes)


def _refusal_event(seen: JobObservation, refusal: Refusal) -> tuple[EventNote, ...]:
    """Told once per reason, not at every pass."""
    before = find_condition(seen.status.conditions, "Accepted")
    if before is not None and before.reason == refusal.reason:
        return ()
    return (EventNote(EventType.WARNING, refusal.reason, refusal.message),)


def _source(seen: JobObservation, role: str) -> str:
    dataset = seen.spec.dataset
    source = dataset.training if role == "training" else dataset.validation
    reference = source.config_map if source is not None else None
    return f"ConfigMap '{reference.name}' with key '{reference.key}'" if reference is not None else role
