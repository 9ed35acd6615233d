"""Release: the provider's cluster is given back and bills no more, while the resource stays.

Release is not delete: a resource that vanished would be made again by GitOps. Why and when it was given back stands in
`status.release` before anything is touched. Prepaid clusters are never released: giving them back saves nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum

from tunesmith.planning.bought import quietly, resting, working
from tunesmith.planning.circumstances import NotYet, Unknown
from tunesmith.planning.claims import owner_elsewhere
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.giving_back import Ending, give_back, is_going
from tunesmith.planning.idle import InUse, use_of
from tunesmith.planning.incarnation import after_absence, kubeconfig_left
from tunesmith.planning.ownership import PROTECTION_ANNOTATION, is_protected, was_restored
from tunesmith.planning.provider import Phase
from tunesmith.planning.reacquire import REACQUIRE_ANNOTATION, bought_again, is_wanted_now, until_bought_again
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, Release
from tunesmith.resources.purchase import ManagementPolicy
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

NOTICE = timedelta(seconds=10)
"""How long a release stands in the status before anything is deleted: a job that was admitted meanwhile is seen."""


class ReleaseReason(StrEnum):
    """Why a cluster is given back while its resource stays: the words of `status.release.reason`."""

    IDLE = "Idle"
    EXPIRED = "Expired"
    SCHEDULE = "Schedule"
    BUDGET = "Budget"


SAVES_FIRST = frozenset({ReleaseReason.EXPIRED, ReleaseReason.BUDGET})
"""These stop training, which saves first. The others never happen under an admitted job."""


def release(seen: ClusterObservation, reason: ReleaseReason, message: str) -> ClusterDecision | None:
    """Write down that the cluster is given back, and why. The next passes let jobs save, delete and confirm.

    `message` is one sentence for people. None: this cluster is not to be released (`not_releasable` says why), so a
    question that returns this passes on. Asking again while a release stands changes nothing.
    """
    if not_releasable(seen) is not None:
        return None
    if seen.status.release is not None:
        return quietly(seen)
    status = seen.status if seen.bought is None else as_seen(seen, seen.bought)
    status = status.model_copy(update={"release": Release(reason=reason.value, time=seen.around.now)})
    told = f"{message} The cluster is given back; this resource stays."
    facts = {} if seen.bought is None else standing(seen, seen.bought)
    note = EventNote(EventType.WARNING, Reason.RELEASING, told)
    return working(seen, Reason.RELEASING, told, status=status, verdicts=facts, events=(note,))


def not_releasable(seen: ClusterObservation) -> str | None:
    """Why the cluster stays whatever idle, expiry, schedule and budget say; None: it may be given back."""
    if seen.spec.management_policy is ManagementPolicy.OBSERVE:
        return "It is only watched (`spec.managementPolicy`)."
    if seen.prepaid:
        return "It is prepaid, so giving it back early saves nothing."
    if is_protected(seen.resource.metadata):
        return f"Its annotation '{PROTECTION_ANNOTATION}' keeps it."
    return None


def being_released(seen: ClusterObservation) -> ClusterDecision | None:
    """A release stands in the status and something may still bill: give it back."""
    if seen.status.release is None or (seen.status.cluster_id is None and seen.intent is None):
        return None
    if was_restored(seen.resource.metadata, seen.name):
        return None  # what a backup speaks of is its owner's
    if owner_elsewhere(seen) is not None:
        return None
    if not is_going(seen):
        answer = _withdrawn(seen) or _waits(seen)
        if answer is not None:
            return answer
    return give_back(seen, _ending(seen))


def released(seen: ClusterObservation) -> ClusterDecision | None:
    """Nothing is bought, because it was given back: until the schedule, a job or the user wants it again."""
    standing_release = seen.status.release
    if standing_release is None:
        return None
    again = bought_again(seen, standing_release)
    if again is not None:
        note = EventNote(EventType.NORMAL, Reason.REACQUIRED, again.message)
        changes: dict[str, object] = {"release": None}
        if again.handled is not None:
            changes["last_handled_reacquire_time"] = again.handled
        status = seen.status.model_copy(update=changes)
        facts = {"Provisioned": Verdict(False, Reason.REACQUIRED, again.message)}
        return working(seen, Reason.REACQUIRED, again.message, status=status, verdicts=facts, events=(note,))
    waits = until_bought_again(seen, standing_release)
    message = f"The cluster was given back ({standing_release.reason}) and bills nothing. {waits.message}"
    facts = {"Provisioned": Verdict(False, Reason.RELEASED, message)}
    return resting(seen, Reason.RELEASED, message, verdicts=facts, again=waits.seconds)


def _withdrawn(seen: ClusterObservation) -> ClusterDecision | None:
    """Nothing is deleted yet, and the reason fell away: a job came between, or the user wants to keep the cluster."""
    why = _why_withdrawn(seen)
    if why is None:
        return None
    message = f"The cluster is kept after all: {why}"
    status = seen.status if seen.bought is None else as_seen(seen, seen.bought)
    status = status.model_copy(update={"release": None, "idle_since": None})
    facts = {} if seen.bought is None else standing(seen, seen.bought)
    note = EventNote(EventType.NORMAL, Reason.RELEASE_WITHDRAWN, message)
    return working(seen, Reason.RELEASE_WITHDRAWN, message, status=status, verdicts=facts, events=(note,))


def _why_withdrawn(seen: ClusterObservation) -> str | None:
    kept = not_releasable(seen)
    if kept is not None:
        return kept
    reason = _reason(seen)
    if reason in SAVES_FIRST:
        return None
    if seen.jobs:
        return f"job '{min(job.name for job in seen.jobs)}' was admitted to it meanwhile."
    if is_wanted_now(seen):
        return f"its annotation '{REACQUIRE_ANNOTATION}' asks for it."
    use = use_of(seen, seen.bought) if reason is ReleaseReason.IDLE and seen.bought is not None else None
    return f"it is not idle any more. {use.message}" if isinstance(use, InUse) else None


def _waits(seen: ClusterObservation) -> ClusterDecision | None:
    """Before anything is deleted: a moment for what is under way, then the time that jobs may take to save."""
    if seen.status.release is None or seen.bought is None or seen.bought.phase is Phase.DELETING:
        return None
    begun = seen.status.release.time or seen.around.now
    left = begun + NOTICE - seen.around.now
    if left > timedelta(0):
        return quietly(seen, again=left / timedelta(seconds=1))
    grace = timedelta(seconds=seen.around.installation.save_grace_seconds)
    left = begun + NOTICE + grace - seen.around.now
    answers = not isinstance(seen.nodes, Unknown) or isinstance(seen.nodes, NotYet)
    if not seen.jobs or left <= timedelta(0) or not answers:
        return None
    named = ", ".join(f"'{name}'" for name in sorted(job.name for job in seen.jobs)[:5])
    message = f"The jobs {named} are saving; the cluster is given back when they are done."
    return working(
        seen,
        Reason.JOBS_SAVING,
        message,
        status=as_seen(seen, seen.bought),
        verdicts=standing(seen, seen.bought),
        again=left / timedelta(seconds=1),
    )


def _ending(seen: ClusterObservation) -> Ending:
    begun = seen.status.release.time if seen.status.release is not None else None
    return Ending(
        over=_over,
        way_out="Mend that; until then '{target}' may exist at the provider, and bill.",
        then="the resource stays, without a cluster.",
        since=begun or seen.around.now,
    )


def _over(seen: ClusterObservation, note: EventNote | None) -> ClusterDecision:
    """Nothing is left of the incarnation. Its kubeconfig goes first, while it is still known whose it was."""
    if isinstance(seen.kubeconfig_secret, Unknown) and not isinstance(seen.kubeconfig_secret, NotYet):
        message = f"The cluster is gone; Secret '{seen.secret_name}' could not be read: {seen.kubeconfig_secret.why}"
        return working(seen, Reason.KUBECONFIG_UNREADABLE, message, again=5.0)
    left = kubeconfig_left(seen)
    if left is not None:
        return quietly(seen, left)
    gone = replace(seen, resource=seen.resource.model_copy(update={"status": after_absence(seen)}))
    answer = released(gone)
    if answer is None:
        raise ValueError("what is over here was begun by a release")
    return answer if note is None else replace(answer, events=(note, *answer.events))


def _reason(seen: ClusterObservation) -> ReleaseReason | None:
    written = seen.status.release.reason if seen.status.release is not None else None
    return next((reason for reason in ReleaseReason if reason.value == written), None)
