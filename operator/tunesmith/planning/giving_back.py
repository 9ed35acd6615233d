"""Giving back what a GPUCluster has bought: DELETE once, watched, and believed only when absence was seen twice.

Deletion and release share it; they differ in what follows (`Ending`). It is the one place that deletes at the provider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tunesmith.planning.bought import quietly, stalled, working
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_purchase import order_can_be_told, presume_an_order, record, record_id
from tunesmith.planning.cluster_status import with_counts, without_what_is_gone
from tunesmith.planning.credential_kept import credential_can_tell, key_of_now
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.letting_go import target_of
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import DeleteCluster
from tunesmith.planning.ownership import may_be_taken_over
from tunesmith.planning.provider import Credential, Phase, ProviderCluster
from tunesmith.planning.purchase import is_absent_twice, may_have_been_posted, settled_at
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import AdoptionPolicy
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

DELETE_AGAIN_SECONDS = 60.0
"""A delete that the provider's list does not show after this time is asked for again."""
UNANSWERED_AFTER = timedelta(hours=1)
"""A cluster that the provider has not taken away for so long is told as a trouble; asking goes on."""
FAILURES_BEFORE_TOLD = 5
LIST_UNREADABLE = "the provider's list could not be read"
NOT_ASKED = "the provider could not be asked"


@dataclass(frozen=True)
class Ending:
    """What giving back is for.

    `over` decides when nothing is left; its second argument is the Event that says so, None when nothing was bought.
    `way_out` is what the user can do when nothing can be proven; it may speak of `{target}`. `then` ends sentences
    about what is waited for. `since`: from when on the provider has been asked.
    """

    over: Callable[[ClusterObservation, EventNote | None], ClusterDecision]
    way_out: str
    then: str
    since: datetime


def give_back(seen: ClusterObservation, ending: Ending) -> ClusterDecision:
    """The next step on the way to a confirmed absence."""
    for question in (_not_seen_yet, _still_there):
        answer = question(seen, ending)
        if answer is not None:
            return answer
    return _gone_for_certain(seen, ending)


def is_going(seen: ClusterObservation) -> bool:
    """A DELETE of this resource may have been sent, by whatever process: the status said so before."""
    provisioned = find_condition(seen.status.conditions, "Provisioned")
    return provisioned is not None and provisioned.reason in {Reason.DELETING, Reason.CONFIRMING_ABSENCE}


def _not_seen_yet(seen: ClusterObservation, ending: Ending) -> ClusterDecision | None:
    """Without a clean list of this process nothing can be said, and unknown never means "no"."""
    if not isinstance(seen.credential, Credential):
        return _unproven(seen, ending, "there is no API key to ask the provider with")
    begun = seen.provider.begun
    if begun is not None and begun >= seen.memory.first_seen:
        return None
    return _looking(seen, ending, LookAtProvider(seen.memory.first_seen), LIST_UNREADABLE)


def _still_there(seen: ClusterObservation, ending: Ending) -> ClusterDecision | None:
    """Give back what the provider shows, then wait until it is gone."""
    found, mark = _found(seen), seen.memory.mark
    if seen.intent is not None and mark is not None and mark.nonce == seen.intent.nonce and mark.created_id is not None:
        return record_id(seen, mark.created_id)
    if found is None:
        return None
    if seen.status.cluster_id is None:
        return record(seen, found)
    sent = seen.memory.delete_sent
    waits = sent is not None and seen.around.monotonic < sent + DELETE_AGAIN_SECONDS
    if found.phase is Phase.DELETING or waits:
        return _going(seen, found, ending)
    return _going(seen, found, ending, DeleteCluster(found.id))


def _going(
    seen: ClusterObservation, found: ProviderCluster, ending: Ending, *actions: DeleteCluster
) -> ClusterDecision:
    message = f"Cluster '{found.name}' is being given back."
    status = with_counts(seen).model_copy(update={"provider_status": found.status, **key_of_now(seen)})
    facts = {
        "Provisioned": Verdict(False, Reason.DELETING, message),
        "NodesHealthy": Verdict(None, Reason.DELETING, message),
    }
    trouble = _unanswered(seen, found, ending)
    if trouble is None:
        return working(seen, Reason.DELETING, message, *actions, status=status, verdicts=facts)
    return stalled(seen, Reason.NOT_GIVEN_BACK, trouble, *actions, status=status, verdicts=facts)


def _unanswered(seen: ClusterObservation, found: ProviderCluster, ending: Ending) -> str | None:
    """Why the user must know: the provider refuses the delete, or takes too long over it. It is asked on either way."""
    way_out = ending.way_out.format(target=found.id)
    failed = seen.around.failure_of(DeleteCluster(found.id))
    if failed is not None and failed.count >= FAILURES_BEFORE_TOLD:
        return f"The provider does not delete cluster '{found.name}': {failed.failure.message} It bills on. {way_out}"
    told = find_condition(seen.status.conditions, "Provisioned")
    if told is None or told.reason != Reason.DELETING or told.last_transition_time is None:
        return None
    if seen.around.now - max(told.last_transition_time, ending.since) < UNANSWERED_AFTER:
        return None
    return f"The provider has not taken cluster '{found.name}' away within an hour, and may bill it. {way_out}"


def _gone_for_certain(seen: ClusterObservation, ending: Ending) -> ClusterDecision:
    """The provider does not show it (any more): how often must that be seen before it is believed?"""
    if seen.status.cluster_id is not None:
        return _absence_of_id(seen, seen.status.cluster_id, ending)
    if seen.has_lost_its_status:
        return presume_an_order(seen)
    intent = seen.intent
    if intent is None or not may_have_been_posted(intent, seen.memory):
        return ending.over(seen, None)  # nothing was ever bought: the one clean list that stands is enough
    if not order_can_be_told(seen):
        return _unproven(seen, ending, "the API key of now is not the one that it was ordered with")
    settled = settled_at(intent, seen.memory, seen.around)
    if seen.around.monotonic < settled:
        message = f"An order may still be on its way at the provider. When its list stays clean, {ending.then}"
        return working(seen, Reason.LOOKING_BEFORE_BUYING, message, again=settled - seen.around.monotonic)
    begun = seen.provider.begun
    if begun is None or begun < settled:
        return _looking(seen, ending, LookAtProvider(settled), LIST_UNREADABLE)
    return _second_look(seen, intent.name, begun, ending)


def _absence_of_id(seen: ClusterObservation, cluster_id: str, ending: Ending) -> ClusterDecision:
    if not credential_can_tell(seen):
        why = "the API key of now is not the one that bought it, and shows nothing of its project"
        return _unproven(seen, ending, why)
    begun = seen.provider.not_found.get(cluster_id)
    if begun is None or begun < seen.memory.first_seen:
        return _looking(seen, ending, LookAtProvider(seen.memory.first_seen, cluster_id=cluster_id), NOT_ASKED)
    return _second_look(seen, cluster_id, begun, ending)


def _second_look(seen: ClusterObservation, target: str, begun: float, ending: Ending) -> ClusterDecision:
    if is_absent_twice(seen.memory, target, begun, seen.around):
        message = f"The provider has nothing left of '{target}'."
        return ending.over(seen, EventNote(EventType.NORMAL, Reason.DELETED, message))
    since = seen.memory.absent_since if seen.memory.absent_target == target else None
    due = (since if since is not None else begun) + seen.around.installation.absence_interval_seconds
    message = f"The provider shows '{target}' no more. It is looked for once again; then {ending.then}"
    absent = Verdict(False, Reason.CONFIRMING_ABSENCE, message)
    facts = {"Provisioned": absent, "NodesHealthy": replace(absent, holds=None)}
    status = without_what_is_gone(seen)
    if seen.around.monotonic < due:
        again = due - seen.around.monotonic
        return working(seen, Reason.CONFIRMING_ABSENCE, message, status=status, verdicts=facts, again=again)
    look = LookAtProvider(due, cluster_id=seen.status.cluster_id)
    if seen.around.failure_of(look) is not None:
        return _unproven(seen, ending, NOT_ASKED, look)
    return working(seen, Reason.CONFIRMING_ABSENCE, message, look, status=status, verdicts=facts)


def _found(seen: ClusterObservation) -> ProviderCluster | None:
    if seen.status.cluster_id is not None:
        return seen.bought
    own = seen.provider.own_clusters(seen.name)
    found = next((cluster for cluster in own if cluster.phase is not Phase.DELETING), None)
    if found is not None or seen.spec.adoption_policy is not AdoptionPolicy.SAME_IDENTITY:
        return found
    # What was taken over bears another name; a backup may have lost the status that said so.
    others = seen.provider.same_identity(seen.name)
    return next((each for each in others if _may_be_taken_over(each, seen)), None)


def _may_be_taken_over(cluster: ProviderCluster, seen: ClusterObservation) -> bool:
    return cluster.parsed_name is not None and may_be_taken_over(cluster.parsed_name, seen.around.installation)


def _looking(seen: ClusterObservation, ending: Ending, look: LookAtProvider, failed: str) -> ClusterDecision:
    """Look; `failed` is what is said of a look that failed."""
    return quietly(seen, look) if seen.around.failure_of(look) is None else _unproven(seen, ending, failed, look)


def _unproven(seen: ClusterObservation, ending: Ending, why: str, *actions: LookAtProvider) -> ClusterDecision:
    message = f"Whether the provider still has something of this resource cannot be told: {why}. "
    message += ending.way_out.format(target=target_of(seen))
    return stalled(seen, Reason.ABSENCE_UNPROVEN, message, *actions)
