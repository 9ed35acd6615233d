"""What `spec.budget` allows a cluster that is bought already: nodes and paid time that are added are bought, too.

Only what grows is asked about, so that fewer nodes are never held up. What is too dear is not asked for and told; the
cluster goes on as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from tunesmith.planning.bought import stalled
from tunesmith.planning.budget import days_ordered, projected
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.money import cents, seconds_between
from tunesmith.planning.orders import ClusterChanges
from tunesmith.planning.prepayment import DAY_HOURS, DAY_SECONDS
from tunesmith.planning.provider import GPUS_PER_NODE, ProviderCluster
from tunesmith.planning.reservation import paid_end
from tunesmith.planning.verdict import reason_of
from tunesmith.resources.gpu_cluster_parts import BillingType
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]


@dataclass(frozen=True)
class _Billed:
    """How the GPUs of a cluster are paid. Those of a capacity pool were paid for elsewhere."""

    by_hour: int
    preemptible: int
    ahead: int


def too_dear_to_grow(
    seen: ClusterObservation, cluster: ProviderCluster, changes: ClusterChanges
) -> ClusterDecision | None:
    """Nothing is added under a budget without a price, nor when its first hour, or added paid time, is beyond it."""
    budget = seen.spec.budget
    if budget is None:
        return None
    added = added_usd(seen, cluster, changes)
    if added is None:
        message = f"The installation knows no price for what `spec` adds of '{cluster.gpu_type}', so it is not bought "
        message += "under a budget; the cluster goes on as it is. Set one in the chart (`provider.gpuHourUSD` and its "
        return _held(seen, cluster, Reason.PRICE_UNKNOWN, f"{message}neighbours), or remove `spec.budget`.")
    if not added or projected(seen.status.cost, seen.around.now) + added <= budget.max_usd:
        return None
    message = f"What `spec` adds would cost ${cents(added)} in its first hour or at once, which is more than is left "
    message += f"of the budget of ${cents(budget.max_usd)}. The cluster goes on as it is. Raise `spec.budget.maxUSD`, "
    return _held(seen, cluster, Reason.BUDGET_TOO_SMALL, f"{message}or ask for less.")


def within_means(seen: ClusterObservation, cluster: ProviderCluster, changes: ClusterChanges) -> ClusterChanges:
    """The changes; without all that adds to the bill when that is too dear."""
    if too_dear_to_grow(seen, cluster, changes) is None:
        return changes
    free = replace(changes, reserved_gpus=None, preemptible_gpus=None, capacity_pool_gpus=None, reservation_end=None)
    for part in (
        replace(free, reserved_gpus=changes.reserved_gpus),
        replace(free, preemptible_gpus=changes.preemptible_gpus),
        replace(free, capacity_pool_gpus=changes.capacity_pool_gpus),
        replace(free, reservation_end=changes.reservation_end),
    ):
        if added_usd(seen, cluster, part) == 0:
            free = part
    return free


def added_usd(seen: ClusterObservation, cluster: ProviderCluster, changes: ClusterChanges) -> Decimal | None:
    """Dollars for the first hour of what is added and for what of it is paid at once; 0: nothing is. None: no price."""
    hour, term = _first_hour(seen, cluster, changes), _added_term(seen, cluster, changes)
    return None if hour is None or term is None else hour + term


def _first_hour(seen: ClusterObservation, cluster: ProviderCluster, changes: ClusterChanges) -> Decimal | None:
    """What the hour costs more than now. A standard node that a preemptible one replaces is taken off."""
    prices = seen.around.installation.prices
    before, after = _billed(seen, cluster, ClusterChanges()), _billed(seen, cluster, changes)
    more = Decimal(0)
    for gpus, rate in (
        (after.by_hour - before.by_hour, prices.gpu_hour_usd.get(cluster.gpu_type)),
        (after.preemptible - before.preemptible, prices.preemptible_gpu_hour_usd.get(cluster.gpu_type)),
    ):
        if gpus > 0 and rate is None:
            return None
        more += gpus * (rate or Decimal(0))
    return max(more, Decimal(0))


def _added_term(seen: ClusterObservation, cluster: ProviderCluster, changes: ClusterChanges) -> Decimal | None:
    """Added time for what is paid ahead now, and the time that is left for what is paid ahead besides."""
    before, after = _billed(seen, cluster, ClusterChanges()), _billed(seen, cluster, changes)
    end, days = paid_end(seen, cluster), days_ordered(seen.spec)
    until = changes.reservation_end or end
    longer = Decimal(0) if end is None or until is None else max(seconds_between(end, until) / DAY_SECONDS, Decimal(0))
    left = days if until is None else _days_left(seen.around.now, until)
    gpu_days = before.ahead * longer + max(after.ahead - before.ahead, 0) * left
    if not gpu_days:
        return Decimal(0)
    rate = seen.around.installation.prices.reserved(cluster.gpu_type, days)
    return None if rate is None else gpu_days * DAY_HOURS * rate


def _days_left(now: datetime, until: datetime) -> Decimal:
    """Begun days count whole, so that the sum that is told does not move by itself."""
    days = max(seconds_between(now, until) / DAY_SECONDS, Decimal(0))
    return days.to_integral_value(rounding=ROUND_CEILING)


def _billed(seen: ClusterObservation, cluster: ProviderCluster, changes: ClusterChanges) -> _Billed:
    """How it is paid once the changes are made.

    provider: how it charges what is added to scheduled capacity is not documented; it counts by the hour here.
    """
    preemptible = _given(changes.preemptible_gpus, cluster.desired_preemptible_gpus)
    now = cluster.gpus - cluster.allocated_preemptible_gpus
    standard = _given(changes.gpus, now)
    if changes.gpus is None and changes.preemptible_gpus is not None:
        standard = min(now, max(seen.wanted_gpus - preemptible, GPUS_PER_NODE))
    pool = _given(changes.capacity_pool_gpus, cluster.capacity_pool_gpus)
    billing = seen.spec.billing
    whole = billing.type is not BillingType.ON_DEMAND and billing.reserved_nodes is None
    ahead = cluster.reserved_gpus or (max(now - cluster.capacity_pool_gpus, 0) if whole else 0)
    ahead = _given(changes.reserved_gpus, ahead)
    return _Billed(by_hour=max(standard - ahead - pool, 0), preemptible=preemptible, ahead=ahead)


def _given(wanted: int | None, present: int) -> int:
    return present if wanted is None else wanted


def _held(seen: ClusterObservation, cluster: ProviderCluster, reason: Reason, message: str) -> ClusterDecision:
    is_news = reason_of(seen.status.conditions, "Ready") != reason
    events = (EventNote(EventType.WARNING, reason, message),) if is_news else ()
    status, facts = as_seen(seen, cluster), standing(seen, cluster)
    return stalled(seen, reason, message, status=status, verdicts=facts, events=events)
