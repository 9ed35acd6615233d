"""Letting a GPUCluster go: not before jobs are off it, and not before the provider has nothing left to bill for."""

from __future__ import annotations

from datetime import timedelta

from tunesmith.planning.bought import stalled, working
from tunesmith.planning.circumstances import NotYet, Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision, EventNote, EventType, first_answer
from tunesmith.planning.giving_back import Ending, give_back
from tunesmith.planning.incarnation import after_absence
from tunesmith.planning.letting_go import (
    abandoned,
    let_go,
    never_adopted,
    not_ours_to_hold,
    only_watched,
    owned_by_another,
    restored_and_undecided,
)
from tunesmith.planning.name_book import Kept, keeping
from tunesmith.planning.ownership import (
    PROTECTION_ANNOTATION,
    is_protected,
    way_out_of,
)
from tunesmith.planning.provider import named_things
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import DeletionPolicy
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]


def being_deleted(seen: ClusterObservation) -> ClusterDecision | None:
    """The whole way out, in the order of its questions."""
    if not seen.resource.metadata.is_being_deleted:
        return None
    return first_answer(
        seen,
        not_ours_to_hold,
        owned_by_another,
        never_adopted,
        protected,
        abandoned,
        kept_by_jobs,
        only_watched,
        restored_and_undecided,
        retained,
        otherwise=given_back,
    )


def protected(seen: ClusterObservation) -> ClusterDecision | None:
    """The user asked to be asked twice."""
    if not is_protected(seen.resource.metadata):
        return None
    message = f"The resource was deleted, but its annotation '{PROTECTION_ANNOTATION}' keeps what it has bought, which "
    message += "bills. Remove the annotation to give it back."
    return stalled(seen, Reason.DELETION_PROTECTED, message, status=_as_it_stands(seen), verdicts=_facts(seen))


def kept_by_jobs(seen: ClusterObservation) -> ClusterDecision | None:
    """Jobs that stay keep the cluster; a job that goes itself is given time to save, and no more."""
    grace = timedelta(seconds=seen.around.installation.save_grace_seconds)
    staying = sorted(job.name for job in seen.jobs if job.deleting_since is None)
    if staying:
        named = ", ".join(f"'{name}'" for name in staying[:5])
        message = f"The cluster is held by the jobs {named}. Delete them, or wait for their end; then it is given back."
        return working(seen, Reason.HELD_BY_JOBS, message, status=_as_it_stands(seen), verdicts=_facts(seen))
    ends = [job.deleting_since + grace for job in seen.jobs if job.deleting_since is not None]
    # An operator that has just started knows nothing of the nodes yet: that is no word of a dead cluster.
    answers = not isinstance(seen.nodes, Unknown) or isinstance(seen.nodes, NotYet)
    if not ends or not answers or max(ends) <= seen.around.now:
        return None
    message = "Jobs that are being deleted are saving; the cluster is given back when they are done."
    again = (max(ends) - seen.around.now) / timedelta(seconds=1)
    return working(seen, Reason.JOBS_SAVING, message, status=_as_it_stands(seen), verdicts=_facts(seen), again=again)


def retained(seen: ClusterObservation) -> ClusterDecision | None:
    """The user keeps the cluster and takes its bill on himself."""
    if seen.spec.deletion_policy is not DeletionPolicy.RETAIN or seen.status.cluster_id is None:
        return None
    message = f"Cluster '{seen.status.provider_name}' ({seen.status.cluster_id}) stays at the provider, and bills."
    if seen.bought_beside:
        message += f" So do more that were bought for this resource: {named_things(seen.bought_beside)}."
    note = EventNote(EventType.NORMAL, Reason.RETAINED, message)
    return let_go(seen, note, keep=keeping(seen.status.provider_name, Kept.RETAINED, seen.around.installation))


def given_back(seen: ClusterObservation) -> ClusterDecision:
    """DELETE once, watched; the resource goes when absence was seen twice."""
    return give_back(seen, _ending(seen))


def _ending(seen: ClusterObservation) -> Ending:
    return Ending(
        over=_over,
        way_out=f"Mend that; or {way_out_of(seen.resource.metadata)}",
        then="the resource goes.",
        since=seen.resource.metadata.deletion_timestamp or seen.around.now,
    )


def _over(seen: ClusterObservation, note: EventNote | None) -> ClusterDecision:
    if seen.status.cluster_id is not None and seen.bought_beside:
        return _the_other_next(seen)
    return let_go(seen) if note is None else let_go(seen, note)


def _the_other_next(seen: ClusterObservation) -> ClusterDecision:
    """An order that came later than anybody could wait for has bought another: it is given back like the first."""
    message = f"Cluster '{seen.status.cluster_id}' is gone. The provider has more of this resource: "
    message += f"{named_things(seen.bought_beside)}. They are given back as well."
    note = EventNote(EventType.WARNING, Reason.DUPLICATE_FOUND, message)
    return working(seen, Reason.DELETING, message, status=after_absence(seen), events=(note,))


def _as_it_stands(seen: ClusterObservation) -> GPUClusterStatus | None:
    return None if seen.bought is None else as_seen(seen, seen.bought)


def _facts(seen: ClusterObservation) -> dict[str, Verdict] | None:
    return None if seen.bought is None else standing(seen, seen.bought)
