"""What a GPUCluster has cost: brought up to date whenever its status is written anyway, and hourly at most besides.

The sums come from the provider's own times. They end a minute before the newest look, so that clocks that differ and
news that comes late are still counted right; from the moment of deletion they go as far as was looked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from tunesmith.planning.accounting import Counting, account_of, gone_by, grown, is_old, opened, wall_time
from tunesmith.planning.billing_history import Counted, Look, created_at, deleting_since, edge_at, history_of
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.claims import owner_elsewhere
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_order import billing_order
from tunesmith.planning.decision import Decision
from tunesmith.planning.money import Holding, Range, Rates, account, held_at, rate_of
from tunesmith.planning.ownership import FINALIZER, is_paused, was_restored
from tunesmith.planning.prepayment import NoPrice, ordered_prepaid_gpus, prepaid, prepaid_gpus
from tunesmith.planning.price_table import Prices
from tunesmith.planning.provider import Phase, ProviderCluster
from tunesmith.planning.usage import RecordUsage, UsageRecord, is_recorded, usage_of
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import Cost

ClusterDecision = Decision[GPUClusterStatus]

BEHIND = timedelta(seconds=60)
"""How far the sums stay behind the newest look: more than clocks differ and records of nodes come late."""


def accounted(seen: ClusterObservation, decision: ClusterDecision, *, asked: bool = False) -> ClusterDecision:
    """The decision with what the cluster has cost. No write for the sake of money more often than hourly.

    `asked`: somebody needs the sums of now, because a budget is about to end.
    """
    if is_paused(seen.resource.metadata) or _belongs_to_another(seen):
        return decision
    if _closes(seen, decision):
        record = usage_record(seen, decision.status.cost)
        return decision if is_recorded(record, seen.around) else Decision(seen.status, actions=(RecordUsage(record),))
    cluster = _shown(seen, decision)
    if cluster is None or not decision.status.conditions:
        return decision
    fresh = counted_now(seen, decision.status, cluster)
    before = decision.status.cost
    if not asked and not _is_due(seen, decision, fresh):
        return decision
    return decision if fresh == before else replace(decision, status=_with(decision.status, fresh))


def counted_now(seen: ClusterObservation, status: GPUClusterStatus, cluster: ProviderCluster) -> Cost:
    """The cost as the newest look has it. `status` is the one that is about to be written."""
    before = status.cost if status.cost is not None else opened(None, _bought_since(seen, cluster))
    rates, look = rates_of(seen.around.installation.prices, cluster), _look(seen, status, cluster)
    since = before.as_of_time or look.begun
    earlier = account_of(before)
    counted = None if earlier.held is None else Counted(since, earlier.held)
    history = history_of(cluster, seen.around.installation.billing, look, counted, prepaid_gpus(cluster, earlier))
    # The next count must not ask again about what was seen by this look alone.
    until = max(look.time if edge_at(history, look.time) else _counts_until(cluster, look), since)
    paid = prepaid(seen, cluster, earlier, look)
    money = account(history, rates, since, until) if not isinstance(paid, NoPrice) else None
    idle = account(history, rates, *_idle_between(seen, status, since, until))
    return grown(
        before,
        Counting(
            money=money,
            until=until,
            held=held_at(history, until).gpus.most,
            hourly_usd=rate_of(held_at(history, max(until, look.time + BEHIND)), rates),
            idle_usd=Decimal(0) if idle is None else idle.usd,
            prepaid=None if isinstance(paid, NoPrice) else paid,
        ),
    )


def bought_now(seen: ClusterObservation, cluster: ProviderCluster | None) -> Cost:
    """The cost when an incarnation is written down: nothing of it is counted yet."""
    return opened(seen.status.cost, _bought_since(seen, cluster))


def closed(seen: ClusterObservation, status: GPUClusterStatus) -> GPUClusterStatus:
    """The status once the provider shows the cluster no more: it ended at some time since it was counted last."""
    cost, looked = status.cost, _looked_at(seen)
    held = _held_at_most(seen, cost)
    if cost is None or cost.as_of_time is None or not held or looked is None or looked < cost.as_of_time:
        return status if cost is None or cost.hourly_usd is None else _with(status, _resting(cost))
    gone, by = Range(0, held), gone_by(seen.around)
    since_counted = Holding(cost.as_of_time, by, gpus=gone, on_demand=gone.without(_paid_otherwise(seen, cost)))
    gpu_type = (status.choice.gpu_type if status.choice is not None else None) or seen.spec.gpu_type or ""
    rates = Rates(seen.around.installation.prices.gpu_hour_usd.get(gpu_type))
    money = account((since_counted,), rates, cost.as_of_time, by)
    counting = Counting(money, looked, held=0, hourly_usd=Decimal(0))
    return _with(status, _resting(grown(cost, counting)))


def _held_at_most(seen: ClusterObservation, cost: Cost | None) -> int:
    """GPUs that it may have had since it was counted.

    What came in the last minute before that look is not among the counted: all of a young cluster, or new nodes.
    """
    counted = account_of(cost).held
    if counted is None:
        return seen.wanted_gpus  # bought, and gone before it was ever shown
    accrues = cost is not None and bool(cost.hourly_usd)
    return max(counted, seen.wanted_gpus) if accrues else counted


def _paid_otherwise(seen: ClusterObservation, cost: Cost) -> int:
    """GPUs that never count by the hour: paid at once, or a capacity pool's."""
    billing, paid = billing_order(seen.spec.billing), account_of(cost).prepaid
    if paid is None:  # it went before its term began
        paid = ordered_prepaid_gpus(billing, seen.wanted_gpus - (billing.preemptible_gpus or 0))
    return paid + (billing.capacity_pool_gpus or 0)


def usage_record(seen: ClusterObservation, cost: Cost | None) -> UsageRecord:
    """The record of the incarnation that the status speaks of, with what it has come to."""
    status = seen.status
    choice = status.choice
    return usage_of(
        "GPUCluster",
        seen.resource.metadata,
        cost,
        provider_id=status.cluster_id or "",
        provider_name=status.provider_name or "",
        incarnation=status.incarnation or 1,
        region=(choice.region if choice is not None else None) or seen.spec.region or "",
        sort=(choice.gpu_type if choice is not None else None) or seen.spec.gpu_type or "",
    )


def last_record(seen: ClusterObservation) -> tuple[RecordUsage, ...]:
    """What is written before the resource goes: nothing when nothing was bought, or another resource pays for it."""
    if seen.status.cluster_id is None or _belongs_to_another(seen):
        return ()
    # Its absence may have been seen while it could not be told, and so was never written.
    status = seen.status if seen.bought is not None else closed(seen, seen.status)
    return (RecordUsage(usage_record(seen, status.cost)),)


def rates_of(prices: Prices, cluster: ProviderCluster) -> Rates:
    """The hourly prices of a cluster's GPU type."""
    return Rates(prices.gpu_hour_usd.get(cluster.gpu_type), prices.preemptible_gpu_hour_usd.get(cluster.gpu_type))


def _is_due(seen: ClusterObservation, decision: ClusterDecision, fresh: Cost) -> bool:
    before = decision.status.cost
    if _without_cost(decision.status) != _without_cost(seen.status) or before is None:
        return True
    if fresh.hourly_usd != before.hourly_usd:
        return True
    return fresh.as_of_time is not None and is_old(before, fresh.as_of_time)


def _without_cost(status: GPUClusterStatus) -> GPUClusterStatus:
    return status.model_copy(update={"cost": None})


def _closes(seen: ClusterObservation, decision: ClusterDecision) -> bool:
    """The decision forgets the incarnation that the status speaks of."""
    bought = seen.status.cluster_id
    if was_restored(seen.resource.metadata, seen.name):
        return False  # it was another object's, which records it
    return bought is not None and decision.status.cluster_id != bought


def _belongs_to_another(seen: ClusterObservation) -> bool:
    return owner_elsewhere(seen) is not None


def _shown(seen: ClusterObservation, decision: ClusterDecision) -> ProviderCluster | None:
    bought = decision.status.cluster_id
    if bought is None or FINALIZER not in seen.resource.metadata.finalizers:
        return None
    return seen.provider.cluster(bought)


def _bought_since(seen: ClusterObservation, cluster: ProviderCluster | None) -> datetime:
    """An own purchase counts from its order or its creation; what was taken over, from now."""
    if seen.intent is not None:
        return seen.intent.started - BEHIND
    own = cluster is not None and cluster.parsed_name is not None and cluster.parsed_name.is_same_object(seen.name)
    return created_at(cluster, seen.around.now) if cluster is not None and own else seen.around.now


def _looked_at(seen: ClusterObservation) -> datetime | None:
    clusters = seen.provider.clusters
    return None if isinstance(clusters, Unknown) else wall_time(clusters.as_of, seen.around)


def _look(seen: ClusterObservation, status: GPUClusterStatus, cluster: ProviderCluster) -> Look:
    looked = _looked_at(seen) or seen.around.now
    ready_by = status.first_ready_time
    if ready_by is None and cluster.phase in {Phase.READY, Phase.DEGRADED}:
        ready_by = looked
    counted = status.cost.as_of_time if status.cost is not None else None
    return Look(looked, account_of(status.cost).since_time or counted or looked, ready_by)


def _counts_until(cluster: ProviderCluster, look: Look) -> datetime:
    if cluster.phase is not Phase.DELETING:
        return look.time - BEHIND
    asked = deleting_since(cluster)
    return look.time if asked is None else max(look.time, asked)


def _idle_between(
    seen: ClusterObservation, status: GPUClusterStatus, since: datetime, until: datetime
) -> tuple[datetime, datetime]:
    """The part of the time that is counted while nothing used it: up to now when this decision ends the idleness."""
    idle_since = seen.status.idle_since
    if idle_since is None:
        return until, until
    end = until if status.idle_since == idle_since else max(until, seen.around.now)
    return max(since, idle_since), end


def _resting(cost: Cost) -> Cost:
    return cost.model_copy(update={"hourly_usd": None if cost.hourly_usd is None else Decimal("0.00")})


def _with(status: GPUClusterStatus, cost: Cost) -> GPUClusterStatus:
    return status.model_copy(update={"cost": cost})
