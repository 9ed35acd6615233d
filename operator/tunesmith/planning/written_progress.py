"""What the status says of a running attempt: progress, loss curve, checkpoint, rows left out, pods."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from typing import Any

from tunesmith.planning.attempt import from_storage
from tunesmith.planning.contract import Progress, TerminationMessage
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.kube_facts import PodFact
from tunesmith.planning.progress import PROGRESS_SECONDS, LossPoint, Note, merged
from tunesmith.planning.verdict import Verdict
from tunesmith.resources import fine_tune_job_status as written
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.fine_tune_job_status import FineTuneJobStatus

PODS_WRITTEN = 64
SIGNIFICANT_DIGITS = 6
TRAINER_NOTE = "TrainerNote"
NOTES_AT_ONCE = 3  # Events of one object are few; the log has every note


def progress_changes(seen: JobObservation, *, last: bool = False) -> dict[str, Any]:
    """Fields of the status, at most every PROGRESS_SECONDS of the trainer's time; `last`: whatever was heard."""
    report = seen.report
    if report is None or report.progress is None or report.errand is not None or report.attempt != seen.attempt:
        return {}
    said = report.progress
    if _is_replayed(seen, said) or (not last and _too_soon(seen, said)):
        return {}
    history = merged(
        (LossPoint(p.step, _number(p.loss), _number(p.evaluation_loss)) for p in seen.status.loss_history),
        report.losses,
    )
    changes: dict[str, Any] = {
        "stage": said.stage,
        "progress": _progress(said, seen.status.progress),
        "loss_history": tuple(
            written.LossPoint(step=p.step, loss=_decimal(p.loss), evaluation_loss=_decimal(p.evaluation_loss))
            for p in history
        ),
    }
    news = _untold(seen)
    if news:
        changes["trainer_note"] = _written_note(news[-1])
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


def last_heard(seen: JobObservation) -> dict[str, Any]:
    """Of an attempt that is over: all that it said, and no rate and no time left, because no step is made now."""
    changes = progress_changes(seen, last=True)
    progress = changes.get("progress", seen.status.progress)
    return changes if progress is None else {**changes, "progress": at_rest(progress)}


def at_rest(progress: written.Progress) -> written.Progress:
    """What still holds while no step is made."""
    moving = ("tokens_per_second", "model_flop_utilization", "data_wait_share", "eta_seconds")
    return progress.model_copy(update=dict.fromkeys(moving))


def notes_told(seen: JobObservation, status: FineTuneJobStatus) -> tuple[EventNote, ...]:
    """What the trainer wants a person to know, as Events: once each, with the status that writes down the last."""
    if status.trainer_note == seen.status.trainer_note:
        return ()
    return tuple(EventNote(EventType.NORMAL, TRAINER_NOTE, note.message) for note in _untold(seen)[-NOTES_AT_ONCE:])


def errand_changes(seen: JobObservation, errand: str) -> dict[str, Any]:
    """The same for a pod without GPUs: what it does, and how many bytes it has fetched."""
    report = seen.report
    if report is None or report.progress is None or report.errand != errand or _too_soon(seen, report.progress):
        return {}
    return {
        "stage": report.progress.stage,
        "progress": _progress(report.progress, None).model_copy(update={"attempt": None}),
    }


def finished_progress(seen: JobObservation, said: TerminationMessage) -> written.Progress:
    """All steps done, with the last numbers that were heard."""
    report = seen.report
    heard = (
        report is not None and report.progress is not None and report.errand is None and report.attempt == seen.attempt
    )
    before = seen.status.progress
    if heard and report is not None and report.progress:
        before = _progress(report.progress, before)
    done = {"step": said.step, "total_steps": said.total_steps, "percent": 100, "eta_seconds": 0}
    return (before or written.Progress()).model_copy(update=done)


def progressing(seen: JobObservation) -> Verdict:
    """Whether steps are made, as far as it can be heard. Numbers stand in `status.progress`, not here.

    What an operator that has just begun has not heard yet is no news: what was known holds until the log says more.
    """
    report = seen.report
    if report is not None and report.attempt == seen.attempt and not report.readable:
        return Verdict(None, "ProgressUnknown", f"The log of rank 0 cannot be read: {report.why}")
    if report is None or report.attempt != seen.attempt:
        return _known_before(seen) or Verdict(None, "ProgressUnknown", "Rank 0 has not been heard yet.")
    if report.progress is None and report.heartbeat is None:
        return _known_before(seen) or Verdict(None, "ProgressUnknown", "Rank 0 has not said anything yet.")
    stage = report.progress.stage if report.progress is not None else "Starting"
    if report.progress is None or _is_replayed(seen, report.progress):
        stage = seen.status.stage or stage
    return Verdict(True, "Training", f"The trainer's stage is {stage}.")


def _known_before(seen: JobObservation) -> Verdict | None:
    """That this attempt makes steps, if it was heard and written down."""
    before, progress = find_condition(seen.status.conditions, "Progressing"), seen.status.progress
    if before is None or not is_true((before,), "Progressing") or progress is None or progress.attempt != seen.attempt:
        return None
    return Verdict(True, before.reason, before.message)


def pods_written(pods: Iterable[PodFact]) -> tuple[written.PodStatus, ...]:
    """The attempt's pods for `status.pods`."""
    return tuple(
        written.PodStatus(name=pod.name, node=pod.node, reason=pod.waiting_reason or pod.reason or pod.phase)
        for pod in list(pods)[:PODS_WRITTEN]
    )


def _untold(seen: JobObservation) -> tuple[Note, ...]:
    """Notes after the one that was written down last. A log that is replayed brings no news."""
    notes, told = seen.report.notes if seen.report is not None else (), seen.status.trainer_note
    if told is None:
        return notes
    for index in range(len(notes) - 1, -1, -1):
        if _written_note(notes[index]) == told:
            return notes[index + 1 :]
    return tuple(note for note in notes if note.time > told.time)


def _written_note(note: Note) -> written.TrainerNote:
    return written.TrainerNote(message=note.message, time=note.time.replace(microsecond=0))


def _is_replayed(seen: JobObservation, said: Progress) -> bool:
    """A log that is read anew begins with what is written down already: training does not go back by that."""
    before = seen.status.progress
    if before is None or before.updated_time is None or before.attempt != said.attempt:
        return False
    return said.time.replace(microsecond=0) < before.updated_time and said.step <= (before.step or 0)


def _too_soon(seen: JobObservation, said: Progress) -> bool:
    before = seen.status.progress
    if before is None or before.updated_time is None:
        return False
    # A resumed attempt counts by its own clock: a time before the last one is news, not history.
    passed = (said.time.replace(microsecond=0) - before.updated_time).total_seconds()
    return 0 <= passed < PROGRESS_SECONDS and seen.status.stage == said.stage


def _progress(said: Progress, before: written.Progress | None) -> written.Progress:
    """What the line says. An attempt that has not found out yet where it goes on takes nothing back.

    `before` is what stood in the status: a loss on held-out rows holds until the next is measured.
    """
    total, told_at = said.total_steps, said.time.replace(microsecond=0)
    if total is None and before is not None and before.total_steps is not None:
        return at_rest(before).model_copy(update={"attempt": said.attempt, "updated_time": told_at})
    measured = _decimal(said.evaluation_loss)
    return written.Progress(
        attempt=said.attempt,
        step=said.step,
        total_steps=total,
        percent=min(100, 100 * said.step // total) if total else None,
        epoch=_decimal(said.epoch),
        loss=_decimal(said.loss),
        evaluation_loss=measured if measured is not None or before is None else before.evaluation_loss,
        learning_rate=_decimal(said.learning_rate),
        grad_norm=_decimal(said.grad_norm),
        tokens_per_second=None if said.tokens_per_second is None else round(said.tokens_per_second),
        model_flop_utilization=_decimal(said.model_flop_utilization),
        data_wait_share=_decimal(said.data_wait_share),
        memory_peak_bytes=said.memory_peak_bytes,
        eta_seconds=None if said.eta_seconds is None else round(said.eta_seconds),
        bytes_done=said.bytes_done,
        bytes_total=said.bytes_total,
        updated_time=told_at,
    )


def _checkpoint(seen: JobObservation, said: Progress) -> written.CheckpointStatus | None:
    found, before = said.checkpoint, seen.status.checkpoint
    if found is None:
        return before
    path = from_storage(found.path)[:256]
    if before is not None and (before.step, before.path) == (found.step, path):
        return before
    return written.CheckpointStatus(step=found.step, time=said.time.replace(microsecond=0), path=path)


def _number(written_down: Decimal | None) -> float | None:
    return None if written_down is None else float(written_down)


def _decimal(number: float | None) -> Decimal | None:
    """With as many digits as mean something; the API takes no exponents."""
    if number is None or not isfinite(number):
        return None
    short = Decimal(f"{number:.{SIGNIFICANT_DIGITS}g}")
    return Decimal(format(short, "f"))
