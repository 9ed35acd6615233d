"""Budgets: nothing is bought beyond them, their end is told in time, and it is kept."""

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
    reason,
    seen,
)

from tunesmith.planning.budget import admission_stopped, first_bill
from tunesmith.planning.circumstances import Known
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.orders import AddOnOrder, ChangeCluster, ClusterChanges
from tunesmith.planning.price_table import PUBLISHED, BilledFrom, BilledUntil, BillingRules, Prices
from tunesmith.planning.purchase import HoldIntent
from tunesmith.resources.conditions import Condition, find_condition
from tunesmith.resources.gpu_cluster_status import LeavingNode
from tunesmith.resources.timestamps import format_time

READY = datetime(2026, 1, 1, 9, tzinfo=UTC)
BILLED = replace(INSTALLATION, prices=PUBLISHED, billing=BillingRules(BilledFrom.READY, BilledUntil.DELETE_REQUESTED))


def spent(usd, *, ago_minutes=1, told="WithinBudget"):
    """A status that has counted so many dollars up to a while ago."""
    return bought_status(
        cost={
            "hourlyUSD": "31.92",
            "computeUSD": usd,
            "uncertainUSD": "0.00",
            "asOfTime": (NOW - timedelta(minutes=ago_minutes)).isoformat().replace("+00:00", "Z"),
            "account": {"total": {"computeUSD": usd}, "earlier": {}, "held": 8},
        },
        firstReadyTime="2026-01-01T09:00:00Z",
        conditions=[
            {
                "type": "WithinBudget",
                "status": "True",
                "reason": told,
                "message": "before",
                "lastTransitionTime": "2026-01-01T09:00:00Z",
            }
        ],
    )


def running(usd, budget, **more):
    resource = a_cluster_resource(status=spent(usd, **more), budget=budget)
    view = a_view(a_provider_cluster(created=READY, first_ready=READY))
    observation = a_running_cluster(resource=resource, view=view)
    return replace(observation, around=circumstances(installation=BILLED))


def within(decision):
    found = find_condition(decision.status.conditions, "WithinBudget")
    return (found.is_true, found.reason, found.message)


def unbought(**more):
    installation = more.pop("installation", BILLED)
    observation = seen(a_cluster_resource(**more))
    return replace(observation, around=circumstances(installation=installation))


def test_both_numbers_are_told():
    told = within(decide(running("10.00", {"maxUSD": "250.00"})))
    assert told[:2] == (True, "WithinBudget")
    assert "$10.00 of $250.00" in told[2]


def test_without_a_budget_there_is_nothing_to_keep():
    assert within(decide(a_running_cluster()))[:2] == (True, "NoBudget")


@pytest.mark.parametrize(
    ("usd", "told", "event"),
    [
        ("199.00", "WithinBudget", ()),
        ("200.00", "BudgetNearlySpent", ("BudgetNearlySpent",)),
        ("250.00", "BudgetSpent", ("BudgetSpent",)),
    ],
)
def test_eighty_and_a_hundred_percent_are_told_once(usd, told, event):
    decision = decide(running(usd, {"maxUSD": "250.00"}))
    assert within(decision)[1] == told
    assert tuple(note.reason for note in decision.events if "Budget" in note.reason) == event
    again = decide(running(usd, {"maxUSD": "250.00"}, told=told))
    assert not [note for note in again.events if "Budget" in note.reason]


def test_what_may_have_been_spent_counts_as_spent():
    status = spent("150.00")
    status["cost"]["account"]["total"]["uncertainUSD"] = "100.00"
    resource = a_cluster_resource(status=status, budget={"maxUSD": "250.00"})
    decision = decide(replace(a_running_cluster(resource=resource), around=circumstances(installation=BILLED)))
    assert within(decision)[1] == "BudgetSpent"


def test_it_is_looked_at_again_when_the_next_mark_is_reached():
    decision = decide(running("199.75", {"maxUSD": "250.00"}, ago_minutes=0))
    assert decision.look_again_seconds == pytest.approx((200 - 199.75) / 31.92 * 3600 + 1, abs=1)


def test_a_mark_that_is_reached_between_two_writes_is_told_when_it_is_reached():
    decision = decide(running("249.00", {"maxUSD": "250.00"}, ago_minutes=30, told="BudgetNearlySpent"))
    assert within(decision)[1] == "BudgetSpent"
    assert decision.status.cost.compute_usd > Decimal("249.00")


def test_a_budget_that_only_warns_stops_nothing():
    decision = decide(running("300.00", {"maxUSD": "250.00"}))
    assert reason(decision) == "InOrder"
    assert "Nothing is stopped" in within(decision)[2]


def test_a_spent_budget_releases_when_it_says_so():
    decision = decide(running("250.00", {"maxUSD": "250.00", "action": "Release"}))
    assert decision.status.release.reason == "Budget"
    assert decision.actions == ()  # written first; jobs save; what gives it back comes in later passes


def test_a_spent_budget_stops_admission_when_it_says_so_and_jobs_are_told_why():
    budget = {"maxUSD": "250.00", "action": "StopAdmission"}
    resource = a_cluster_resource(status=spent("10.00"), budget=budget)
    assert admission_stopped(resource) is None
    stopped = resource.model_copy(update={"status": decide(running("250.00", budget)).status})
    assert "budget of $250.00 is spent" in admission_stopped(stopped)
    warned = a_cluster_resource(budget={"maxUSD": "250.00"})
    assert admission_stopped(warned.model_copy(update={"status": stopped.status})) is None


NO_PRICES = replace(BILLED, prices=Prices())
RESERVED = {"type": "Reserved", "durationDays": 30}
ON_DEMAND = {"billing_type": "ON_DEMAND"}
PREPAID = {"billing_type": "RESERVED", "reserved_gpus": 16, "reservation_end": NOW + timedelta(days=20)}


def growing(usd, max_usd, *, found=ON_DEMAND, ready_nodes=2, installation=BILLED, **spec):
    """Two nodes that have cost so much, of which the spec wants something else."""
    resource = a_cluster_resource(status=spent(usd, ago_minutes=0), budget={"maxUSD": max_usd}, **spec)
    view = a_view(a_provider_cluster(gpus=16, **{"created": READY, "first_ready": READY, **found}))
    observation = a_running_cluster(resource=resource, view=view, ready_nodes=ready_nodes)
    return replace(observation, around=circumstances(installation=installation))


def asked(decision):
    return [each.changes for each in decision.actions if isinstance(each, ChangeCluster)]


def until(days):
    return format_time(NOW + timedelta(days=days))


MORE_NODES = {"nodes": 3}
LONGER = {"nodes": 2, "billing": {**RESERVED, "endTime": until(22)}, "found": PREPAID}
MORE_RESERVED = {
    "nodes": 2,
    "billing": {**RESERVED, "reservedNodes": 2},
    "found": {**PREPAID, "reserved_gpus": 8},
}
MORE_PREEMPTIBLE = {"nodes": 3, "billing": {"preemptibleNodes": 1}, "projectID": "p-1"}


@pytest.mark.parametrize(
    ("wish", "costs"),
    [
        (MORE_NODES, "31.92"),  # 8 GPUs by the hour
        (LONGER, "2833.92"),  # 16 GPUs, two days
        (MORE_RESERVED, "14169.60"),  # 8 GPUs, the twenty days that are left
        (MORE_PREEMPTIBLE, "15.92"),  # 8 GPUs by the hour
    ],
    ids=["nodes", "endTime", "reservedNodes", "preemptibleNodes"],
)
def test_what_is_added_to_a_cluster_is_bought_within_the_budget_only(wish, costs):
    spare, most = Decimal("100.00"), Decimal("100.00") + Decimal(costs)
    assert len(asked(decide(growing(str(spare), str(most), **wish)))) == 1
    held = decide(growing(str(spare), str(most - Decimal("0.01")), **wish))
    assert asked(held) == []
    assert (reason(held), reason(held, "Stalled")) == ("BudgetTooSmall", "BudgetTooSmall")
    assert f"would cost ${costs}" in find_condition(held.status.conditions, "Stalled").message
    assert [note.reason for note in held.events if note.reason == "BudgetTooSmall"] == ["BudgetTooSmall"]
    unpriced = decide(growing(str(spare), "1000000.00", installation=NO_PRICES, **wish))
    assert (asked(unpriced), reason(unpriced, "Stalled")) == ([], "PriceUnknown")


def test_what_is_too_dear_to_add_is_told_once_and_does_not_move_by_itself():
    first = growing("250.00", "250.00", **MORE_NODES)
    held = decide(first)
    later = replace(first, resource=first.resource.model_copy(update={"status": held.status}))
    again = decide(replace(later, around=circumstances(1005.0, installation=BILLED)))
    assert (again.status, again.events, again.actions) == (held.status, (), ())


def test_a_size_that_somebody_took_away_is_not_bought_again_beyond_the_budget():
    before = growing("250.00", "250.00", nodes=3)
    told = {**before.status.conditions[0].model_dump(by_alias=True), "type": "Drifted", "reason": "AsWanted"}
    conditions = (*before.status.conditions, Condition.model_validate({**told, "observedGeneration": 1}))
    status = before.status.model_copy(update={"conditions": conditions})
    decision = decide(replace(before, resource=before.resource.model_copy(update={"status": status})))
    assert (reason(decision), reason(decision, "Drifted")) == ("BudgetTooSmall", "SizeChangedOutside")
    told = find_condition(decision.status.conditions, "Drifted").message
    assert told.endswith("The size of `spec` is restored as far as `spec.budget` allows.")
    assert asked(decision) == []


@pytest.mark.parametrize("installation", [BILLED, NO_PRICES])
def test_fewer_nodes_are_never_held_up_by_a_budget(installation):
    going = {"name": "node-1", "reason": "ScaleDown", "time": format_time(NOW - timedelta(minutes=1))}
    observation = growing("300.00", "250.00", nodes=1, installation=installation)
    status = observation.status.model_copy(update={"leaving_nodes": (LeavingNode.model_validate(going),)})
    observation = replace(observation, resource=observation.resource.model_copy(update={"status": status}))
    facts = Known(
        (observation.nodes.value[0], replace(observation.nodes.value[1], cordoned_for="ScaleDown")),
        observation.nodes.as_of,
    )
    assert asked(decide(replace(observation, nodes=facts))) == [ClusterChanges(gpus=8)]


def test_a_node_that_becomes_preemptible_costs_less_and_is_not_held_up():
    wish = {"nodes": 2, "billing": {"preemptibleNodes": 1}, "projectID": "p-1"}
    assert asked(decide(growing("300.00", "250.00", **wish))) == [ClusterChanges(preemptible_gpus=8)]


def test_no_dearer_node_is_bought_in_place_of_a_preemptible_one_without_a_price():
    installation = replace(BILLED, prices=replace(PUBLISHED, preemptible_gpu_hour_usd={}))
    decision = decide(growing("0.00", "1000.00", installation=installation, **MORE_PREEMPTIBLE))
    assert (asked(decision), reason(decision, "Stalled")) == ([], "PriceUnknown")


def test_what_costs_nothing_is_asked_for_beside_what_is_too_dear():
    decision = decide(growing("300.00", "250.00", addOns=[{"name": "headlamp"}], **LONGER))
    assert asked(decision) == [ClusterChanges(add_ons=(AddOnOrder("headlamp"),))]


def test_a_cluster_that_is_being_built_is_followed_though_it_may_not_grow():
    building = {**ON_DEMAND, "status": "WaitingForDataPlaneNodes", "created": NOW, "first_ready": None}
    observation = growing("0.00", "50.00", found=building, nodes=5)
    status = observation.status.model_copy(update={"first_ready_time": None})
    decision = decide(replace(observation, resource=observation.resource.model_copy(update={"status": status})))
    assert (reason(decision), asked(decision)) == ("Provisioning", [])


def test_nothing_is_bought_under_a_budget_without_a_price():
    decision = decide(unbought(budget={"maxUSD": "1000"}, installation=replace(BILLED, prices=Prices())))
    assert (reason(decision), reason(decision, "Stalled")) == ("PriceUnknown", "PriceUnknown")
    assert decision.status.create_intent is None


@pytest.mark.parametrize(("max_usd", "bought"), [("31.91", False), ("31.92", True)])
def test_what_is_beyond_the_budget_in_its_first_hour_is_not_bought(max_usd, bought):
    decision = decide(unbought(budget={"maxUSD": max_usd}))
    assert any(isinstance(action, HoldIntent) for action in decision.actions) is bought
    assert (reason(decision) == "BudgetTooSmall") is not bought


@pytest.mark.parametrize(
    ("billing", "bill"),
    [
        ({}, "63.84"),
        ({"capacityPool": {"id": "pool", "nodes": 1}}, "31.92"),
        ({"capacityPool": {"id": "pool", "nodes": 2}}, "0"),
        ({"capacityPool": {"id": "pool", "nodes": 1}, **RESERVED}, "21254.40"),
    ],
)
def test_nodes_of_a_capacity_pool_cost_nothing_here(billing, bill):
    assert first_bill(a_cluster_resource(nodes=2, billing=billing).spec, BILLED) == Decimal(bill)


def test_nodes_of_a_capacity_pool_need_no_price():
    spec = a_cluster_resource(nodes=2, billing={"capacityPool": {"id": "pool", "nodes": 2}}).spec
    assert first_bill(spec, NO_PRICES) == 0


def test_what_earlier_incarnations_spent_is_not_there_any_more():
    status = {"cost": {"computeUSD": "90.00", "account": {"total": {"computeUSD": "90.00"}}}}
    decision = decide(unbought(budget={"maxUSD": "100.00"}, status=status))
    assert reason(decision) == "BudgetTooSmall"
    assert "$10.00 are left" in find_condition(decision.status.conditions, "Ready").message


def test_without_a_budget_nothing_needs_a_price():
    decision = decide(unbought(installation=replace(BILLED, prices=Prices())))
    assert any(isinstance(action, HoldIntent) for action in decision.actions)
