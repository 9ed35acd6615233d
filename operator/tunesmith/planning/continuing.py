"""What a job goes on from: an earlier job's result or checkpoint, or a path; looked at before anything is spent.

The preparation looks closer, at files, shapes and the base model's weights, which only the trainer can read.
"""

from __future__ import annotations

from tunesmith.planning.attempt import on_storage
from tunesmith.planning.job_observation import JobDecision, JobObservation, stalled, working
from tunesmith.planning.refusal import Refusal
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.fine_tune_job_inputs import Tuning, TuningType
from tunesmith.resources.fine_tune_job_training import EarlierJob

NOT_FINISHED = "EarlierJobNotFinished"


def cannot_continue(seen: JobObservation) -> JobDecision | None:
    """What the job would go on from does not fit it, or is not there yet. Not asked any more once it is pinned."""
    found = _continued(seen)
    if not isinstance(found, Refusal):
        return None
    verdicts = {"Accepted": Verdict(False, found.reason, found.message)}
    if found.reason == NOT_FINISHED:
        return working(seen, "Waiting", found.reason, found.message, verdicts=verdicts)
    return stalled(seen, "Invalid", found.reason, found.message, verdicts=verdicts)


def continued_path(seen: JobObservation) -> str | None:
    """The directory as the pod sees it; None: a fresh start. `cannot_continue` was asked before."""
    found = _continued(seen)
    return None if isinstance(found, Refusal) else found


def _continued(seen: JobObservation) -> str | Refusal | None:
    wanted, pinned = seen.spec.continue_from, seen.status.pinned
    if wanted is None:
        return None
    if pinned is not None and pinned.continue_from is not None:
        return on_storage(pinned.continue_from)
    if wanted.path is not None:
        return on_storage(wanted.path)
    return _of_job(seen, wanted.job) if wanted.job is not None else None


def _of_job(seen: JobObservation, wanted: EarlierJob) -> str | Refusal:
    earlier = seen.earlier
    if earlier is None or earlier.metadata.uid == seen.job.metadata.uid:
        return Refusal(
            "EarlierJobNotFound",
            f"`spec.continueFrom.job.name` is '{wanted.name}', and there is no other FineTuneJob of that name in this "
            "namespace. Name the directory on the storage by `type: Path` when the job is gone.",
        )
    return _mismatch(seen, earlier) or (
        _result_of(earlier) if wanted.checkpoint is None else _checkpoint_of(earlier, wanted.checkpoint)
    )


def _mismatch(seen: JobObservation, earlier: FineTuneJob) -> Refusal | None:
    named = f"FineTuneJob '{earlier.name}'"
    if earlier.spec.storage != seen.spec.storage:
        return Refusal(
            "EarlierJobElsewhere",
            f"{named} keeps its results on another storage than this job's. Use the same `spec.storage`, or copy the "
            "result there and name it by `type: Path`.",
        )
    here, there = seen.spec.model, earlier.spec.model
    if here.type is there.type and (here.catalog, here.hugging_face) != (there.catalog, there.hugging_face):
        return Refusal(
            "BaseModelDiffers", f"{named} was trained on another base model. Only its own base can go on from it."
        )
    difference = _tuning_difference(seen.spec.tuning, earlier.spec.tuning)
    if difference is None:
        return None
    return Refusal("TuningDiffers", f"{named} has {difference}. What goes on from it must have the same.")


def _tuning_difference(here: Tuning, there: Tuning) -> str | None:
    if here.type is not there.type:
        return f"`tuning.type` '{there.type.value}', not '{here.type.value}'"
    if here.type is TuningType.FULL:
        return None
    ours, theirs = here.adapter, there.adapter
    if ours.rank != theirs.rank:
        return f"`tuning.lora.rank` {theirs.rank}, not {ours.rank}"
    if ours.scale_alpha != theirs.scale_alpha:
        return f"`tuning.lora.alpha` {theirs.scale_alpha}, not {ours.scale_alpha}"
    if set(ours.target_modules) != set(theirs.target_modules):
        return "other `tuning.lora.targetModules`"
    return None


def _result_of(earlier: FineTuneJob) -> str | Refusal:
    output = earlier.status.output
    if output is not None and output.path is not None:
        return on_storage(output.path)
    return Refusal(
        NOT_FINISHED,
        f"FineTuneJob '{earlier.name}' has no result yet. This job begins when it has one; "
        "`continueFrom.job.checkpoint` names a checkpoint in its place.",
    )


def _checkpoint_of(earlier: FineTuneJob, step: int) -> str | Refusal:
    newest = earlier.status.checkpoint
    if newest is not None and newest.step == step and newest.path is not None:
        return on_storage(newest.path)
    known = f"its newest is of step {newest.step}" if newest is not None else "it has none yet"
    return Refusal(
        "CheckpointNotFound",
        f"FineTuneJob '{earlier.name}' has no checkpoint of step {step} that is known: {known}. Name an older one by "
        "its directory on the storage, with `type: Path`.",
    )
