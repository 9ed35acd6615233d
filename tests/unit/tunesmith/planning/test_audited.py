"""The price by the hour that the audit log tells of a write: of what is paid by the hour, and of nothing else."""

from decimal import Decimal

import pytest
from tests.unit.tunesmith.planning.cluster_builders import a_provider_cluster, a_view
from tests.unit.tunesmith.planning.volume_builders import at_provider

from tunesmith.planning.audited import usd_per_hour
from tunesmith.planning.orders import (
    BillingOrder,
    BuyCluster,
    BuyVolume,
    ChangeCluster,
    ClusterChanges,
    ClusterOrder,
    DeleteCluster,
    DeleteVolume,
    RepairNode,
    ResizeVolume,
    VolumeOrder,
)
from tunesmith.planning.price_table import PUBLISHED, Prices

NODE, PREEMPTIBLE, TIB = 8 * Decimal("3.99"), 8 * Decimal("1.99"), Decimal("163.84") / 730
RESERVED, SCHEDULED = {"billing_type": "RESERVED"}, {"billing_type": "SCHEDULED_CAPACITY"}


def told(action, *clusters, volumes=(), prices=PUBLISHED):
    return usd_per_hour(action, a_view(*clusters, volumes=volumes), prices)


def bought(gpus=24, gpu_type="H100_SXM", **billing):
    return BuyCluster(ClusterOrder("c", "r", gpu_type, gpus, billing=BillingOrder(**billing)), "n1", 0.0)


def changed(**changes):
    return ChangeCluster("c-1", ClusterChanges(**changes))


@pytest.mark.parametrize(
    ("billing", "nodes", "preemptible"),
    [
        ({}, 3, 0),
        ({"preemptible_gpus": 16}, 3, 2),
        ({"capacity_pool_id": "p", "capacity_pool_gpus": 8}, 2, 0),
        ({"type": "RESERVED", "duration_days": 8}, 0, 0),
        ({"type": "RESERVED", "duration_days": 8, "reserved_gpus": 8, "preemptible_gpus": 8}, 2, 1),
        ({"type": "SCHEDULED_CAPACITY"}, 0, 0),
        ({"type": "SCHEDULED_CAPACITY", "reserved_gpus": 16}, 1, 0),
    ],
)
def test_an_order_costs_what_of_it_is_paid_by_the_hour(billing, nodes, preemptible):
    assert told(bought(**billing)) == nodes * NODE + preemptible * PREEMPTIBLE


@pytest.mark.parametrize(
    ("found", "nodes", "preemptible"),
    [
        ({}, 3, 0),
        ({"allocated_preemptible_gpus": 8}, 2, 1),
        ({"capacity_pool_gpus": 16}, 1, 0),
        ({**RESERVED, "reserved_gpus": 16}, 1, 0),
        ({**RESERVED, "reserved_gpus": 8, "capacity_pool_gpus": 8, "allocated_preemptible_gpus": 8}, 0, 1),
        (SCHEDULED, 0, 0),
        ({**SCHEDULED, "allocated_preemptible_gpus": 8}, 0, 1),
    ],
)
def test_a_cluster_that_is_deleted_cost_what_of_it_was_paid_by_the_hour(found, nodes, preemptible):
    cluster = a_provider_cluster(gpus=24, **found)
    assert told(DeleteCluster("c-1"), cluster) == nodes * NODE + preemptible * PREEMPTIBLE


@pytest.mark.parametrize(
    ("found", "changes", "nodes", "preemptible"),
    [
        ({}, {"gpus": 32}, 4, 0),
        ({"allocated_preemptible_gpus": 8}, {"gpus": 32}, 4, 1),
        ({"allocated_preemptible_gpus": 8}, {"preemptible_gpus": 16}, 2, 2),
        ({"capacity_pool_gpus": 8}, {"capacity_pool_gpus": 16}, 1, 0),
        ({**RESERVED, "reserved_gpus": 8}, {"reserved_gpus": 16}, 1, 0),
        ({**RESERVED, "reserved_gpus": 8}, {"gpus": 40}, 4, 0),
        (SCHEDULED, {"gpus": 32}, 1, 0),
    ],
)
def test_a_cluster_that_is_changed_costs_what_of_it_will_be_paid_by_the_hour(found, changes, nodes, preemptible):
    cluster = a_provider_cluster(gpus=24, **found)
    assert told(changed(**changes), cluster) == nodes * NODE + preemptible * PREEMPTIBLE


@pytest.mark.parametrize(
    ("action", "tib"),
    [
        (BuyVolume(VolumeOrder("v", "r", 5), "n1", 0.0), 5),
        (ResizeVolume("v-1", 7), 7),
        (DeleteVolume("v-1"), 2),
    ],
)
def test_a_volume_costs_its_size(action, tib):
    assert told(action, volumes=(at_provider(size=2),)) == round(tib * TIB, 2)


@pytest.mark.parametrize(
    "action",
    [bought(), bought(gpus=8, type="RESERVED", preemptible_gpus=8), BuyVolume(VolumeOrder("v", "r", 5), "n1", 0.0)],
)
def test_what_has_no_price_is_not_told_to_cost_nothing(action):
    assert told(action, prices=Prices()) is None


@pytest.mark.parametrize(
    "action", [DeleteCluster("c-2"), changed(gpus=8), DeleteVolume("v-2"), RepairNode("c-1", "i-1", "REBOOT_VM", "")]
)
def test_of_what_is_not_shown_or_changes_no_price_nothing_is_told(action):
    assert told(action) is None
