"""The admin client breaks nodes, proposes repairs and moves what is free, as the routes do."""

import asyncio

import pytest

from tunesmith_simulator.admin_client import AdminClient, AdminError
from tunesmith_simulator.alerts import AlertName, Signal
from tunesmith_simulator.happenings.to_nodes import FailNode, Preempt
from tunesmith_simulator.remediations import RemediationMode
from tunesmith_simulator.repair_policy import RepairPolicy

HOUR = 3600


@pytest.fixture
def admin(simulator):
    """Call a method of the admin client, off the event loop."""
    client = AdminClient(simulator.url)

    async def call(method: str, *arguments, **named):
        return await asyncio.to_thread(getattr(client, method), *arguments, **named)

    return call


@pytest.fixture
async def cluster(client, clock, an_order):
    made = await client.clusters.create(
        **an_order, project_id="proj-acme", num_preemptible_gpus=8, auto_scale=True, auto_scale_max_gpus=32
    )
    clock.pass_seconds(HOUR)
    await client.clusters.list()
    clock.pass_seconds(HOUR)
    return await client.clusters.retrieve(made.cluster_id)


async def test_a_node_is_broken_and_recovers_and_a_repair_is_proposed_and_spoilt(admin, client, clock, cluster):
    host = cluster.gpu_worker_nodes[0].host_name
    await admin("set_repair_policy", RepairPolicy(proposes=True, needs_approval=False))
    await admin("fail_node", cluster.cluster_id, host, Signal(AlertName.XID_ERROR, xid_code="48"))
    told = await admin("repairs")
    assert [(each["mode"], each["state"]) for each in told["remediations"]] == [
        ("REMEDIATION_MODE_REBOOT_VM", "PENDING")
    ]
    assert [alert["alert_name"] for alert in told["alerts"]] == ["DmesgXidError"]
    await admin("fail_remediation", told["remediations"][0]["id"], "no hands")
    assert (await admin("repairs"))["remediations"][0]["error_message"] == "no hands"

    await admin("recover_node", cluster.cluster_id, host)
    clock.pass_seconds(HOUR)
    assert (await client.clusters.retrieve(cluster.cluster_id)).status == "Ready"
    await admin("propose_remediation", cluster.cluster_id, host, RemediationMode.HOST_AWARE)
    assert (await admin("repairs"))["remediations"][-1]["state"] == "PENDING"
    with pytest.raises(AdminError, match="only a failed node can recover"):
        await admin("recover_node", cluster.cluster_id, host)


async def test_what_happens_to_a_node_is_seen_by_the_health_checks(admin, cluster):
    await admin("set_repair_policy", RepairPolicy(proposes=True))
    await admin("happen", FailNode(cluster="training", node=0))
    told = await admin("repairs")
    assert [each["state"] for each in told["remediations"]] == ["PENDING_APPROVAL"]
    assert [alert["alert_name"] for alert in told["alerts"]] == ["DmesgGpuFallenOffBus"]


async def test_the_autoscaler_and_what_is_free_can_be_moved(admin, client, clock, cluster):
    await admin("autoscale", cluster.cluster_id, 24)
    await admin("set_capacity_pool", "pool-acme", 8)
    await admin("set_preemptible_stock", "us-central-8", "H100_SXM", 16)
    assert (await client.clusters.retrieve(cluster.cluster_id)).num_gpus == 24
    more = await client.clusters.update(cluster.cluster_id, num_preemptible_gpus=32)
    assert (more.desired_preemptible_gpus, more.allocated_preemptible_gpus) == (32, 24)


async def test_a_reclaimed_node_is_not_free_again_and_the_wish_for_it_stays(admin, client, clock, cluster):
    assert cluster.allocated_preemptible_gpus == 8
    await admin("happen", Preempt(cluster="training", node="gpu-preemptible-dp-*"))
    noticed = await client.clusters.retrieve(cluster.cluster_id)
    assert noticed.node_lifecycle_events[-1].reason == "TogetherPreemptionNotified"
    clock.pass_seconds(HOUR)
    gone = await client.clusters.retrieve(cluster.cluster_id)
    assert gone.node_lifecycle_events[-1].reason == "TogetherPreempted"
    assert (gone.desired_preemptible_gpus, gone.allocated_preemptible_gpus, gone.num_gpus) == (8, 0, 16)
    await admin("set_preemptible_stock", "us-central-8", "H100_SXM", 8)
    assert (await client.clusters.retrieve(cluster.cluster_id)).allocated_preemptible_gpus == 8
