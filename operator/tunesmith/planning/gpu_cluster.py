"""The mind of a GPUCluster: its whole life as a list of questions, in the order in which a person would ask them."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.absence import is_gone, looked_for_again
from tunesmith.planning.adoption import adopts, claimed_by_another, with_adoption_news
from tunesmith.planning.bought import done, quietly, stalled, working
from tunesmith.planning.budget import mark_passed, over_budget, too_dear_to_buy, within_budget
from tunesmith.planning.cluster_account import accounted
from tunesmith.planning.cluster_changes import asks_for_changes, changes_are_pending
from tunesmith.planning.cluster_deletion import being_deleted
from tunesmith.planning.cluster_follow import (
    acceptance_tests_failed,
    degraded,
    nodes_not_usable,
    still_provisioning,
    stopped_by_provider,
    tests_not_shown,
)
from tunesmith.planning.cluster_kubeconfig import kubeconfig_missing, not_reachable, with_fresh_kubeconfig
from tunesmith.planning.cluster_news import with_news
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_purchase import (
    buy,
    choice_is_wrong,
    found_by_name,
    ordered_with_another_key,
    start_is_past,
    waits_for_volume,
)
from tunesmith.planning.cluster_setup import not_set_up
from tunesmith.planning.cluster_size import wrong_size, wrong_size_being_built
from tunesmith.planning.cluster_status import as_seen, counted, standing, without_what_is_gone
from tunesmith.planning.cordon import no_longer_leaving
from tunesmith.planning.credential_kept import credential_can_tell, credential_must_stay, held_by_another_account
from tunesmith.planning.credential_secret import refusal_of_key
from tunesmith.planning.decision import Decision, EventNote, EventType, first_answer
from tunesmith.planning.first_questions import (
    credential_followed,
    never_seen,
    not_implemented_fields,
    paused,
    without_credential,
    without_finalizer,
)
from tunesmith.planning.idle import warned_of_idleness
from tunesmith.planning.incarnation import has_been_steady, is_recreated, keeps_vanishing, recreated
from tunesmith.planning.lifetime import (
    awake_in_time,
    expired,
    outside_hours,
    schedule_cannot_stop_it,
    schedule_unreadable,
    unused_too_long,
)
from tunesmith.planning.looking import (
    BUSY_INTERVAL_SECONDS,
    answering_request,
    leaving_interval_seconds,
    looking_again,
)
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.nodes_told import with_news_of_nodes
from tunesmith.planning.observing import nothing_given_back, without_touching
from tunesmith.planning.ownership import (
    FINALIZER,
    is_paused,
    lets_go,
)
from tunesmith.planning.policy_noted import with_policy_noted
from tunesmith.planning.predecessors import predecessor_found, restored
from tunesmith.planning.preemption import NOTICE_INTERVAL_SECONDS, has_preemptible_nodes
from tunesmith.planning.provider import Credential, Phase
from tunesmith.planning.reacquire import answering_reacquire
from tunesmith.planning.release import being_released, released
from tunesmith.planning.repair import repair_next, repairs_unseen
from tunesmith.planning.reservation import is_over, over_message, with_reservation_news
from tunesmith.planning.slurm import what_is_different
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

CALM = frozenset({Reason.IN_ORDER, Reason.RELEASED, Reason.OUTSIDE_SCHEDULE})
"""With these as the reason of Ready nothing is under way."""


def decide(seen: ClusterObservation) -> ClusterDecision:
    """What to do next for one GPUCluster. Pure; see docs/design/decisions.md."""
    decision = with_adoption_news(seen, with_reservation_news(seen, _answer(seen)))
    decision = seen_lately(seen, with_fresh_kubeconfig(seen, with_news_of_nodes(seen, with_news(seen, decision))))
    decision = accounted(seen, credential_followed(seen, decision), asked=mark_passed(seen))
    return with_policy_noted(seen, without_touching(seen, within_budget(seen, decision)))


def _answer(seen: ClusterObservation) -> ClusterDecision:
    return _managed(seen) if seen.may_change else _observed(seen)


def _observed(seen: ClusterObservation) -> ClusterDecision:
    """`managementPolicy: Observe`: no question here has an answer that touches the cluster."""
    return first_answer(
        seen,
        paused,
        being_deleted,
        not_implemented_fields,
        without_credential,
        never_seen,
        key_is_refused,
        restored,
        without_finalizer,
        claimed_by_another,
        nothing_given_back,
        adopts,
        credential_must_stay,
        lost_from_provider,
        ended_as_agreed,
        deleted_outside,
        stopped_by_provider,
        still_provisioning,
        kubeconfig_missing,
        not_reachable,
        acceptance_tests_failed,
        tests_not_shown,
        nodes_not_usable,
        degraded,
        otherwise=in_order,
    )


def _managed(seen: ClusterObservation) -> ClusterDecision:
    return first_answer(
        seen,
        paused,  # nothing is touched while the user says so
        being_deleted,
        being_released,  # what bills is given back, whatever else is amiss
        not_implemented_fields,
        without_credential,
        never_seen,  # no finalizer before a first clean list
        key_is_refused,
        restored,
        without_finalizer,
        claimed_by_another,
        found_by_name,
        schedule_unreadable,
        released,
        adopts,  # takes over what exists; nothing is bought for such a resource
        outside_hours,
        predecessor_found,
        choice_is_wrong,
        start_is_past,
        credential_must_stay,
        ordered_with_another_key,
        keeps_vanishing,
        waits_for_volume,
        too_dear_to_buy,
        buy,  # intent, look, buy: never twice
        lost_from_provider,
        ended_as_agreed,
        deleted_outside,
        expired,
        over_budget,
        stopped_by_provider,
        wrong_size_being_built,
        still_provisioning,
        unused_too_long,
        kubeconfig_missing,
        not_reachable,
        not_set_up,
        no_longer_leaving,
        repairs_unseen,
        repair_next,
        asks_for_changes,
        wrong_size,
        acceptance_tests_failed,
        tests_not_shown,
        nodes_not_usable,  # Ready means usable
        degraded,
        schedule_cannot_stop_it,
        changes_are_pending,
        otherwise=in_order,
    )


def key_is_refused(seen: ClusterObservation) -> ClusterDecision | None:
    """The provider refuses a key that it took before. What was bought goes on, and bills, while nothing can be done."""
    refusal = refusal_of_key(seen.around)
    if refusal is None:
        return None
    message = f"{refusal.message} Put a valid API key into the credential's Secret; it is used at once."
    look = LookAtProvider(seen.around.monotonic)
    cluster = seen.bought
    if cluster is None:
        return stalled(seen, Reason.CREDENTIALS_REFUSED, message, look)
    status, facts = as_seen(seen, cluster), standing(seen, cluster)
    return stalled(seen, Reason.CREDENTIALS_REFUSED, message, look, status=status, verdicts=facts)


def lost_from_provider(seen: ClusterObservation) -> ClusterDecision | None:
    """A bought cluster that the provider does not show: is it gone, or do we not see it?"""
    cluster_id = seen.status.cluster_id
    if cluster_id is None or seen.bought is not None:
        return None
    if is_lost(seen) and not is_recreated(seen):
        return _still_lost(seen, cluster_id)  # until it is shown again, which every look asks for
    if not credential_can_tell(seen):
        return held_by_another_account(seen, cluster_id)
    if not is_gone(seen, cluster_id):
        return looked_for_again(seen, cluster_id)
    return recreated(seen, cluster_id) if is_recreated(seen) else _lost(seen, cluster_id)


def ended_as_agreed(seen: ClusterObservation) -> ClusterDecision | None:
    """The provider ends a prepaid cluster at the end of its time: nobody deleted it outside."""
    cluster = seen.bought
    if cluster is None or cluster.phase is not Phase.DELETING or not is_over(seen):
        return None
    message = over_message(seen)
    return working(
        seen, Reason.RESERVATION_ENDED, message, status=as_seen(seen, cluster), verdicts=standing(seen, cluster)
    )


def deleted_outside(seen: ClusterObservation) -> ClusterDecision | None:
    """Somebody else is deleting the cluster: that is news, not a repair."""
    cluster = seen.bought
    if cluster is None or cluster.phase is not Phase.DELETING:
        return None
    message = f"Cluster '{cluster.name}' is being deleted at the provider, not by this resource."
    verdict = Verdict(True, Reason.DELETED_OUTSIDE, message)
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Drifted") != Reason.DELETED_OUTSIDE:
        events = (EventNote(EventType.WARNING, Reason.DELETED_OUTSIDE, message),)
    return working(
        seen,
        Reason.DELETED_OUTSIDE,
        message,
        status=as_seen(seen, cluster),
        verdicts={**standing(seen, cluster), "Drifted": verdict},
        events=events,
    )


def in_order(seen: ClusterObservation) -> ClusterDecision:
    """Everything is as it was asked for."""
    cluster = seen.bought
    if cluster is None:
        raise ValueError("a cluster is in order only when the provider shows it")
    message = counted(seen) + what_is_different(seen.spec)
    events: tuple[EventNote, ...] = ()
    if seen.status.first_ready_time is None:
        ready = seen.status.model_copy(update={"first_ready_time": seen.around.now})
        seen = replace(seen, resource=seen.resource.model_copy(update={"status": ready}))
        events = (EventNote(EventType.NORMAL, Reason.IN_ORDER, message),)
    status = as_seen(seen, cluster)
    if has_been_steady(seen) and status.vanished is not None:
        status = status.model_copy(update={"vanished": None})
    return done(seen, Reason.IN_ORDER, message, status=status, verdicts=standing(seen, cluster), events=events)


def seen_lately(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, with what every one of them needs: the user's requests answered, and the next look in time."""
    metadata = seen.resource.metadata
    if is_paused(metadata) or (metadata.is_being_deleted and FINALIZER not in metadata.finalizers):
        return decision
    if lets_go(decision.actions):
        return decision
    decision = awake_in_time(seen, warned_of_idleness(seen, answering_reacquire(seen, decision)))
    begun = seen.provider.begun if isinstance(seen.credential, Credential) else None
    look = seen.look(seen.around.monotonic, seen.looked_for)
    decision = answering_request(
        decision, metadata, look, seen.around, has_eyes=isinstance(seen.credential, Credential)
    )
    return looking_again(
        decision, look, begun=begun, interval_seconds=_interval_seconds(seen, decision), around=seen.around
    )


def _interval_seconds(seen: ClusterObservation, decision: ClusterDecision) -> float:
    """How old the newest look may be."""
    if seen.resource.metadata.is_being_deleted:
        return leaving_interval_seconds(seen.around.installation)
    calm = reason_of(decision.status.conditions, "Ready") in CALM
    wish = float(seen.spec.drift.interval_seconds)
    if has_preemptible_nodes(seen):
        wish = min(wish, NOTICE_INTERVAL_SECONDS)
    return wish if calm else min(wish, BUSY_INTERVAL_SECONDS)


def is_lost(seen: ClusterObservation) -> bool:
    """It was written down before that the cluster vanished."""
    return reason_of(seen.status.conditions, "Provisioned") in {Reason.GONE, Reason.RESERVATION_ENDED}


def _still_lost(seen: ClusterObservation, cluster_id: str) -> ClusterDecision:
    """It was told; another spec is answered with the same words, so that nobody takes it for not yet looked at."""
    if seen.status.observed_generation == seen.resource.metadata.generation:
        return quietly(seen)
    return replace(_lost(seen, cluster_id), events=())


def _lost(seen: ClusterObservation, cluster_id: str) -> ClusterDecision:
    message = (
        f"Cluster '{cluster_id}' is gone from the provider, and this resource did not delete it. Nothing is bought in "
        "its place: "
    )
    message += (
        "set `spec.recreatePolicy` to 'WhenGone' to buy another on demand, or delete this resource."
        if seen.spec.adopt is None
        else "it was adopted. Delete this resource, or make another without `adopt`."
    )
    if is_over(seen):
        return _ended(seen)
    return _no_more(seen, Reason.GONE, message, drifted=True, is_news=not is_lost(seen))


def _ended(seen: ClusterObservation) -> ClusterDecision:
    return _no_more(seen, Reason.RESERVATION_ENDED, over_message(seen), drifted=False, is_news=True)


def _no_more(
    seen: ClusterObservation, reason: Reason, message: str, *, drifted: bool, is_news: bool
) -> ClusterDecision:
    return stalled(
        seen,
        reason,
        message,
        status=without_what_is_gone(seen),
        verdicts={
            "Provisioned": Verdict(False, reason, message),
            "Drifted": Verdict(drifted, reason, message),
            "NodesHealthy": Verdict(None, reason, message),
        },
        events=(EventNote(EventType.WARNING, reason, message),) if is_news else (),
    )
