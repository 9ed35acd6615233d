"""What a job's conditions say of that which is not there yet, or no more, so that every line is true in every state.

A decision gives verdicts on what it looked at; here stand those on the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.planning.verdict import Verdict
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.fine_tune_job_status import FineTuneJobStatus

# In the order in which a job comes by them; each is asked for only when those before it hold.
WAY_TO_THE_GPUS = ("Accepted", "ClusterReady", "DatasetReady", "Admitted")
ENDS = ("Succeeded", "Failed")
NOT_ENDED = Verdict(False, "NotEnded", "The job has not ended.")
ENDED = {
    "ClusterReady": Verdict(None, "Ended", "The job has ended; nobody looks at its cluster for it any more."),
    "Admitted": Verdict(False, "Ended", "The job has ended; its GPUs are free for others."),
    "PodsReady": Verdict(False, "Ended", "The job has ended, and its pods with it."),
    "Progressing": Verdict(False, "Ended", "The training is over."),
}


def of_all(status: FineTuneJobStatus, said: Mapping[str, Verdict]) -> Mapping[str, Verdict]:
    """The verdicts that were `said`, and those that follow on what nobody said anything about.

    `status` has the decision's other changes already; its conditions are still those of before.
    """
    if any(is_true(status.conditions, kind) for kind in ENDS):
        return said  # it ended before: what it was told then holds
    if any(kind in said and said[kind].holds for kind in ENDS):
        return {**ENDED, **said}
    following = _without_gpus(status, said) if status.admission is None else _with_gpus(status, said)
    return {**dict.fromkeys(ENDS, NOT_ENDED), **following, **said}


def _without_gpus(status: FineTuneJobStatus, said: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """What lies behind the first thing that does not hold is not looked at, or not there."""
    nothing = Verdict(False, "NotAdmitted", "No GPUs are held for the job, so no pods of it run.")
    verdicts = {"PodsReady": nothing, "Progressing": nothing}
    missing = next((kind for kind in WAY_TO_THE_GPUS if not _holds(status, said, kind)), None)
    if missing is None:
        return verdicts
    behind = WAY_TO_THE_GPUS[WAY_TO_THE_GPUS.index(missing) + 1 :]
    for kind in behind:
        known = False if kind == "Admitted" else None
        verdicts[kind] = Verdict(known, "NotYet", f"This is looked at once '{missing}' is True.")
    return verdicts


def _with_gpus(status: FineTuneJobStatus, said: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Nothing is trained before all pods run."""
    pods = said.get("PodsReady") or _written(status, "PodsReady")
    if pods is None or pods.holds is not False:
        return {}
    return {"Progressing": Verdict(False, pods.reason, "Nothing is trained before all pods run.")}


def _holds(status: FineTuneJobStatus, said: Mapping[str, Verdict], kind: str) -> bool:
    return bool(said[kind].holds) if kind in said else is_true(status.conditions, kind)


def _written(status: FineTuneJobStatus, kind: str) -> Verdict | None:
    found = find_condition(status.conditions, kind)
    if found is None:
        return None
    return Verdict({"True": True, "False": False}.get(found.status.value), found.reason, found.message)
