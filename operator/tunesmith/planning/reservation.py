"""Time that was paid for ahead: when it begins, warnings before it ends, and its end, which is nobody's fault.

The provider ends a prepaid cluster by itself and gives no money back, so it is never released early.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.orders import ChangeCluster
from tunesmith.planning.provider import ProviderCluster
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.gpu_cluster_parts import Billing, BillingType
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, Reservation
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

ClusterDecision = Decision[GPUClusterStatus]

WARNINGS = (
    (timedelta(hours=1), Reason.RESERVATION_ENDS_IN_AN_HOUR),
    (timedelta(hours=24), Reason.RESERVATION_ENDS_IN_A_DAY),
    (timedelta(days=7), Reason.RESERVATION_ENDS_IN_DAYS),
)
"""The nearest first. Each is told once, because the condition keeps the reason of the newest."""

WAITS_FOR_ITS_TIME = "Scheduled"  # provider: accepted, and paid for a time to come
END_IS_EXACT_WITHIN = timedelta(minutes=10)
"""A provider may take a cluster away a little before the second that it named."""


def reservation_of(seen: ClusterObservation, cluster: ProviderCluster) -> Reservation | None:
    """The paid time: the provider's word, else the spec's; None with OnDemand."""
    if not seen.prepaid:
        return None
    return Reservation(start_time=_start(seen, cluster), end_time=paid_end(seen, cluster))


def paid_end(seen: ClusterObservation, cluster: ProviderCluster) -> datetime | None:
    """Until when it is paid: the provider's word, else the end that it took last, else the ordered one.

    A wish is no paid time: an end that the provider does not show moves only with a request that it took.
    """
    if cluster.reservation_end is not None:
        return cluster.reservation_end
    before = seen.status.reservation or Reservation()
    known, ordered = end_taken(seen) or before.end_time, _ordered_end(seen, cluster)
    if known is None or ordered is None or seen.spec.billing.type is BillingType.SCHEDULED_CAPACITY:
        return known or ordered
    return max(known, ordered)


def end_taken(seen: ClusterObservation) -> datetime | None:
    """The end that the provider was asked for just now, and took."""
    done = [each.action for each in seen.around.outcomes if each.failure is None]
    ends = [each.changes.reservation_end for each in done if isinstance(each, ChangeCluster)]
    return next((end for end in reversed(ends) if end is not None), None)


def moved_end(billing: Billing, known: datetime | None) -> datetime | None:
    """The end to ask for; None: it is as wanted, or stays. provider: only of what is paid for ahead.

    A reservation gives no money back, so its end moves to later only.
    """
    end = billing.end_time
    if end is None or known is None or abs((end - known).total_seconds()) < 1:
        return None
    return None if billing.type is BillingType.RESERVED and end < known else end


def _start(seen: ClusterObservation, cluster: ProviderCluster) -> datetime | None:
    before = seen.status.reservation or Reservation()
    return cluster.reservation_start or before.start_time or seen.spec.billing.start_time


def _ordered_end(seen: ClusterObservation, cluster: ProviderCluster) -> datetime | None:
    billing, begun = seen.spec.billing, _start(seen, cluster) or cluster.created
    if billing.type is BillingType.SCHEDULED_CAPACITY:
        return billing.end_time
    if billing.duration_days is None or begun is None:
        return None
    return begun + timedelta(days=billing.duration_days)


def waits_for_its_time(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict | None:
    """Bought, and built by the provider when its time begins. After that moment it is provisioning like any other."""
    paid = reservation_of(seen, cluster)
    if begins_later(seen, cluster) is None or paid is None or paid.start_time is None:
        return None
    when = format_time(paid.start_time)
    message = f"The cluster is bought and paid for; the provider builds it when its time begins at {when}."
    return Verdict(False, Reason.SCHEDULED, message)


def begins_later(seen: ClusterObservation, cluster: ProviderCluster) -> float | None:
    """Seconds until the paid time begins; None when it has begun, or nothing waits for it."""
    paid = reservation_of(seen, cluster)
    if cluster.status != WAITS_FOR_ITS_TIME or seen.status.first_ready_time is not None:
        return None
    if paid is None or paid.start_time is None:
        return None
    left = (paid.start_time - seen.around.now).total_seconds()
    return left if left > 0 else None


def ends_soon(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict | None:
    """The warning that holds now: the end is near enough for it."""
    paid = reservation_of(seen, cluster)
    if paid is None or paid.end_time is None:
        return None
    left = paid.end_time - seen.around.now
    reason = next((reason for within, reason in WARNINGS if left <= within), None)
    if reason is None:
        return None
    message = f"The paid time ends at {format_time(paid.end_time)}; then the provider takes the cluster away with all "
    message += "that is not on a shared volume. "
    message += "Set `spec.billing.endTime` to a later time to keep it, or save what is needed."
    return Verdict(True, reason, message)


def is_over(seen: ClusterObservation) -> bool:
    """The paid time that stands in the status is at its end: that the cluster goes now was agreed."""
    paid = seen.status.reservation
    return paid is not None and paid.end_time is not None and seen.around.now >= paid.end_time - END_IS_EXACT_WITHIN


def over_message(seen: ClusterObservation) -> str:
    """What to say when the provider has ended it."""
    paid = seen.status.reservation
    when = format_time(paid.end_time) if paid is not None and paid.end_time is not None else "its end"
    return (
        f"The paid time ended at {when}, and the provider ended cluster '{seen.status.provider_name}' with it. Delete "
        "this resource; create another to buy again."
    )


def with_reservation_news(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, with the Event of a warning that is new, and a pass when the next one is due."""
    before, after = (
        reason_of(seen.status.conditions, "Provisioned"),
        reason_of(decision.status.conditions, "Provisioned"),
    )
    if after != before and any(after == reason for _, reason in WARNINGS):
        condition = next(each for each in decision.status.conditions if each.type == "Provisioned")
        note = EventNote(EventType.WARNING, condition.reason, condition.message)
        decision = replace(decision, events=(*decision.events, note))
    due = _next_warning(seen)
    if due is None or decision.actions:
        return decision
    left = max((due - seen.around.now).total_seconds(), 1.0)
    again = decision.look_again_seconds
    return replace(decision, look_again_seconds=left if again is None else min(again, left))


def _next_warning(seen: ClusterObservation) -> datetime | None:
    paid = seen.status.reservation
    if paid is None or paid.end_time is None or seen.status.cluster_id is None:
        return None
    moments = [paid.end_time - within for within, _ in WARNINGS]
    return min((each for each in moments if each > seen.around.now), default=None)
