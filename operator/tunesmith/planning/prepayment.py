"""What is paid at once: a reservation's whole term when it begins, and what is added to it later.

provider: a reservation starts at Ready, its full term is charged upfront, and nothing of it is given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tunesmith.planning.accounting import Prepaid
from tunesmith.planning.billing_history import SCHEDULED_CAPACITY, Look, ready_at
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.money import SECONDS_PER_HOUR, seconds_between
from tunesmith.planning.orders import BillingOrder
from tunesmith.planning.price_table import Prices
from tunesmith.planning.provider import ProviderCluster
from tunesmith.planning.reservation import paid_end
from tunesmith.resources.purchase import CostAccount

RESERVED = "RESERVED"
DAY_SECONDS = 86400
DAY_HOURS = 24


@dataclass(frozen=True)
class NoPrice:
    """The term has no price in the installation's table."""


NO_PRICE = NoPrice()


def prepaid(
    seen: ClusterObservation, cluster: ProviderCluster, before: CostAccount, look: Look
) -> Prepaid | NoPrice | None:
    """What is newly charged at this look; None: nothing is prepaid, or nothing is new."""
    term, reserved = _term(seen, cluster, look), prepaid_gpus(cluster, before)
    if term is None or not reserved or term[0] > look.time:
        return None
    begins, ends = term
    days = _days_ordered(seen, before, begins, ends)
    rate = seen.around.installation.prices.reserved(cluster.gpu_type, days)
    if rate is None:
        return NO_PRICE
    if before.prepaid is None or before.prepaid_until is None:
        return Prepaid(rate * reserved * _hours(begins, ends), Decimal(0), reserved, ends, days)
    longer = before.prepaid * max(_hours(before.prepaid_until, ends), Decimal(0))
    added = max(reserved - before.prepaid, 0)
    more, late = added * max(_hours(look.time, ends), Decimal(0)), added * _hours(_last_look(seen, look), look.time)
    if not longer and not more:
        return None
    gpus, until = max(before.prepaid, reserved), max(before.prepaid_until, ends)
    return Prepaid(rate * (longer + more), rate * max(late, Decimal(0)), gpus, until, days)


def prepaid_gpus(cluster: ProviderCluster, before: CostAccount) -> int:
    """How many of its GPUs are paid at once: never by the hour, also before their term begins."""
    if cluster.reserved_gpus or cluster.billing_type != SCHEDULED_CAPACITY:
        return cluster.reserved_gpus
    # provider: it names no reserved GPUs of scheduled capacity. All that was ordered is; what came later is not
    if before.prepaid is not None:
        return before.prepaid
    return max(cluster.gpus - cluster.allocated_preemptible_gpus - cluster.capacity_pool_gpus, 0)


def ordered_prepaid_gpus(billing: BillingOrder, gpus: int) -> int:
    """How many GPUs of an order are paid at once; `gpus` are those besides preemptible ones."""
    if billing.type not in {RESERVED, SCHEDULED_CAPACITY}:
        return 0
    if billing.reserved_gpus is not None:
        return billing.reserved_gpus
    return max(gpus - (billing.capacity_pool_gpus or 0), 0)


def reservation_usd(prices: Prices, gpu_type: str, gpus: int, days: Decimal) -> Decimal | None:
    """Dollars for a whole reservation; None when the term has no price."""
    rate = prices.reserved(gpu_type, days)
    return None if rate is None else rate * gpus * days * DAY_HOURS


def _term(seen: ClusterObservation, cluster: ProviderCluster, look: Look) -> tuple[datetime, datetime] | None:
    end = paid_end(seen, cluster)
    if cluster.billing_type == SCHEDULED_CAPACITY:
        start = cluster.reservation_start
        return None if start is None or end is None else (start, end)
    ready = ready_at(cluster) or look.ready_by
    if cluster.billing_type != RESERVED or ready is None:
        return None
    days = seen.spec.billing.duration_days
    ends = [] if days is None else [ready + timedelta(days=days)]
    if end is not None:
        ends.append(end)
    return (ready, max(ends)) if ends else None


def _days_ordered(seen: ClusterObservation, before: CostAccount, begins: datetime, ends: datetime) -> Decimal:
    """What is added to a term goes on at its price, so the term that was ordered decides."""
    if seen.spec.billing.duration_days is not None:
        return Decimal(seen.spec.billing.duration_days)
    return before.prepaid_days or seconds_between(begins, ends) / DAY_SECONDS


def _last_look(seen: ClusterObservation, look: Look) -> datetime:
    cost = seen.status.cost
    return look.time if cost is None or cost.as_of_time is None else cost.as_of_time


def _hours(since: datetime, until: datetime) -> Decimal:
    return seconds_between(since, until) / SECONDS_PER_HOUR
