"""A job whose nodes are to go or to be repaired: it is told to save, its pods end, and it goes on on other nodes.

What a user, a repair or a preemption asks of a job is no failure of it: the attempt is not counted as a restart, and no
node is blamed. The next attempt is made only when the pods of this one have ended: until then they may still write, and
a newer attempt on the storage would make them give up what they are saving.
"""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.attempt_end import Broke, Succeeded, end_of
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.contract import Retry
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.job_end import live_pods
from tunesmith.planning.job_observation import JobDecision, JobObservation, working
from tunesmith.planning.leaving import names_to_leave
from tunesmith.planning.node_use import PREEMPTED, REPAIR
from tunesmith.planning.running import begun_anew
from tunesmith.planning.verdict import Verdict
from tunesmith.planning.written_progress import pods_written, progress_changes
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.reasons import Reason

WHY = {
    PREEMPTED: "the provider takes it away",
    REPAIR: "it is to be repaired",
}
SHRINKS = "the cluster is made smaller"


def leaving_its_nodes(seen: JobObservation) -> JobDecision | None:
    """Save, end, and ask for other nodes. An attempt that has ended by itself meanwhile is judged as ever."""
    why = _nodes_to_leave(seen)
    if isinstance(seen.workload, Unknown) or not (why or _is_saving(seen)):
        return None
    workload = seen.workload.value
    end = end_of(workload, seen.attempt)
    if isinstance(end, Succeeded) or (isinstance(end, Broke) and end.retry is Retry.NEVER):
        return None
    job = workload.job_of(seen.attempt)
    alive = [pod for pod in live_pods(seen) if pod.attempt == seen.attempt]
    if job is None and not alive:
        return begun_anew(seen, Broke("Preempted", Retry.UNCOUNTED, _message(seen, why)))
    if job is not None and not alive and job.deleting:
        return begun_anew(seen, Broke("Preempted", Retry.UNCOUNTED, _message(seen, why)))
    actions: tuple[DeleteObject, ...] = ()
    if job is not None and not job.deleting:
        actions = (DeleteObject(seen.where, "batch/v1", "Job", job.namespace, job.name, uid=job.uid),)
    return _saving(seen, _message(seen, why), actions)


def _saving(seen: JobObservation, message: str, actions: tuple[DeleteObject, ...]) -> JobDecision:
    saving = Verdict(False, Reason.SAVING, message)
    events = () if _is_saving(seen) else (EventNote(EventType.NORMAL, Reason.SAVING, message),)
    pods = () if isinstance(seen.workload, Unknown) else seen.workload.value.pods_of(seen.attempt)
    return working(
        seen,
        "Saving",
        Reason.SAVING,
        message,
        *actions,
        changes={"pods": pods_written(pods), **progress_changes(seen)},
        verdicts={"PodsReady": saving, "Progressing": saving},
        events=events,
    )


def _nodes_to_leave(seen: JobObservation) -> Mapping[str, str]:
    """The nodes of its admission that it must leave, each with the reason."""
    if seen.cluster is None or seen.status.admission is None:
        return {}
    leave = names_to_leave(seen.cluster.status)
    return {pod.node: leave[pod.node] for pod in seen.status.admission.pods if pod.node in leave}


def _is_saving(seen: JobObservation) -> bool:
    """It was told before, and may not be told otherwise any more: its Job is being deleted."""
    condition = find_condition(seen.status.conditions, "PodsReady")
    return condition is not None and condition.reason == Reason.SAVING


def _message(seen: JobObservation, why: Mapping[str, str]) -> str:
    """The same words from the first to the last, so that the status rests while the job saves."""
    condition = find_condition(seen.status.conditions, "PodsReady")
    if condition is not None and condition.reason == Reason.SAVING:
        return condition.message
    name, reason = next(iter(sorted(why.items())))
    others = f" and {len(why) - 1} more" if len(why) > 1 else ""
    return f"The job saves and leaves node {name}{others}, because {WHY.get(reason, SHRINKS)}."
