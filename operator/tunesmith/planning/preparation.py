"""Before a job asks for GPUs: one pod without any fetches weights and data onto its storage and checks them.

What is wrong with model, data or credentials ends the job here, in the trainer's own words. The result is resolved
once: revision, hashes and paths stand in the status, and every attempt uses them.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from tunesmith.planning.acceptance import Plan, plan_of
from tunesmith.planning.accepted import (
    accepted_changes,
    accepted_verdicts,
    dataset_verdict,
    is_prepared,
    ready_verdicts,
)
from tunesmith.planning.attempt import from_storage
from tunesmith.planning.attempt_end import Broke, Succeeded, Workload
from tunesmith.planning.cannot_start import told_once
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.configuration import prepare_configuration
from tunesmith.planning.continuing import continued_path
from tunesmith.planning.contract import Prepared, Retry, TerminationMessage
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.errand import PREPARE, part_of
from tunesmith.planning.errand_course import OOM_KILLED_HELP, an_errand, ended, next_step
from tunesmith.planning.job_end import failed, leftovers
from tunesmith.planning.job_observation import JobDecision, JobObservation, as_it_was, stalled, working
from tunesmith.planning.restarts import GiveUp, counted
from tunesmith.planning.sources import fetches_data, fetches_model, secret_uses
from tunesmith.planning.tracking import every_secret
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import errand_changes
from tunesmith.resources import fine_tune_job_status as written

FOLLOW_SECONDS = 15.0
MISSING_SECRET_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0
FACTS_KEPT = 4096  # characters
REASONS_KEPT = 16
STAGES = {"Fetching": "Fetching", "Preparing": "Checking", "Finished": "Checking"}


def source_secret_missing(seen: JobObservation) -> JobDecision | None:
    """Asked before a cluster is bought. Somebody must make the Secret, so the job keeps no cluster from being idle."""
    if seen.status.admission is not None or is_prepared(seen.status):
        return None
    missing = [use for use in every_secret(seen.spec) if seen.secrets.get(use.source) is False]
    if not missing:
        return None
    named = " and ".join(f"Secret '{use.source.name}' with key '{use.source.key}' (`{use.field}`)" for use in missing)
    message = f"{named} does not exist in this namespace. Create it; the job waits."
    data = Verdict(False, "SourceSecretNotFound", message)
    return stalled(
        seen,
        "Waiting",
        "SourceSecretNotFound",
        message,
        changes=accepted_changes(seen),
        verdicts={**accepted_verdicts(seen), "DatasetReady": data},
        again=MISSING_SECRET_SECONDS,
    )


def not_prepared(seen: JobObservation) -> JobDecision | None:
    """Once in a job's life, when its cluster takes pods and before it stands in the line for GPUs."""
    if seen.status.admission is not None or is_prepared(seen.status):
        return None
    if isinstance(seen.workload, Unknown):
        return JobDecision(status=as_it_was(seen), look_again_seconds=FOLLOW_SECONDS)
    preparation = seen.status.preparation
    if preparation is None or not preparation.number:
        return _begun(seen)
    return _ended(seen, seen.workload.value, preparation) or _goes_on(seen, seen.workload.value, preparation)


def _begun(seen: JobObservation) -> JobDecision:
    """Its number stands in the status before anything is made: a crash in between makes the same again, not another."""
    message = "Weights and data are brought to the storage and checked, without GPUs."
    return _working(seen, "Preparing", message, changes={"preparation": written.Preparation(number=1)}, again=0.0)


def _ended(seen: JobObservation, workload: Workload, preparation: written.Preparation) -> JobDecision | None:
    part = part_of(PREPARE, preparation.number or 0)
    match ended(seen, workload, part, preparation.start_time, _well):
        case Succeeded(said) if said.prepared is not None:
            return _prepared(seen, preparation, said.prepared)
        case Broke() as broke:
            return _broke(seen, preparation, broke)
        case _:
            return None


def _goes_on(seen: JobObservation, workload: Workload, preparation: written.Preparation) -> JobDecision:
    pause = 0.0
    if preparation.retry_time is not None and preparation.start_time is None:
        pause = (preparation.retry_time - seen.around.now).total_seconds()
    if pause > 0:
        message = "Fetching or checking failed in a way that may pass; it is tried again after a pause."
        return _working(seen, "PreparingAgain", message, *leftovers(seen), again=pause)
    plan = plan_of(seen)
    assert isinstance(plan, Plan)  # `refused` was asked before
    number = preparation.number or 0
    errand = an_errand(seen, PREPARE, number, prepare_configuration(seen, plan, number), secret_uses(seen.spec))
    step = next_step(seen, workload, errand)
    changes: dict[str, Any] = {}
    if step.let_go and preparation.start_time is None:
        changes["preparation"] = preparation.model_copy(update={"start_time": seen.around.now})
    if step.cannot_start is not None:
        verdicts = {**ready_verdicts(seen), "DatasetReady": Verdict(False, step.cannot_start.reason, step.message)}
        return stalled(
            seen,
            "Waiting",
            step.cannot_start.reason,
            step.message,
            *step.actions,
            changes={**accepted_changes(seen), "queue": None, "cluster_name": seen.cluster_name, **changes},
            verdicts=verdicts,
            events=told_once(seen, step.cannot_start),
        )
    if step.runs:
        changes |= errand_changes(seen, errand.part)
        stage = changes.get("stage", seen.status.stage)
        message = _DOING.get(stage or "", step.message)
        return _working(seen, STAGES.get(stage or "", "Preparing"), message, *step.actions, changes=changes)
    return _working(seen, step.reason or "Preparing", step.message, *step.actions, changes=changes)


_DOING = {
    "Fetching": "Weights and data are brought to the storage; bytes stand in `status.progress`.",
    "Preparing": "The data is being checked and prepared.",
}


def _prepared(seen: JobObservation, preparation: written.Preparation, said: Prepared) -> JobDecision:
    """Recorded first; the pod goes with the next decision, so that no crash loses what it said."""
    hashes = (said.dataset_sha256.training, said.dataset_sha256.validation)
    dataset, continued = seen.spec.dataset, continued_path(seen)
    pinned = (seen.status.pinned or written.Pinned()).model_copy(
        update={
            "continue_from": None if continued is None else from_storage(continued),
            "model_revision": said.model_revision,
            "model_path": said.model_path if fetches_model(seen.spec, seen.model) else None,
            "model_facts": facts if len(facts := json.dumps(said.model_facts, sort_keys=True)) <= FACTS_KEPT else None,
            "dataset_sha256": tuple(one for one in hashes if one is not None),
            "training_path": said.training_path if fetches_data(dataset.training) else None,
            "validation_path": said.validation_path if fetches_data(dataset.validation) else None,
        }
    )
    dropped = tuple(
        written.DroppedRows(reason=reason[:63], count=count)
        for reason, count in sorted(said.dropped.items())[:REASONS_KEPT]
        if count > 0
    )
    rows = written.DatasetStatus(rows=said.trained, truncated=said.truncated, tokens=said.tokens, dropped=dropped)
    verdict = dataset_verdict(rows)
    message = verdict.message
    note = EventNote(EventType.NORMAL, "DatasetChecked", message)
    return working(
        seen,
        "Preparing",
        "DatasetChecked",
        message,
        changes={
            "pinned": pinned,
            "dataset": rows,
            "progress": written.Progress(step=0, total_steps=said.total_steps, percent=0),
            "preparation": preparation.model_copy(update={"completion_time": seen.around.now}),
        },
        verdicts={
            **ready_verdicts(seen),
            "DatasetReady": verdict,
        },
        events=(note,),
        again=0.0,
    )


def _broke(seen: JobObservation, preparation: written.Preparation, broke: Broke) -> JobDecision:
    restarts = counted(preparation.restarts, seen.spec.recovery, broke)
    if isinstance(restarts, GiveUp):
        help_ = f" {OOM_KILLED_HELP}" if broke.error_class == "OutOfMemory" else ""
        message = f"{restarts.message}{help_}"
        data = Verdict(False, restarts.reason, message)
        return failed(seen, restarts.whose, restarts.reason, message, broke.message, verdicts={"DatasetReady": data})
    message = f"Fetching and checking ended: {broke.message} They are tried again; what was fetched is kept."
    uncounted = broke.retry is Retry.UNCOUNTED
    tries = (restarts.infrastructure or 0) + (restarts.unclassified or 0)
    pause = 0.0 if uncounted else min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1))
    following = written.Preparation(
        number=(preparation.number or 0) + 1,
        restarts=restarts,
        retry_time=seen.around.now + timedelta(seconds=pause),
    )
    note = EventNote(EventType.WARNING, "PreparingAgain", message[:1000])
    return _working(seen, "PreparingAgain", message, changes={"preparation": following}, events=(note,), again=0.0)


def _working(seen: JobObservation, reason: str, message: str, *actions: Any, **more: Any) -> JobDecision:
    """The job prepares: DatasetReady says how far it is, and GPUs are not asked for."""
    changes = {**accepted_changes(seen), "queue": None, "cluster_name": seen.cluster_name, **more.pop("changes", {})}
    verdicts = {**ready_verdicts(seen), "DatasetReady": Verdict(False, reason, message)}
    again = more.pop("again", FOLLOW_SECONDS)
    return working(
        seen, "Preparing", reason, message, *actions, changes=changes, verdicts=verdicts, again=again, **more
    )


def _well(said: TerminationMessage) -> bool:
    return said.succeeded and said.prepared is not None
