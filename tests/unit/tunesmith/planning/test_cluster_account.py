"""The books of a GPUCluster: uncertain where the provider tells no time, idle apart, recorded before they go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    NOW,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
)

from tunesmith.planning.billing_history import Counted, Look, history_of
from tunesmith.planning.cluster_account import accounted, closed, last_record
from tunesmith.planning.decision import Decision, ErrorClass, Failure, Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.money import Rates, account
from tunesmith.planning.price_table import PUBLISHED, BilledFrom, BilledUntil, BillingRules, Prices
from tunesmith.planning.provider import PhaseTransition, ProviderNode
from tunesmith.planning.usage import RecordUsage

BEGIN = datetime(2026, 1, 1, 0, tzinfo=UTC)
RULES = BillingRules(BilledFrom.CREATED, BilledUntil.GONE)
RATES = Rates(Decimal(1), Decimal("0.5"))
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "InOrder",
    "message": "",
    "lastTransitionTime": "2026-01-01T01:00:00Z",
}


def hour(number):
    return BEGIN + timedelta(hours=number)


def bill(cluster, *, rules=RULES, until=10, counted=None, after=0):
    """Certain and uncertain dollars at a dollar a GPU-hour, up to an hour."""
    history = history_of(cluster, rules, Look(hour(until), hour(0)), counted, cluster.reserved_gpus)
    money = account(history, RATES, hour(after), hour(until))
    return money.usd, money.uncertain_usd


def a_cluster(**more):
    return a_provider_cluster(created=hour(0), **{"first_ready": hour(1), **more})


def phases(*steps):
    return tuple(PhaseTransition(f"CLUSTER_PHASE_{word}", hour(at)) for word, at in steps)


def a_node(name="gpu-dp-1", since=0, deleted=None, **more):
    steps = (PhaseTransition("PENDING", hour(since)), PhaseTransition("RUNNING", hour(since + 0.5)))
    return ProviderNode(name, name, gpus=8, phases=steps, deleted=None if deleted is None else hour(deleted), **more)


@pytest.mark.parametrize(
    ("begins", "certain", "uncertain"),
    [(BilledFrom.CREATED, 80, 0), (BilledFrom.READY, 72, 0), (BilledFrom.UNKNOWN, 72, 8)],
)
def test_from_when_is_billed_is_a_rule_and_where_there_is_none_the_time_between_is_uncertain(
    begins, certain, uncertain
):
    assert bill(a_cluster(), rules=BillingRules(begins, BilledUntil.GONE)) == (certain, uncertain)


@pytest.mark.parametrize(
    ("ends", "certain", "uncertain"),
    [(BilledUntil.DELETE_REQUESTED, 64, 0), (BilledUntil.GONE, 64, 16), (BilledUntil.UNKNOWN, 64, 16)],
)
def test_until_when_is_billed_is_a_rule_too(ends, certain, uncertain):
    leaving = a_cluster(status="Deleting", phases=phases(("READY", 1), ("DELETING", 8)))
    assert bill(leaving, rules=BillingRules(BilledFrom.CREATED, ends)) == (certain, uncertain)


def test_paused_for_want_of_credit_is_not_billed_and_another_pause_may_be():
    steps = (("READY", 1), ("ON_DEMAND_COMPUTE_PAUSED", 4), ("READY", 6))
    assert bill(a_cluster(phases=phases(*steps))) == (64, 0)
    assert bill(a_cluster(phases=phases(("READY", 1), ("PAUSED", 4), ("READY", 6)))) == (64, 16)
    assert bill(a_cluster(status="OnDemandComputePaused"), counted=Counted(hour(4), 8), after=4) == (0, 48)


def test_nodes_are_billed_by_their_own_moments_also_those_that_came_and_went_unseen():
    unseen = (a_node("gpu-dp-2", since=3, deleted=5), a_node("gpu-dp-3", since=4, deleted=6))
    assert bill(a_cluster(nodes=(a_node(),), deleted_nodes=unseen)) == (8 * 10 + 8 * 2 + 8 * 2, 0)


def test_preemptible_nodes_cost_their_own_price():
    assert bill(a_cluster(nodes=(a_node(), a_node("gpu-preemptible-dp-1", since=2)))) == (80 + 32, 0)


def test_without_records_of_nodes_a_change_of_size_lies_between_two_looks():
    assert bill(a_cluster(gpus=24), counted=Counted(hour(6), 8), after=6) == (32, 64)
    assert bill(a_cluster(gpus=8), counted=Counted(hour(6), 24), after=6) == (32, 64)


def test_a_node_of_which_no_record_is_left_went_at_some_time_since_it_was_counted():
    assert bill(a_cluster(nodes=(a_node(),)), counted=Counted(hour(6), 24), after=6) == (32, 64)


def test_what_is_prepaid_is_not_billed_by_the_hour():
    nodes = tuple(a_node(f"gpu-dp-{number}") for number in range(3))
    assert bill(a_cluster(nodes=nodes, reserved_gpus=16)) == (80, 0)


def test_what_is_prepaid_costs_nothing_by_the_hour_also_when_its_record_is_lost():
    reserved = a_cluster(nodes=(a_node(),), reserved_gpus=16)
    assert bill(reserved, counted=Counted(hour(6), 16), after=6) == (0, 0)
    assert bill(reserved, counted=Counted(hour(6), 24), after=6) == (0, 32)


def counted_cluster(now, *, idle_since=None, status_idle=None, prices=PUBLISHED):
    """The decision of nothing new, accounted at an hour, from books that were written at hour 2."""
    status = bought_status(
        cost={"computeUSD": "0.00", "asOfTime": "2026-01-01T02:00:00Z", "account": {"total": {}, "held": 8}},
        conditions=[READY],
        **({"idleSince": idle_since} if idle_since else {}),
    )
    view = a_view(a_cluster())
    observation = a_running_cluster(resource=a_cluster_resource(status=status), view=view)
    installation = replace(INSTALLATION, prices=prices, billing=RULES)
    observation = replace(observation, around=circumstances(now=now, installation=installation))
    after = observation.status.model_copy(update={"idle_since": status_idle})
    return accounted(observation, Decision(after)).status.cost


def test_idle_dollars_are_those_while_nothing_used_it_up_to_when_it_was_used_again():
    idle = counted_cluster(NOW, idle_since="2026-01-01T08:00:00Z", status_idle=None)
    assert idle.account.total.idle_usd == 4 * 8 * Decimal("3.99")
    assert idle.idle_usd < idle.compute_usd
    assert counted_cluster(NOW).idle_usd == 0


def counted_through(*clusters):
    """The sums after a look at each of these, an hour apart, the first at hour 2; bought at hour 0."""
    cost = {"computeUSD": "0.00", "asOfTime": "2026-01-01T00:00:00Z", "account": {"total": {}}}
    for at, cluster in enumerate(clusters, start=2):
        status = bought_status(conditions=[READY], cost=cost)
        resource = a_cluster_resource(status=status, nodes=1)
        observation = a_running_cluster(resource=resource, view=a_view(cluster))
        installation = replace(INSTALLATION, prices=Prices(gpu_hour_usd={"H100_SXM": Decimal(1)}), billing=RULES)
        observation = replace(observation, around=circumstances(now=hour(at), installation=installation))
        fresh = accounted(observation, Decision(observation.status)).status.cost
        cost = fresh.model_dump(mode="json", by_alias=True, exclude_none=True)
    return fresh.account.total.compute_usd, fresh.account.total.uncertain_usd, fresh.as_of_time


@pytest.mark.parametrize(
    "then",
    [
        a_cluster(gpus=8),
        a_cluster(gpus=8, nodes=(a_node(),)),
        a_cluster(gpus=8, nodes=(a_node(),), deleted_nodes=(a_node("gpu-dp-2"),)),
    ],
    ids=["numbers alone", "a lost record", "a record without its end"],
)
def test_what_went_without_a_time_is_uncertain_until_the_look_that_missed_it_and_no_longer(then):
    nodes = (a_node(), a_node("gpu-dp-2")) if then.nodes else ()
    usd, uncertain, until = counted_through(a_cluster(gpus=16, nodes=nodes), then, then, then)
    counted_first = Decimal(2 * 3600 - 60) / 3600
    certain_since = Decimal((until - hour(0)).total_seconds()) / 3600 - counted_first
    assert usd == pytest.approx(16 * counted_first + 8 * certain_since)
    assert uncertain == pytest.approx(8 * (3 - counted_first))


def test_what_came_without_a_time_is_uncertain_until_the_look_that_found_it_and_certain_from_then_on():
    small, large = a_cluster(gpus=8), a_cluster(gpus=16)
    usd, uncertain, until = counted_through(small, large, large, large)
    counted_first = Decimal(2 * 3600 - 60) / 3600
    assert until == hour(5) - timedelta(minutes=1)
    assert usd == pytest.approx(8 * Decimal(5 * 3600 - 60) / 3600 + 8 * Decimal(2 * 3600 - 60) / 3600)
    assert uncertain == pytest.approx(8 * (3 - counted_first))


def test_a_price_that_comes_later_counts_from_the_beginning():
    assert counted_cluster(NOW, prices=Prices()).as_of_time == datetime(2026, 1, 1, 2, tzinfo=UTC)
    assert counted_cluster(NOW).account.total.compute_usd > 300


def test_the_books_stay_a_minute_behind_the_newest_look():
    assert counted_cluster(NOW).as_of_time == NOW - timedelta(minutes=1)


def scheduled_from(start):
    return {"type": "ScheduledCapacity", "startTime": start, "endTime": "2026-01-20T00:00:00Z"}


POOL = {"capacityPool": {"id": "pool-1", "nodes": 1}}


@pytest.mark.parametrize(
    ("billing", "prepaid", "by_the_hour"),
    [
        ({}, None, 24),
        (POOL, None, 16),
        ({"type": "Reserved", "durationDays": 8}, 24, 0),
        ({"type": "Reserved", "durationDays": 8, "reservedNodes": 1}, 8, 16),
        ({"type": "Reserved", "durationDays": 8, "reservedNodes": 1, **POOL}, 8, 8),
        ({"type": "Reserved", "durationDays": 8, "reservedNodes": 1}, None, 16),
        ({"type": "Reserved", "durationDays": 8}, None, 0),
        (scheduled_from("2026-01-10T00:00:00Z"), None, 0),
        ({**scheduled_from("2026-01-01T00:00:00Z"), **POOL}, 16, 0),
    ],
)
def test_of_a_cluster_that_vanished_only_what_is_paid_by_the_hour_may_come_on_top(billing, prepaid, by_the_hour):
    paid = {} if prepaid is None else {"prepaid": prepaid, "prepaidUntil": "2026-01-20T00:00:00Z"}
    cost = {"computeUSD": "0.00", "asOfTime": "2026-01-01T11:00:00Z", "account": {"total": {}, "held": 24, **paid}}
    resource = a_cluster_resource(status=bought_status(cost=cost), nodes=3, billing=billing)
    gone = a_running_cluster(resource=resource, view=a_view())
    total = closed(gone, gone.status).cost.account.total
    hours = Decimal(3601) / 3600  # since it was counted, and the second that `now` is cut by
    assert total.compute_usd == 0
    assert total.uncertain_usd == pytest.approx(by_the_hour * Decimal("3.99") * hours)
    assert total.uncertain_hours == pytest.approx(24 * hours)


@pytest.mark.parametrize(
    ("held", "hourly", "uncertain_gpus"),
    [(0, "63.84", 16), (8, "63.84", 16), (24, "95.76", 24), (0, "0.00", 0), (16, "0.00", 16)],
)
def test_what_came_in_the_minute_before_a_look_may_have_cost_until_it_vanished(held, hourly, uncertain_gpus):
    account = {"total": {}, "held": held}
    cost = {"hourlyUSD": hourly, "computeUSD": "0.00", "asOfTime": "2026-01-01T11:00:00Z", "account": account}
    resource = a_cluster_resource(status=bought_status(cost=cost), nodes=2)
    gone = a_running_cluster(resource=resource, view=a_view())
    after = closed(gone, gone.status)
    assert after.cost.account.total.uncertain_hours == pytest.approx(uncertain_gpus * Decimal(3601) / 3600)
    assert closed(gone, after).cost == after.cost


def test_the_last_record_holds_what_was_gone_before_anybody_could_write_it():
    account = {"total": {}, "held": 8}
    cost = {"hourlyUSD": "31.92", "computeUSD": "0.00", "asOfTime": "2026-01-01T11:00:00Z", "account": account}
    resource = a_cluster_resource(status=bought_status(cost=cost), deleting=True)
    (gone,) = last_record(a_running_cluster(resource=resource, view=a_view()))
    (there,) = last_record(a_running_cluster(resource=resource))
    assert gone.record.uncertain_hours == pytest.approx(8 * Decimal(3601) / 3600)
    assert there.record.uncertain_hours == 0


def forgetting(outcomes=()):
    """A decision that leaves an incarnation behind."""
    resource = a_cluster_resource(status=bought_status())
    observation = a_running_cluster(resource=resource, view=a_view(not_found={"c-1": 1000.0}))
    observation = replace(observation, around=replace(circumstances(), outcomes=outcomes))
    forgotten = observation.status.model_copy(update={"cluster_id": None, "incarnation": 2})
    return observation, accounted(observation, Decision(forgotten))


def test_an_incarnation_is_recorded_before_it_is_forgotten_and_again_when_that_failed():
    observation, decision = forgetting()
    (action,) = decision.actions
    assert isinstance(action, RecordUsage)
    assert decision.status == observation.status
    _, failed = forgetting((Outcome(action, failure=Failure(ErrorClass.UNAVAILABLE, "the disk is full")),))
    assert failed.actions[0].record.id == action.record.id
    _, gone_on = forgetting((Outcome(action),))
    assert (gone_on.actions, gone_on.status.cluster_id) == ((), None)


def test_a_resource_that_has_bought_nothing_records_nothing():
    decision = decide(a_running_cluster(resource=a_cluster_resource(deleting=True), view=a_view()))
    assert not [action for action in decision.actions if isinstance(action, RecordUsage)]
