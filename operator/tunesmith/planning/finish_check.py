"""The end of an attempt whose last message was lost: a pod without GPUs looks for what it has published.

The GPUs go back before that. Only when there is no result does the job stand in the line for them again. The same pod
stands in for an attempt whose pods cannot start: once it starts, an attempt may be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.planning.acceptance import Plan, plan_of
from tunesmith.planning.accepted import accepted_changes, ready_verdicts
from tunesmith.planning.attempt_end import END_MESSAGE_LOST, Broke, Succeeded, Workload
from tunesmith.planning.cannot_start import CannotStart, told_once
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.configuration import configuration
from tunesmith.planning.contract import Retry, TerminationMessage
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.errand import FINISH, part_of
from tunesmith.planning.errand_course import an_errand, ended, next_step
from tunesmith.planning.job_end import failed, succeeded
from tunesmith.planning.job_observation import JobDecision, JobObservation, as_it_was, stalled, working
from tunesmith.planning.restarts import GiveUp, counted
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import last_heard
from tunesmith.resources.fine_tune_job_status import FinishCheck

FOLLOW_SECONDS = 15.0
LOST = Broke(END_MESSAGE_LOST, Retry.INFRASTRUCTURE, "The trainer ended well, but its last message was lost.")


def look_for_the_result(seen: JobObservation) -> JobDecision:
    """The attempt ended with 0 and nobody knows with what: its GPUs go back, and the check is recorded."""
    message = f"{LOST.message} What attempt {seen.attempt} has published is looked for, without GPUs."
    gone = Verdict(False, END_MESSAGE_LOST, message)
    return working(
        seen,
        "Finishing",
        END_MESSAGE_LOST,
        message,
        changes=_gives_its_gpus_back(seen, END_MESSAGE_LOST),
        verdicts=dict.fromkeys(("Admitted", "PodsReady", "Progressing"), gone),
        events=(EventNote(EventType.WARNING, END_MESSAGE_LOST, message),),
        again=0.0,
    )


def try_without_gpus(seen: JobObservation, why: CannotStart) -> JobDecision:
    """The attempt's pods wait for somebody: their GPUs go back, and the check's pod tells when the wait is over."""
    message = f"{why.message} The GPUs of attempt {seen.attempt} have gone back; a pod without GPUs waits in its place."
    gone = Verdict(False, why.reason, message)
    return stalled(
        seen,
        "Waiting",
        why.reason,
        message,
        changes=_gives_its_gpus_back(seen, why.reason),
        verdicts=dict.fromkeys(("Admitted", "PodsReady", "Progressing"), gone),
        events=told_once(seen, why),
        again=0.0,
    )


def _gives_its_gpus_back(seen: JobObservation, reason: str) -> dict[str, Any]:
    before = seen.status.finish_check
    number = (before.number or 0) + 1 if before is not None else 1
    check = FinishCheck(number=number, attempt=seen.attempt, reason=reason)
    return {**last_heard(seen), "stage": None, "admission": None, "pods": (), "finish_check": check}


def result_not_looked_for(seen: JobObservation) -> JobDecision | None:
    """A check is recorded and has not come to an answer."""
    check = seen.status.finish_check
    if check is None or check.completion_time is not None or seen.status.admission is not None:
        return None
    if isinstance(seen.workload, Unknown):
        return JobDecision(status=as_it_was(seen), look_again_seconds=FOLLOW_SECONDS)
    match ended(seen, seen.workload.value, part_of(FINISH, check.number or 0), check.start_time, _well):
        case Succeeded(said) if said.reached_the_end:
            return succeeded(seen, Succeeded(said))
        case Succeeded():
            return _nothing_there(seen, check)
        case Broke() as broke:
            return _broke(seen, check, broke)
    return _goes_on(seen, seen.workload.value, check)


def _goes_on(seen: JobObservation, workload: Workload, check: FinishCheck) -> JobDecision:
    plan = plan_of(seen)
    assert isinstance(plan, Plan)  # `refused` was asked before
    errand = an_errand(seen, FINISH, check.number or 0, configuration(seen, plan, check.attempt or 1))
    step = next_step(seen, workload, errand)
    changes: dict[str, Any] = {}
    if step.let_go and check.start_time is None:
        changes["finish_check"] = check.model_copy(update={"start_time": seen.around.now})
    stuck = step.cannot_start
    if stuck is not None or (_stands_in(check) and not step.runs):
        reason = stuck.reason if stuck is not None else check.reason or END_MESSAGE_LOST
        events = () if stuck is None else told_once(seen, stuck)
        message = f"A pod without GPUs waits for what attempt {check.attempt} needs as well. {step.message}"
        return _told(stalled, "Waiting", seen, reason, message, *step.actions, changes=changes, events=events)
    message = f"The result of attempt {check.attempt} is looked for, without GPUs. {step.message}"
    return _working(seen, check, message, *step.actions, changes=changes)


def _broke(seen: JobObservation, check: FinishCheck, broke: Broke) -> JobDecision:
    """Tried again; where it does not get to an answer, the next attempt looks itself when it begins."""
    restarts = counted(check.restarts, seen.spec.recovery, broke)
    if isinstance(restarts, GiveUp):
        return _nothing_there(seen, check)
    following = FinishCheck(
        number=(check.number or 0) + 1, attempt=check.attempt, reason=check.reason, restarts=restarts
    )
    message = f"The search for the result of attempt {check.attempt} ended: {broke.message} It is tried again."
    return _working(seen, check, message, changes={"finish_check": following}, again=0.0)


def _nothing_there(seen: JobObservation, check: FinishCheck) -> JobDecision:
    """Then it counts as what it looked like: an attempt that a fault took."""
    done = {"finish_check": check.model_copy(update={"completion_time": seen.around.now})}
    broke = LOST
    if _stands_in(check) and check.reason is not None:
        broke = Broke(check.reason, Retry.INFRASTRUCTURE, f"The pods of attempt {check.attempt} could not start.")
    restarts = counted(seen.status.restarts, seen.spec.recovery, broke)
    message = f"Attempt {check.attempt} has published nothing. It goes on from the newest complete checkpoint."
    if isinstance(restarts, GiveUp):
        return failed(seen, restarts.whose, restarts.reason, restarts.message, message)
    verdicts = {**ready_verdicts(seen), "Admitted": Verdict(False, "Restarting", message)}
    note = EventNote(EventType.WARNING, "Restarting", message)
    changes = {**done, "restarts": restarts}
    return working(
        seen, "Restarting", "Restarting", message, changes=changes, verdicts=verdicts, events=(note,), again=0.0
    )


def _stands_in(check: FinishCheck) -> bool:
    """It was made because the attempt's pods could not start, not because a message was lost."""
    return check.reason not in {None, END_MESSAGE_LOST}


def _working(seen: JobObservation, check: FinishCheck, message: str, *actions: Any, **more: Any) -> JobDecision:
    return _told(working, "Finishing", seen, check.reason or END_MESSAGE_LOST, message, *actions, **more)


def _told(
    how: Callable[..., JobDecision],
    state: str,
    seen: JobObservation,
    reason: str,
    message: str,
    *actions: Any,
    **more: Any,
) -> JobDecision:
    changes = {**accepted_changes(seen), "queue": None, **more.pop("changes", {})}
    verdicts = {**ready_verdicts(seen), "Admitted": Verdict(False, reason, message)}
    again = more.pop("again", FOLLOW_SECONDS)
    return how(seen, state, reason, message, *actions, changes=changes, verdicts=verdicts, again=again, **more)


def _well(said: TerminationMessage) -> bool:
    return said.succeeded
