"""Every field that a purchase has, from the spec to the order; and what is refused before anything is ordered."""

from datetime import UTC, datetime

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INTENT,
    OWN_MEMORY,
    a_cluster_resource,
    a_view,
    only,
    reason,
    seen,
)

from tunesmith.planning.cluster_order import components_hash
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.orders import (
    AcceptanceOrder,
    AddOnOrder,
    BillingOrder,
    BuyCluster,
    ComponentsOrder,
    OIDCOrder,
    SlurmOrder,
)
from tunesmith.planning.purchase import HoldIntent
from tunesmith.resources.conditions import find_condition

START, END = "2026-02-01T08:00:00Z", "2026-03-01T08:00:00Z"
SCHEDULED = {"type": "ScheduledCapacity", "startTime": START, "endTime": END}
OIDC = {"issuerURL": "https://id.example.com", "clientID": "gpus"}


def ordered(**spec):
    """The order that a spec leads to."""
    resource = a_cluster_resource(status={"createIntent": INTENT}, **spec)
    return only(decide(seen(resource, a_view(begun=1001.0), memory=OWN_MEMORY, monotonic=1001.0)), BuyCluster).order


@pytest.mark.parametrize(
    ("billing", "more", "expected"),
    [
        ({}, {}, BillingOrder()),
        ({"type": "Reserved", "durationDays": 30}, {}, BillingOrder("RESERVED", duration_days=30)),
        (
            {"type": "Reserved", "durationDays": 30, "reservedNodes": 1},
            {"nodes": 2},
            BillingOrder("RESERVED", duration_days=30, reserved_gpus=8),
        ),
        (
            SCHEDULED,
            {},
            BillingOrder(
                "SCHEDULED_CAPACITY", start=datetime(2026, 2, 1, 8, tzinfo=UTC), end=datetime(2026, 3, 1, 8, tzinfo=UTC)
            ),
        ),
        ({"preemptibleNodes": 2}, {"nodes": 3, "projectID": "p-1"}, BillingOrder(preemptible_gpus=16)),
        (
            {"capacityPool": {"id": "pool-1", "nodes": 2}},
            {"nodes": 2},
            BillingOrder(capacity_pool_id="pool-1", capacity_pool_gpus=16),
        ),
    ],
)
def test_every_way_of_paying_is_ordered_as_it_is_written(billing, more, expected):
    assert ordered(billing=billing, **more).billing == expected


@pytest.mark.parametrize(
    ("spec", "field", "expected"),
    [
        ({"maxNodes": 4}, "max_gpus", 32),
        (
            {"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64, "image": "slurm:25"}},
            "slurm",
            SlurmOrder(64, "slurm:25"),
        ),
        (
            {"components": {"loadBalancer": "Traefik", "ingress": "Disabled", "gpuOperatorVersion": "v25.3.0"}},
            "components",
            ComponentsOrder("TRAEFIK", ingress=False, gpu_operator_version="v25.3.0"),
        ),
        (
            {"addOns": [{"name": "headlamp"}, {"name": "slurm_web", "enabled": False}]},
            "add_ons",
            (AddOnOrder("headlamp"), AddOnOrder("slurm_web", enabled=False)),
        ),
        (
            {"oidc": OIDC},
            "oidc",
            OIDCOrder("https://id.example.com", "gpus", "sub", "oidc:", "groups", "oidc:"),
        ),
        (
            {"oidc": {**OIDC, "usernamePrefix": "u-", "groupsPrefix": "g-", "groupsClaim": "roles"}},
            "oidc",
            OIDCOrder("https://id.example.com", "gpus", "sub", "u-", "roles", "g-"),
        ),
        (
            {"acceptanceTests": {"dcgmLevel": "Extended", "gpuBurnSeconds": 60, "skip": ["Storage", "GPUBurn"]}},
            "acceptance_tests",
            AcceptanceOrder("EXTENDED", 60, frozenset({"Storage", "GPUBurn"})),
        ),
        ({"driver": {"versionID": "nvidia-570-22"}}, "driver_version_id", "nvidia-570-22"),
        ({"driver": {"cudaVersion": "12.8", "driverVersion": "570"}}, "driver_version_id", "nvidia-570-22"),
    ],
)
def test_every_other_purchase_field_reaches_the_order(spec, field, expected):
    assert getattr(ordered(**spec), field) == expected


def test_what_the_spec_leaves_out_is_left_to_the_provider():
    order = ordered()
    assert (order.slurm, order.max_gpus, order.components, order.oidc, order.acceptance_tests) == (None,) * 5
    assert order.add_ons == ()


def test_time_that_has_begun_is_not_bought():
    billing = {**SCHEDULED, "startTime": "2026-01-01T11:59:59Z"}
    decision = decide(seen(a_cluster_resource(billing=billing)))
    assert (reason(decision, "Stalled"), decision.actions) == ("StartInThePast", ())
    assert "2026-01-01T11:59:59Z" in find_condition(decision.status.conditions, "Ready").message
    only(decide(seen(a_cluster_resource(billing=SCHEDULED))), HoldIntent)


def test_an_intent_whose_time_has_come_before_the_order_is_given_up():
    billing = {**SCHEDULED, "startTime": "2026-01-01T12:00:01Z"}
    resource = a_cluster_resource(billing=billing, status={"createIntent": INTENT})
    decision = decide(seen(resource, a_view(begun=1002.0), memory=OWN_MEMORY, monotonic=1002.0))
    assert (decision.status.create_intent, decision.actions) == (None, ())
    assert reason(decision, "Stalled") == "StartInThePast"


def test_the_intent_says_which_components_will_be_asked_for():
    resource = a_cluster_resource(components={"loadBalancer": "Nginx"})
    decision = decide(seen(resource))
    assert decision.status.components_hash == components_hash(resource.spec) is not None
