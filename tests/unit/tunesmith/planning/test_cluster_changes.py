"""What a bought cluster's spec may change beside its size: asked for once, told while it lasts, never in a loop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    MONOTONIC,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    only,
    reason,
)

from tunesmith.planning.circumstances import FailureRecord
from tunesmith.planning.cluster_changes import CHANGE_AGAIN_SECONDS
from tunesmith.planning.cluster_order import components_hash
from tunesmith.planning.decision import ErrorClass, Failure, Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.orders import AddOnOrder, ChangeCluster, ClusterChanges, ComponentsOrder
from tunesmith.planning.provider import AddOn, InstalledComponents
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.resources.conditions import find_condition, is_true

END = datetime(2026, 3, 1, tzinfo=UTC)
SCHEDULED = {"type": "ScheduledCapacity", "startTime": "2025-12-01T00:00:00Z", "endTime": "2026-04-01T00:00:00Z"}
RESERVED = {"type": "Reserved", "durationDays": 90}
READY = {"firstReadyTime": "2026-01-01T11:00:00Z"}


def running(
    spec, found=None, *, monotonic=MONOTONIC, written=None, failures=None, outcomes=(), status=None, begun=None
):
    """A cluster of three nodes that is in order but for what is given."""
    cluster = a_provider_cluster(gpus=24, **(found or {}))
    memory = PurchaseMemory(first_seen=MONOTONIC - 60, last_write=written)
    observation = a_running_cluster(
        status=bought_status(**READY, **(status or {})),
        view=a_view(cluster, begun=monotonic if begun is None else begun),
        ready_nodes=3,
        spec={"nodes": 3, **spec},
        memory=memory,
    )
    around = replace(circumstances(monotonic, failures=failures), outcomes=outcomes)
    return replace(observation, around=around)


@pytest.mark.parametrize(
    ("spec", "found", "expected"),
    [
        (
            {"billing": SCHEDULED},
            {"billing_type": "SCHEDULED_CAPACITY", "reservation_end": END},
            ClusterChanges(reservation_end=datetime(2026, 4, 1, tzinfo=UTC)),
        ),
        (
            {"billing": {**RESERVED, "reservedNodes": 2}},
            {"billing_type": "RESERVED", "reserved_gpus": 8},
            ClusterChanges(reserved_gpus=16),
        ),
        (
            {"billing": {"preemptibleNodes": 2}, "projectID": "p-1"},
            {"desired_preemptible_gpus": 8},
            ClusterChanges(preemptible_gpus=16),
        ),
        ({}, {"desired_preemptible_gpus": 8}, ClusterChanges(preemptible_gpus=0)),
        (
            {"billing": {"capacityPool": {"id": "pool", "nodes": 2}}},
            {"capacity_pool_id": "pool", "capacity_pool_gpus": 8},
            ClusterChanges(capacity_pool_gpus=16),
        ),
        (
            {"components": {"dashboard": "Enabled", "loadBalancer": "Nginx"}},
            {"components": InstalledComponents(load_balancer="NGINX", dashboard=False)},
            ClusterChanges(components=ComponentsOrder(load_balancer="NGINX", dashboard=True)),
        ),
        (
            {"addOns": [{"name": "headlamp"}, {"name": "slurm_web", "enabled": False}]},
            {"add_ons": (AddOn("headlamp", "headlamp", enabled=False),)},
            ClusterChanges(add_ons=(AddOnOrder("headlamp"),)),
        ),
    ],
)
def test_what_differs_is_asked_for_in_one_request_and_told_without_stopping_the_cluster(spec, found, expected):
    decision = decide(running(spec, found))
    assert only(decision, ChangeCluster) == ChangeCluster("c-1", expected)
    assert (reason(decision), is_true(decision.status.conditions, "Reconciling")) == ("Changing", True)


def test_a_load_balancer_that_the_spec_does_not_name_stays():
    found = {"components": InstalledComponents(load_balancer="TRAEFIK", dashboard=False)}
    changes = only(decide(running({"components": {"dashboard": "Enabled"}}, found)), ChangeCluster).changes
    assert changes.components == ComponentsOrder(load_balancer="TRAEFIK", dashboard=True)


def test_all_that_differs_is_one_request():
    spec = {"billing": {"capacityPool": {"id": "pool", "nodes": 2}}, "addOns": [{"name": "headlamp"}]}
    changes = only(decide(running(spec, {"capacity_pool_id": "pool"})), ChangeCluster).changes
    assert changes == ClusterChanges(capacity_pool_gpus=16, add_ons=(AddOnOrder("headlamp"),))


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"billing": RESERVED}, {"billing_type": "RESERVED", "reserved_gpus": 24}),
        ({"billing": SCHEDULED}, {"billing_type": "SCHEDULED_CAPACITY"}),
        ({"addOns": [{"name": "headlamp", "enabled": False}]}, {}),
        (
            {"components": {"gpuOperatorVersion": "25.3.0"}},
            {"components": InstalledComponents(gpu_operator_version="v25.3.0")},
        ),
    ],
)
def test_what_is_as_wanted_or_left_to_the_provider_is_not_asked_for(spec, found):
    assert not [each for each in decide(running(spec, found)).actions if isinstance(each, ChangeCluster)]


def test_one_node_stays_standard_while_the_size_has_not_followed_yet():
    spec = {"billing": {"preemptibleNodes": 3}, "projectID": "p-1", "nodes": 4}
    changes = only(decide(running(spec, {"desired_preemptible_gpus": 8})), ChangeCluster).changes
    assert (changes.preemptible_gpus, changes.gpus) == (16, None)


DISABLED = {"addOns": [{"name": "headlamp"}]}


def test_a_change_is_asked_again_only_when_a_later_list_still_shows_the_difference_after_a_while():
    looked = decide(running(DISABLED, monotonic=1010.0, written=1005.0, begun=1000.0))
    assert only(looked, object).not_before == 1005.0
    waits = decide(running(DISABLED, monotonic=1010.0, written=1005.0))
    assert (waits.actions, reason(waits)) == ((), "Changing")
    late = 1006.0 + CHANGE_AGAIN_SECONDS
    only(decide(running(DISABLED, monotonic=late, written=1005.0)), ChangeCluster)


def refused(error, monotonic=1001.0, spec=DISABLED):
    change = ChangeCluster("c-1", ClusterChanges(add_ons=(AddOnOrder("headlamp"),)))
    record = FailureRecord(1, MONOTONIC, Failure(error, "The provider said no."))
    return running(spec, monotonic=monotonic, failures={change.identity: record})


def test_a_refusal_is_told_once_and_asked_again_only_for_another_spec():
    decision = decide(refused(ErrorClass.BAD_REQUEST))
    assert (reason(decision, "Stalled"), decision.actions) == ("ChangeRefused", ())
    message = find_condition(decision.status.conditions, "Stalled").message
    assert "`addOns`" in message
    assert "The provider said no." in message
    assert [event.reason for event in decision.events] == ["ChangeRefused"]
    later = refused(ErrorClass.BAD_REQUEST, monotonic=1020.0)
    later = replace(later, resource=later.resource.model_copy(update={"status": decision.status}))
    again = decide(later)
    assert (again.status, again.events) == (decision.status, ())
    assert not any(isinstance(each, ChangeCluster) for each in again.actions)
    other = refused(ErrorClass.BAD_REQUEST, spec={"addOns": [{"name": "slurm_web"}]})
    only(decide(other), ChangeCluster)


@pytest.mark.parametrize("error", [ErrorClass.CONFLICT, ErrorClass.OUT_OF_STOCK, ErrorClass.NO_CREDIT])
def test_a_refusal_that_may_pass_is_told_and_asked_again_after_a_pause(error):
    early = decide(refused(error, monotonic=1000.2))
    assert (reason(early), early.actions) == ("ChangeRefused", ())
    assert 0 < early.look_again_seconds < 1
    only(decide(refused(error, monotonic=1002.0)), ChangeCluster)


UNTOLD = {"components": {"gpuOperatorVersion": "25.3.0"}}
ORDER = ComponentsOrder(gpu_operator_version="25.3.0")


def test_what_the_provider_does_not_report_is_asked_for_once():
    first = decide(running(UNTOLD))
    change = only(first, ChangeCluster)
    assert change.changes == ClusterChanges(components=ORDER)
    assert first.status.components_hash is None  # not before the provider has taken it
    taken = running(UNTOLD, outcomes=(Outcome(change),), written=1001.0, monotonic=1001.0)
    decision = decide(taken)
    assert (decision.actions, decision.status.components_hash) == ((), components_hash(taken.spec))
    asked = {"componentsHash": decision.status.components_hash}
    assert reason(decide(running(UNTOLD, status=asked))) == "InOrder"
    other = {"components": {"gpuOperatorVersion": "25.6.0"}}
    only(decide(running(other, status=asked)), ChangeCluster)


def test_a_crash_before_the_answer_asks_again_for_the_same():
    assert only(decide(running(UNTOLD, status={})), ChangeCluster) == only(decide(running(UNTOLD)), ChangeCluster)


def test_nothing_is_changed_about_a_cluster_that_goes():
    decision = decide(running(DISABLED, {"status": "Deleting"}))
    assert not any(isinstance(each, ChangeCluster) for each in decision.actions)


def test_an_end_that_the_provider_rounds_is_the_same_end():
    end = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(milliseconds=400)
    found = {"billing_type": "SCHEDULED_CAPACITY", "reservation_end": end}
    assert reason(decide(running({"billing": SCHEDULED}, found))) == "InOrder"
