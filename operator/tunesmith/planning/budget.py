"""What `spec.budget` allows a GPUCluster: nothing is bought beyond it, it is told in time, and it is kept.

What may have been spent counts as spent, because a budget is a maximum. Between two looks the running rate is added, so
that the end is met when it comes and not an hour later. The numbers that are told are those of the status.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from tunesmith.planning.accounting import account_of
from tunesmith.planning.bought import stalled
from tunesmith.planning.circumstances import Installation
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.money import SECONDS_PER_HOUR, cents, seconds_between
from tunesmith.planning.ownership import is_paused
from tunesmith.planning.prepayment import DAY_SECONDS, reservation_usd
from tunesmith.planning.provider import GPUS_PER_NODE
from tunesmith.planning.release import ReleaseReason, release
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.conditions import find_condition, set_condition
from tunesmith.resources.gpu_cluster import GPUCluster, GPUClusterSpec
from tunesmith.resources.gpu_cluster_parts import BillingType, ClusterBudgetAction, GPUClusterBudget
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import Cost
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

ClusterDecision = Decision[GPUClusterStatus]

NEARLY = Decimal("0.8")
"""The part of a budget at which its end is announced."""
_EVENTS = {Reason.BUDGET_NEARLY_SPENT, Reason.BUDGET_SPENT}
_STEPS = {
    (Reason.WITHIN_BUDGET, Reason.BUDGET_NEARLY_SPENT),
    (Reason.WITHIN_BUDGET, Reason.BUDGET_SPENT),
    (Reason.BUDGET_NEARLY_SPENT, Reason.BUDGET_SPENT),
}
_THEN = {
    ClusterBudgetAction.WARN: "Nothing is stopped, as `spec.budget.action` says.",
    ClusterBudgetAction.STOP_ADMISSION: "No further job is admitted; those that run go on, and bill.",
    ClusterBudgetAction.RELEASE: "Jobs save, then the cluster is given back.",
}


def too_dear_to_buy(seen: ClusterObservation) -> ClusterDecision | None:
    """Nothing is bought under a budget without a price, nor when its first hour, or its whole term, is beyond it."""
    budget = seen.spec.budget
    if budget is None or seen.status.cluster_id is not None or seen.intent is not None:
        return None
    types = unpriced(seen.spec, seen.around.installation)
    if types:
        named = ", ".join(f"'{each}'" for each in types)
        message = f"The installation knows no price for {named}, so nothing is bought under a budget. Set one in the "
        message += "chart (`provider.gpuHourUSD` and its neighbours), or remove `spec.budget`."
        return stalled(
            seen, Reason.PRICE_UNKNOWN, message, verdicts={"Provisioned": Verdict(False, Reason.PRICE_UNKNOWN, message)}
        )
    first, left = first_bill(seen.spec, seen.around.installation), budget.max_usd - spent(seen.status.cost)
    if first is None or first <= left:
        return None
    what = "The first hour" if seen.spec.billing.type is BillingType.ON_DEMAND else "The reservation, paid at once,"
    message = f"{what} would cost ${cents(first)}, but of the budget of ${cents(budget.max_usd)} only "
    message += f"${cents(max(left, Decimal(0)))} are left. Raise `spec.budget.maxUSD`, or ask for less."
    verdict = Verdict(False, Reason.BUDGET_TOO_SMALL, message)
    return stalled(seen, Reason.BUDGET_TOO_SMALL, message, verdicts={"Provisioned": verdict})


def over_budget(seen: ClusterObservation) -> ClusterDecision | None:
    """The budget is spent, and says that the cluster is given back then."""
    budget = seen.spec.budget
    if budget is None or budget.action is not ClusterBudgetAction.RELEASE or seen.status.cluster_id is None:
        return None
    if not is_spent(budget, seen.status.cost, seen.around.now):
        return None
    return release(seen, ReleaseReason.BUDGET, f"The budget of ${cents(budget.max_usd)} is spent.")


def within_budget(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision with the condition WithinBudget, its Events, and a pass when the next mark will be reached."""
    if is_paused(seen.resource.metadata) or not decision.status.conditions:
        return decision
    cost, budget, now = decision.status.cost, seen.spec.budget, seen.around.now
    verdict = _verdict(seen, cost)
    before = reason_of(seen.status.conditions, "WithinBudget")
    conditions = set_condition(
        decision.status.conditions,
        "WithinBudget",
        verdict.holds,
        reason=verdict.reason,
        message=verdict.message,
        now=now,
        observed_generation=seen.resource.metadata.generation,
    )
    decision = replace(decision, status=decision.status.model_copy(update={"conditions": conditions}))
    if verdict.reason in _EVENTS and before != verdict.reason and not _was_told(before, verdict.reason):
        note = EventNote(EventType.WARNING, verdict.reason, verdict.message)
        decision = replace(decision, events=(*decision.events, note))
    due = None if budget is None else _next_mark_seconds(budget, cost, now)
    if due is None:
        return decision
    again = decision.look_again_seconds
    return replace(decision, look_again_seconds=due if again is None else min(again, due))


def mark_passed(seen: ClusterObservation) -> bool:
    """A mark of the budget was reached since the sums were written: they are brought up to date then."""
    budget = seen.spec.budget
    if budget is None:
        return False
    told = reason_of(seen.status.conditions, "WithinBudget")
    reached = _reason(budget, seen.status.cost, seen.around.now)
    return (told, reached) in _STEPS


def admission_stopped(cluster: GPUCluster) -> str | None:
    """Why the cluster's pool grants nothing more, in words for the jobs that wait; None: it does."""
    budget = cluster.spec.budget
    if budget is None or budget.action is ClusterBudgetAction.WARN:
        return None
    told = find_condition(cluster.status.conditions, "WithinBudget")
    if told is None or told.reason != Reason.BUDGET_SPENT:
        return None
    what = f"GPUCluster '{cluster.metadata.name}' admits no job: its budget of ${cents(budget.max_usd)} is spent."
    return f"{what} Raise `spec.budget.maxUSD` there, or use another cluster."


def is_spent(budget: GPUClusterBudget, cost: Cost | None, now: datetime) -> bool:
    """All of it is gone by now."""
    return projected(cost, now) >= budget.max_usd


def spent(cost: Cost | None) -> Decimal:
    """What was spent over the resource's life, and what may have been, up to the time that the cost counts to."""
    total = account_of(cost).total
    return total.compute_usd + total.uncertain_usd


def projected(cost: Cost | None, now: datetime) -> Decimal:
    """What will have been spent by now at the rate of the newest look."""
    if cost is None or cost.hourly_usd is None or cost.as_of_time is None or now <= cost.as_of_time:
        return spent(cost)
    return spent(cost) + cost.hourly_usd * seconds_between(cost.as_of_time, now) / SECONDS_PER_HOUR


def first_bill(spec: GPUClusterSpec, installation: Installation) -> Decimal | None:
    """The dearest first hour of what may be bought, or its whole term where that is paid at once; None: no price."""
    bills = [_first_bill(spec, gpu_type, installation) for gpu_type in _types(spec)]
    known = [bill for bill in bills if bill is not None]
    return max(known) if known and len(known) == len(bills) else None


def unpriced(spec: GPUClusterSpec, installation: Installation) -> tuple[str, ...]:
    """The GPU types that may be bought and have no price the way they are paid."""
    return tuple(each for each in _types(spec) if _first_bill(spec, each, installation) is None)


def days_ordered(spec: GPUClusterSpec) -> Decimal:
    """The length of the time that is paid ahead; 0 when the spec does not say."""
    billing = spec.billing
    if billing.start_time is not None and billing.end_time is not None:
        return seconds_between(billing.start_time, billing.end_time) / DAY_SECONDS
    return Decimal(billing.duration_days or 0)


def _types(spec: GPUClusterSpec) -> tuple[str, ...]:
    return tuple(dict.fromkeys((spec.gpu_type or "", *(each.gpu_type for each in spec.alternatives))))


def _first_bill(spec: GPUClusterSpec, gpu_type: str, installation: Installation) -> Decimal | None:
    prices, billing = installation.prices, spec.billing
    nodes = spec.nodes or 1
    preemptible = min(billing.preemptible_nodes or 0, nodes)
    pool = 0 if billing.capacity_pool is None else billing.capacity_pool.nodes  # paid for elsewhere
    billed_here = max(nodes - preemptible - pool, 0)
    reserved = 0
    if billing.type is not BillingType.ON_DEMAND:
        reserved = billed_here if billing.reserved_nodes is None else billing.reserved_nodes
    total = Decimal(0)
    for count, rate in (
        (max(billed_here - reserved, 0), prices.gpu_hour_usd.get(gpu_type)),
        (preemptible, prices.preemptible_gpu_hour_usd.get(gpu_type)),
    ):
        if count and rate is None:
            return None
        total += count * GPUS_PER_NODE * (rate or Decimal(0))
    if not reserved:
        return total
    term = reservation_usd(prices, gpu_type, reserved * GPUS_PER_NODE, days_ordered(spec))
    return None if term is None else total + term


def _verdict(seen: ClusterObservation, cost: Cost | None) -> Verdict:
    budget = seen.spec.budget
    if budget is None:
        return Verdict(True, Reason.NO_BUDGET, "No budget is set.")
    if unpriced(seen.spec, seen.around.installation) and (cost is None or cost.hourly_usd is None):
        return Verdict(None, Reason.PRICE_UNKNOWN, "The installation knows no price, so the budget cannot be kept.")
    reason = _reason(budget, cost, seen.around.now)
    as_of = cost.as_of_time if cost is not None else None
    upto = "" if as_of is None else f" up to {format_time(as_of)}"
    sums = f"${cents(spent(cost))} of ${cents(budget.max_usd)}"
    message = f"{sums} were spent{upto}."
    if reason == Reason.BUDGET_SPENT:
        message = f"The budget is spent: {sums}{upto}. {_THEN[budget.action]}"
    return Verdict(reason != Reason.BUDGET_SPENT, reason, message)


def _reason(budget: GPUClusterBudget, cost: Cost | None, now: datetime) -> Reason:
    sum_now = projected(cost, now)
    if sum_now >= budget.max_usd:
        return Reason.BUDGET_SPENT
    return Reason.BUDGET_NEARLY_SPENT if sum_now >= budget.max_usd * NEARLY else Reason.WITHIN_BUDGET


def _was_told(before: str | None, now: str) -> bool:
    """From spent back to nearly spent is no news: a raised budget, or a sum that was corrected."""
    return before == Reason.BUDGET_SPENT and now == Reason.BUDGET_NEARLY_SPENT


def _next_mark_seconds(budget: GPUClusterBudget, cost: Cost | None, now: datetime) -> float | None:
    """When 80 % or all of it will be reached at the rate of now; None when it never will, or was."""
    if cost is None or not cost.hourly_usd:
        return None
    sum_now = projected(cost, now)
    ahead = [mark - sum_now for mark in (budget.max_usd * NEARLY, budget.max_usd) if mark > sum_now]
    if not ahead:
        return None
    wait = timedelta(seconds=float(min(ahead) / cost.hourly_usd * SECONDS_PER_HOUR))
    return wait / timedelta(seconds=1) + 1.0  # the clock of passes has whole seconds
