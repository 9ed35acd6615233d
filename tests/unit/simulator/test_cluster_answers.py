"""What the present dialect tells of a cluster beside its status: every field that the official client knows."""

from datetime import timedelta

import pytest
import together
from together.types import Cluster as OfficialCluster
from together.types.cluster import GPUWorkerNode

HOUR = 3600

NEVER_SAID = {"reservation_start_time", "reservation_end_time", "duration_hours", "slurm_shm_size_gib"}
"""What an on-demand Kubernetes cluster has nothing to say about."""


async def test_every_field_of_a_cluster_and_of_its_nodes_is_answered(client, clock, an_order):
    made = await client.clusters.create(
        **an_order,
        project_id="proj-acme",
        capacity_pool_id="pool-acme",
        num_capacity_pool_gpus=8,
        cluster_config={"load_balancer": "NONE"},
        oidc_config={
            "client_id": "id",
            "group_claim": "groups",
            "group_prefix": "oidc:",
            "issuer_url": "https://issuer.example",
            "username_claim": "email",
            "username_prefix": "oidc:",
        },
    )
    clock.pass_seconds(HOUR)
    await client.clusters.remediations.create(
        made.gpu_worker_nodes[0].instance_id, cluster_id=made.cluster_id, mode="REMEDIATION_MODE_VM_ONLY"
    )
    clock.pass_seconds(HOUR)
    cluster = await client.clusters.retrieve(made.cluster_id)

    assert set(OfficialCluster.model_fields) - cluster.model_fields_set == NEVER_SAID
    (deleted,) = cluster.deleted_gpu_worker_nodes
    assert set(GPUWorkerNode.model_fields) - deleted.model_fields_set == {"public_ipv4", "slurm_worker_hostname"}
    living = {field for node in cluster.gpu_worker_nodes for field in node.model_fields_set}
    assert set(GPUWorkerNode.model_fields) - living == {
        "public_ipv4",
        "slurm_worker_hostname",
        "deleted_at",
        "latest_remediation",
    }


async def test_lifecycle_events_are_told_for_three_days(client, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    clock.pass_seconds(HOUR)
    await client.clusters.update(cluster.cluster_id, num_gpus=24)
    clock.pass_seconds(71 * HOUR)
    told = (await client.clusters.retrieve(cluster.cluster_id)).node_lifecycle_events
    assert [event.reason for event in told] == ["TogetherScaledUp"]
    clock.pass_seconds(2 * HOUR)
    assert (await client.clusters.retrieve(cluster.cluster_id)).node_lifecycle_events == []


async def test_a_node_that_leaves_is_marked_until_it_is_among_the_deleted(client, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    clock.pass_seconds(HOUR)
    leaving = await client.clusters.update(cluster.cluster_id, num_gpus=8)
    assert [node.marked_for_deletion for node in leaving.gpu_worker_nodes] == [False, True]
    clock.pass_seconds(HOUR)
    left = await client.clusters.retrieve(cluster.cluster_id)
    assert left.deleted_gpu_worker_nodes[0].instance_id == leaving.gpu_worker_nodes[1].instance_id
    assert left.deleted_gpu_worker_nodes[0].deleted_at > left.first_ready_at


async def test_the_end_of_a_reservation_can_be_moved_but_not_into_the_past(client, clock, an_order):
    order = {**an_order, "billing_type": "RESERVED", "duration_days": 2}
    cluster = await client.clusters.create(**order)
    clock.pass_seconds(HOUR)
    later = clock.now + timedelta(days=9)
    moved = await client.clusters.update(cluster.cluster_id, reservation_end_time=later)
    assert moved.reservation_end_time == later
    with pytest.raises(together.BadRequestError, match="later than now"):
        await client.clusters.update(cluster.cluster_id, reservation_end_time=clock.now - timedelta(days=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cluster_type": "SLURM"}, "cannot be changed"),
        ({"num_gpus": 12}, "multiple of 8"),
        ({"num_gpus": 0}, "at least 8"),
        ({"num_reserved_gpus": 8}, "only applicable to billing type RESERVED"),
        ({"num_capacity_pool_gpus": 8}, "created with a capacity_pool_id"),
        ({"num_preemptible_gpus": 4}, "multiple of 8"),
        ({"num_preemptible_gpus": -8}, "multiple of 8"),
        ({"reservation_end_time": "2027-01-01T00:00:00Z"}, "only accepted for prepaid"),
        ({"extra_body": {"cluster_name": "other"}}, "cluster_name: Extra inputs are not permitted"),
        ({"extra_body": {"auto_scale": True}}, "auto_scale: Extra inputs are not permitted"),
    ],
)
async def test_what_cannot_be_changed_is_refused_in_words_and_changes_nothing(client, clock, an_order, change, message):
    cluster = await client.clusters.create(**an_order)
    clock.pass_seconds(HOUR)
    before = await client.clusters.retrieve(cluster.cluster_id)
    with pytest.raises(together.BadRequestError) as refused:
        await client.clusters.update(cluster.cluster_id, **change)
    assert message in refused.value.body["message"]
    assert await client.clusters.retrieve(cluster.cluster_id) == before
