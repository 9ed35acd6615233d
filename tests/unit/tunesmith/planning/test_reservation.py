"""Time that was paid for ahead: it begins, it is warned about, it ends, and that is nobody's fault."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    MONOTONIC,
    NOW,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    only,
    reason,
)

from tunesmith.planning.cluster_order import billing_order
from tunesmith.planning.decision import Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import ChangeCluster, ClusterChanges
from tunesmith.planning.price_table import PUBLISHED
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.planning.release import not_releasable
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.gpu_cluster_parts import Billing
from tunesmith.resources.timestamps import format_time

RESERVED = {"type": "Reserved", "durationDays": 30}
READY = {"firstReadyTime": "2026-01-01T11:00:00Z"}


def scheduled(start, end):
    return {"type": "ScheduledCapacity", "startTime": format_time(start), "endTime": format_time(end)}


def reserved(left, *, found=None, status=None, spec=None, **more):
    """A reserved cluster with so much of its time left."""
    facts = {"billing_type": "RESERVED", "reserved_gpus": 8, "reservation_end": NOW + left, **(found or {})}
    return a_running_cluster(
        status=bought_status(**READY, **(status or {})),
        view=a_view(a_provider_cluster(**facts)),
        spec={"billing": RESERVED, **(spec or {})},
        **more,
    )


def test_a_scheduled_cluster_waits_for_its_time_and_is_not_late_before_it():
    start = NOW + timedelta(days=2)
    cluster = a_provider_cluster(status="Scheduled", kubeconfig="", billing_type="SCHEDULED_CAPACITY")
    billing = scheduled(start, start + timedelta(days=7))
    decision = decide(a_running_cluster(view=a_view(cluster), spec={"billing": billing}))
    assert (reason(decision), reason(decision, "Provisioned")) == ("Scheduled", "Scheduled")
    assert is_true(decision.status.conditions, "Reconciling")
    assert "at 2026-01-03T12:00:00Z" in find_condition(decision.status.conditions, "Ready").message
    assert decision.status.reservation.start_time == start


def test_when_its_time_has_begun_it_is_provisioning_with_a_deadline_from_there():
    start = NOW - timedelta(minutes=10)
    old = NOW - timedelta(days=3)
    cluster = a_provider_cluster(status="Scheduled", kubeconfig="", billing_type="SCHEDULED_CAPACITY", created=old)
    billing = scheduled(start, start + timedelta(days=7))
    observation = a_running_cluster(view=a_view(cluster), spec={"billing": billing})
    assert reason(decide(observation)) == "Provisioning"
    overdue = replace(observation, around=circumstances(now=start + timedelta(hours=2)))
    assert reason(decide(overdue)) == "OutOfStock"


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=8), "Bought"),
        (timedelta(days=7), "ReservationEndsInDays"),
        (timedelta(hours=24), "ReservationEndsInADay"),
        (timedelta(hours=1), "ReservationEndsInAnHour"),
    ],
)
def test_the_end_is_warned_about_ahead(left, expected):
    decision = decide(reserved(left))
    assert reason(decision, "Provisioned") == expected
    assert is_true(decision.status.conditions, "Provisioned")
    assert is_true(decision.status.conditions, "Ready")
    told = [event.reason for event in decision.events if event.reason.startswith("Reservation")]
    assert told == ([expected] if expected != "Bought" else [])
    again = reserved(left)
    again = replace(again, resource=again.resource.model_copy(update={"status": decision.status}))
    assert [event for event in decide(again).events if event.reason.startswith("Reservation")] == []
    assert decide(again).status == decision.status


def test_the_next_warning_wakes_the_resource():
    left = timedelta(hours=24, seconds=20)
    ends = {"reservation": {"endTime": format_time(NOW + left)}}
    assert decide(reserved(left, status=ends)).look_again_seconds <= 20


def test_the_end_stands_in_the_status_also_when_only_the_duration_is_known():
    made = NOW - timedelta(days=1)
    found = {"reservation_end": None, "created": made}
    assert decide(reserved(timedelta(), found=found)).status.reservation.end_time == made + timedelta(days=30)


def test_an_on_demand_cluster_has_no_paid_time():
    assert decide(a_running_cluster()).status.reservation is None


LATER = format_time(NOW + timedelta(days=40))


def test_a_reservation_is_extended_by_one_request_and_its_new_end_is_told_once_the_provider_says_so():
    billing = {"billing": {**RESERVED, "endTime": LATER}}
    decision = decide(reserved(timedelta(hours=20), spec=billing))
    assert only(decision, ChangeCluster).changes == ClusterChanges(reservation_end=NOW + timedelta(days=40))
    assert decision.status.reservation.end_time == NOW + timedelta(hours=20), "a wish is no paid time"
    extended = decide(reserved(timedelta(days=40), spec=billing))
    assert reason(extended, "Provisioned") == "Bought"
    assert extended.status.reservation.end_time == NOW + timedelta(days=40)
    assert not [action for action in extended.actions if isinstance(action, ChangeCluster)]


def unshown(billing, *, status=None, outcomes=(), **found):
    """A prepaid cluster of which the provider shows no end."""
    facts = {"reservation_end": None, "created": NOW - timedelta(days=1), **found}
    observation = reserved(timedelta(), found=facts, spec={"billing": billing})
    resource = observation.resource.model_copy(update={"status": status or observation.status})
    return replace(observation, resource=resource, around=replace(observation.around, outcomes=outcomes))


@pytest.mark.parametrize(
    ("billing", "found"),
    [
        (RESERVED, {}),
        (scheduled(NOW - timedelta(days=1), NOW + timedelta(days=29)), {"billing_type": "SCHEDULED_CAPACITY"}),
    ],
    ids=["Reserved", "ScheduledCapacity"],
)
def test_an_end_that_the_provider_does_not_show_is_moved_by_one_request(billing, found):
    before = decide(unshown(billing, **found)).status
    longer = {**billing, "endTime": LATER}
    asks = decide(unshown(longer, status=before, **found))
    change = only(asks, ChangeCluster)
    assert change.changes == ClusterChanges(reservation_end=NOW + timedelta(days=40))
    assert asks.status.reservation.end_time == NOW + timedelta(days=29), "a wish is no paid time"
    taken = decide(unshown(longer, status=before, outcomes=(Outcome(change),), **found))
    assert taken.actions == ()
    assert taken.status.reservation.end_time == NOW + timedelta(days=40)
    calm = decide(unshown(longer, status=taken.status, **found))
    assert (calm.actions, reason(calm), reason(calm, "Drifted")) == ((), "InOrder", "AsWanted")
    assert calm.status.reservation.end_time == NOW + timedelta(days=40)


def test_what_was_added_is_paid_for_also_where_the_provider_shows_no_end():
    made = NOW - timedelta(days=1)
    status = {"reservation": {"endTime": LATER}, "cost": {"account": {"total": {}, "held": 8}}}
    observation = reserved(timedelta(), found={"reservation_end": None, "first_ready": made}, status=status)
    billed = replace(observation.around, installation=replace(INSTALLATION, prices=PUBLISHED))
    cost = decide(replace(observation, around=billed)).status.cost
    assert cost.compute_usd == Decimal("3.69") * 8 * 24 * 41


def test_a_reservation_is_never_shortened_because_no_money_comes_back():
    sooner = {"billing": {**RESERVED, "endTime": format_time(NOW + timedelta(days=2))}}
    decision = decide(reserved(timedelta(days=20), spec=sooner))
    assert not [action for action in decision.actions if isinstance(action, ChangeCluster)]
    drifted = find_condition(decision.status.conditions, "Drifted")
    assert drifted.is_true
    assert "endTime" in drifted.message


def test_an_end_to_come_is_no_part_of_the_order_of_a_reservation():
    order = billing_order(Billing.model_validate({**RESERVED, "endTime": LATER}))
    assert (order.duration_days, order.end) == (30, None)


ENDED = {"reservation": {"endTime": format_time(NOW)}}


def test_the_provider_ends_it_at_its_end_and_nobody_deleted_it_outside():
    decision = decide(reserved(timedelta(), found={"status": "Deleting"}, status=ENDED))
    assert reason(decision) == "ReservationEnded"
    assert reason(decision, "Drifted") != "DeletedOutside"


def test_before_its_end_a_deleted_cluster_is_still_news():
    early = {"reservation": {"endTime": format_time(NOW + timedelta(days=1))}}
    found = {"status": "Deleting"}
    assert reason(decide(reserved(timedelta(days=1), found=found, status=early))) == "DeletedOutside"


def test_a_cluster_that_is_gone_at_its_end_is_told_as_ended_and_not_bought_again():
    memory = PurchaseMemory(first_seen=900.0, absent_target="c-1", absent_since=MONOTONIC)
    view = a_view(begun=1040.0, not_found={"c-1": 1040.0})
    observation = reserved(timedelta(), status=ENDED, spec={"recreatePolicy": "WhenGone"}, memory=memory)
    observation = replace(observation, provider=view, around=circumstances(1041.0))
    decision = decide(observation)
    assert (reason(decision, "Stalled"), reason(decision, "Provisioned")) == ("ReservationEnded", "ReservationEnded")
    assert [event.reason for event in decision.events] == ["ReservationEnded"]
    assert decision.status.nodes is None
    after = replace(observation, resource=observation.resource.model_copy(update={"status": decision.status}))
    again = decide(after)
    assert (again.events, again.status) == ((), decision.status)


def test_absence_is_proven_at_the_end_of_a_reservation_too():
    observation = reserved(timedelta(), status=ENDED)
    observation = replace(observation, provider=a_view(begun=1001.0), around=circumstances(1001.0))
    assert only(decide(observation), LookAtProvider).cluster_id == "c-1"


@pytest.mark.parametrize("found", [{"billing_type": "RESERVED"}, {"reserved_gpus": 8}])
def test_what_is_prepaid_by_the_providers_word_is_never_released(found):
    observation = a_running_cluster(view=a_view(a_provider_cluster(**found)))
    assert "prepaid" in not_releasable(observation)
