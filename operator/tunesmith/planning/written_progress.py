"""What the status says of a running attempt: progress, loss curve, checkpoint, rows left out, pods."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from typing import Any

from tunesmith.planning.attempt import from_storage
from tunesmith.planning.contract import Progress, TerminationMessage
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.kube_facts import PodFact
from tunesmith.planning.progress import PROGRESS_SECONDS, LossPoint, merged
from tunesmith.planning.verdict import Verdict
from tunesmith.resources import fine_tune_job_status as written

PODS_WRITTEN = 64
SIGNIFICANT_DIGITS = 6


def progress_changes(seen: JobObservation, *, last: bool = False) -> dict[str, Any]:
    """Fields of the status, at most every PROGRESS_SECONDS of the trainer's time; `last`: whatever was heard."""
    report = seen.report
    if report is None or report.progress is None or report.errand is not None or report.attempt != seen.attempt:
        return {}
    said, before = report.progress, seen.status.progress
    if not last and before is not None and before.updated_time is not None and _too_soon(seen, said):
        return {}
    history = merged(
        (LossPoint(point.step, float(point.loss)) for point in seen.status.loss_history if point.loss is not None),
        report.losses,
    )
    changes: dict[str, Any] = {
        "stage": said.stage,
        "progress": _progress(said),
        "loss_history": tuple(written.LossPoint(step=p.step, loss=_decimal(p.loss)) for p in history),
    }
    if said.checkpoint is not None:
        changes["checkpoint"] = _checkpoint(seen, said)
    if said.dropped_rows is not None:
        dropped = tuple(
            written.DroppedRows(reason=reason[:63], count=count)
            for reason, count in sorted(said.dropped_rows.items())[:16]
            if count > 0
        )
        changes["dataset"] = (seen.status.dataset or written.DatasetStatus()).model_copy(update={"dropped": dropped})
    return changes


def errand_changes(seen: JobObservation, errand: str) -> dict[str, Any]:
    """The same for a pod without GPUs: what it does, and how many bytes it has fetched."""
    report = seen.report
    if report is None or report.progress is None or report.errand != errand or _too_soon(seen, report.progress):
        return {}
    return {"stage": report.progress.stage, "progress": _progress(report.progress)}


def finished_progress(seen: JobObservation, said: TerminationMessage) -> written.Progress:
    """All steps done, with the last numbers that were heard."""
    report = seen.report
    heard = (
        report is not None and report.progress is not None and report.errand is None and report.attempt == seen.attempt
    )
    before = _progress(report.progress) if heard and report is not None and report.progress else seen.status.progress
    done = {"step": said.step, "total_steps": said.total_steps, "percent": 100, "eta_seconds": 0}
    return (before or written.Progress()).model_copy(update=done)


def progressing(seen: JobObservation) -> Verdict:
    """Whether steps are made, as far as it can be heard. Numbers stand in `status.progress`, not here."""
    report = seen.report
    if report is None or report.attempt != seen.attempt:
        return Verdict(None, "ProgressUnknown", "Rank 0 has not been heard yet.")
    if not report.readable:
        return Verdict(None, "ProgressUnknown", f"The log of rank 0 cannot be read: {report.why}")
    if report.progress is None and report.heartbeat is None:
        return Verdict(None, "ProgressUnknown", "Rank 0 has not said anything yet.")
    stage = report.progress.stage if report.progress is not None else "Starting"
    return Verdict(True, "Training", f"The trainer's stage is {stage}.")


def pods_written(pods: Iterable[PodFact]) -> tuple[written.PodStatus, ...]:
    """The attempt's pods for `status.pods`."""
    return tuple(
        written.PodStatus(name=pod.name, node=pod.node, reason=pod.waiting_reason or pod.reason or pod.phase)
        for pod in list(pods)[:PODS_WRITTEN]
    )


def _too_soon(seen: JobObservation, said: Progress) -> bool:
    before = seen.status.progress
    if before is None or before.updated_time is None:
        return False
    # A resumed attempt counts by its own clock: a time before the last one is news, not history.
    passed = (said.time.replace(microsecond=0) - before.updated_time).total_seconds()
    return 0 <= passed < PROGRESS_SECONDS and seen.status.stage == said.stage


def _progress(said: Progress) -> written.Progress:
    total = said.total_steps
    return written.Progress(
        step=said.step,
        total_steps=total,
        percent=min(100, 100 * said.step // total) if total else None,
        epoch=_decimal(said.epoch),
        loss=_decimal(said.loss),
        evaluation_loss=_decimal(said.evaluation_loss),
        learning_rate=_decimal(said.learning_rate),
        tokens_per_second=None if said.tokens_per_second is None else round(said.tokens_per_second),
        eta_seconds=None if said.eta_seconds is None else round(said.eta_seconds),
        bytes_done=said.bytes_done,
        bytes_total=said.bytes_total,
        updated_time=said.time.replace(microsecond=0),
    )


def _checkpoint(seen: JobObservation, said: Progress) -> written.CheckpointStatus | None:
    found, before = said.checkpoint, seen.status.checkpoint
    if found is None:
        return before
    path = from_storage(found.path)[:256]
    if before is not None and (before.step, before.path) == (found.step, path):
        return before
    return written.CheckpointStatus(step=found.step, time=said.time.replace(microsecond=0), path=path)


def _decimal(number: float | None) -> Decimal | None:
    """With as many digits as mean something; the API takes no exponents."""
    if number is None or not isfinite(number):
        return None
    short = Decimal(f"{number:.{SIGNIFICANT_DIGITS}g}")
    return Decimal(format(short, "f"))
