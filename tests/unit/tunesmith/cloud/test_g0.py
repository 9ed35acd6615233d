"""The API of September 2025 behind the same interface: its paths, bodies and answers, and what it cannot say."""

import base64
import json
from datetime import UTC, datetime

import httpx
import pytest
from tests.unit.tunesmith.cloud.clouds import FAR, a_transport, answering, failure_of

from tunesmith.cloud.g0_bodies import GPU_TYPES
from tunesmith.cloud.generations import ApiGeneration, cloud_of
from tunesmith.planning.decision import ErrorClass
from tunesmith.planning.orders import (
    AcceptanceOrder,
    AddOnOrder,
    BillingOrder,
    ClusterChanges,
    ClusterOrder,
    ComponentsOrder,
    OIDCOrder,
    SlurmOrder,
    VolumeOrder,
)
from tunesmith.planning.provider import Driver, Phase, ProviderVolume

HOST = "https://manager.test/api/v1"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLUSTER = {
    "cluster_id": "c-1",
    "cluster_name": "ts-a",
    "cluster_type": "KUBERNETES",
    "driver_version": "CUDA_12_8_570",
    "gpu_type": "H100_SXM",
    "num_gpus": 8,
    "region": "us-central-8",
    "status": "READY",
    "kube_config": base64.b64encode(b"apiVersion: v1").decode(),
    "gpu_worker_nodes": [{"node_id": "n-1", "node_name": "gpu-dp-1", "host_name": "gpu-dp-1", "status": "Running"}],
    "volumes": [{"volume_id": "v-1", "volume_name": "data", "size_tib": 1, "status": "bound"}],
}


def an_order(**parts):
    """What G0 can buy."""
    usual = {"name": "ts-a", "region": "us-central-8", "gpu_type": "H100_SXM", "gpus": 8}
    return ClusterOrder(**usual | {"cuda_version": "12.8", "driver_version": "570"} | parts)


def a_cloud(answer):
    return cloud_of(ApiGeneration.G0, a_transport(answer, base_url=HOST, project_id=None))


def telling(*answers):
    """Gives these answers one after the other, and keeps what was asked."""
    asked, left = [], list(answers)

    def answer(request):
        asked.append((request.method, request.url.path, json.loads(request.content or "null")))
        status, body = left.pop(0)
        return httpx.Response(status, json=body)

    return answer, asked


async def test_a_cluster_is_bought_and_read_back_by_its_id():
    answer, asked = telling((200, {"cluster_id": "c-1", "status": "QUEUED"}), (200, CLUSTER))
    made = await a_cloud(answer).create_cluster(an_order(volume_id="v-1"), deadline=FAR)
    assert asked == [
        (
            "POST",
            "/api/v1/gpu_cluster",
            {
                "cluster_name": "ts-a",
                "cluster_type": "KUBERNETES",
                "region": "us-central-8",
                "gpu_type": "H100_SXM",
                "num_gpus": 8,
                "driver_version": "CUDA_12_8_570",
                "volume_id": "v-1",
                "billing_type": "ON_DEMAND",
                "duration_days": 0,
            },
        ),
        ("GET", "/api/v1/gpu_cluster/c-1", None),
    ]
    assert (made.id, made.phase, made.cuda_version, made.driver_version) == ("c-1", Phase.READY, "12.8", "570")
    assert (made.volumes[0].id, made.nodes[0].host_name) == ("v-1", "gpu-dp-1")


@pytest.mark.parametrize("second", [(404, {}), (503, {}), (200, {"odd": 1})])
async def test_what_was_bought_is_known_by_its_id_whatever_the_second_answer_says(second):
    answer, _ = telling((200, {"cluster_id": "c-1", "status": "WAITING_CONTROL_PLANE"}), second)
    made = await a_cloud(answer).create_cluster(an_order(), deadline=FAR)
    assert (made.id, made.name, made.status, made.gpus) == ("c-1", "ts-a", "WaitingForControlPlaneNodes", 8)


async def test_an_answer_without_an_id_is_ambiguous():
    failure = await failure_of(a_cloud(answering(200, {"status": "QUEUED"})).create_cluster(an_order(), deadline=FAR))
    assert failure.error is ErrorClass.AMBIGUOUS


async def test_a_reservation_says_its_days():
    answer, asked = telling((200, {"cluster_id": "c-1"}), (404, {}))
    await a_cloud(answer).create_cluster(an_order(billing=BillingOrder("RESERVED", 30)), deadline=FAR)
    assert (asked[0][2]["billing_type"], asked[0][2]["duration_days"]) == ("RESERVED", 30)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"project_id": "p-1"}, "spec.projectID"),
        ({"gpu_type": "B200_SXM"}, "spec.gpuType"),
        ({"driver_version_id": "nvidia-595-22"}, "spec.driver.versionID"),
        ({"cuda_version": "12"}, "spec.driver"),
        ({"slurm": SlurmOrder(64)}, "spec.slurm"),
        ({"max_gpus": 16}, "spec.maxNodes"),
        ({"components": ComponentsOrder("TRAEFIK")}, "spec.components"),
        ({"add_ons": (AddOnOrder("headlamp"),)}, "spec.addOns"),
        ({"oidc": OIDCOrder("https://id", "c", "sub", "", "groups", "")}, "spec.oidc"),
        ({"acceptance_tests": AcceptanceOrder()}, "spec.acceptanceTests"),
        ({"new_volume": VolumeOrder("ts-v", "r", 1)}, "bindingMode: WaitForFirstCluster"),
        ({"billing": BillingOrder("SCHEDULED_CAPACITY", None, NOON, NOON)}, "spec.billing.type"),
        ({"billing": BillingOrder("RESERVED", 3, reserved_gpus=8)}, "spec.billing.reservedNodes"),
        ({"billing": BillingOrder(preemptible_gpus=8)}, "spec.billing.preemptibleNodes"),
        ({"billing": BillingOrder(capacity_pool_id="p", capacity_pool_gpus=8)}, "spec.billing.capacityPool"),
    ],
)
async def test_what_it_cannot_express_is_refused_by_name_and_nothing_is_sent(parts, field):
    answer, asked = telling()
    failure = await failure_of(a_cloud(answer).create_cluster(an_order(**parts), deadline=FAR))
    assert (failure.error, asked) == (ErrorClass.BAD_REQUEST, [])
    assert f"`{field}`" in failure.message
    assert "G2" in failure.message


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (ClusterChanges(reserved_gpus=8), "spec.billing.reservedNodes"),
        (ClusterChanges(preemptible_gpus=0), "spec.billing.preemptibleNodes"),
        (ClusterChanges(capacity_pool_gpus=8), "spec.billing.capacityPool.nodes"),
        (ClusterChanges(reservation_end=NOON), "spec.billing.endTime"),
        (ClusterChanges(components=ComponentsOrder()), "spec.components"),
        (ClusterChanges(add_ons=(AddOnOrder("headlamp"),)), "spec.addOns"),
    ],
)
async def test_a_change_that_it_cannot_express_is_refused_by_name(changes, field):
    answer, asked = telling()
    failure = await failure_of(a_cloud(answer).change_cluster("c-1", changes))
    assert (failure.error, asked) == (ErrorClass.BAD_REQUEST, [])
    assert f"`{field}`" in failure.message


async def test_a_cluster_is_resized_by_the_id_in_the_body_and_keeps_its_type():
    answer, asked = telling((200, CLUSTER), (200, {"cluster_id": "c-1", "status": "READY"}))
    await a_cloud(answer).change_cluster("c-1", ClusterChanges(gpus=16))
    body = {"cluster_id": "c-1", "cluster_type": "KUBERNETES", "num_gpus": 16}
    assert asked[1] == ("PUT", "/api/v1/gpu_cluster", body)


async def test_lists_are_plural_and_a_body_without_a_list_is_not_an_empty_one():
    answer, asked = telling((200, {"clusters": [CLUSTER]}), (200, {"clusters": []}), (200, {}), (200, {"clusters": {}}))
    cloud = a_cloud(answer)
    assert [cluster.id for cluster in await cloud.list_clusters()] == ["c-1"]
    assert await cloud.list_clusters() == ()
    assert (await failure_of(cloud.list_clusters())).error is ErrorClass.UNAVAILABLE
    assert (await failure_of(cloud.list_clusters())).error is ErrorClass.UNAVAILABLE
    assert {path for _, path, _ in asked} == {"/api/v1/gpu_clusters"}


async def test_volumes_have_no_status_and_can_be_used():
    body = {"volume_id": "v-1", "volume_name": "data", "size_tib": 2}
    answer, asked = telling((200, {"volume_id": "v-1"}), (200, {"volumes": [body]}), (200, body), (200, {}), (200, {}))
    cloud = a_cloud(answer)
    made = await cloud.create_volume(VolumeOrder("data", "r", 2), deadline=FAR)
    (listed,) = await cloud.list_volumes()
    assert (made.id, listed) == ("v-1", ProviderVolume("v-1", "data", 2, "available"))
    assert listed.is_usable
    assert await cloud.get_volume("v-1") == listed
    await cloud.resize_volume("v-1", 3)
    await cloud.delete_volume("v-1")
    assert [(method, path) for method, path, _ in asked] == [
        ("POST", "/api/v1/shared_volume"),
        ("GET", "/api/v1/shared_volumes"),
        ("GET", "/api/v1/shared_volume/v-1"),
        ("PUT", "/api/v1/shared_volume"),
        ("DELETE", "/api/v1/shared_volume/v-1"),
    ]
    assert asked[3][2] == {"volume_id": "v-1", "size_tib": 3}


async def test_regions_name_their_drivers_in_words_that_are_taken_apart():
    body = {"regions": [{"id": "r", "name": "r", "driver_versions": ["CUDA_12_6_560", "UNKNOWN_DRIVER", 7]}]}
    (region,) = await a_cloud(answering(200, body)).list_regions()
    assert region.drivers == (Driver("CUDA_12_6_560", "12.6", "560"),)
    assert region.gpu_types == GPU_TYPES


@pytest.mark.parametrize("form", ["apiVersion: v1\nkind: Config\n", ""])
async def test_a_kubeconfig_may_come_as_plain_text(form):
    found = await a_cloud(answering(200, CLUSTER | {"kube_config": form})).get_cluster("c-1")
    assert found.kubeconfig == form


async def test_there_are_no_repairs_and_nobody_is_asked_for_any():
    answer, asked = telling()
    cloud = a_cloud(answer)
    assert await cloud.list_remediations("c-1") == ()
    for refused in (
        cloud.create_remediation("c-1", "i-1", "REBOOT_VM", "why"),
        cloud.approve_remediation("c-1", "i-1", "r-1", ""),
        cloud.reject_remediation("c-1", "i-1", "r-1", ""),
        cloud.cancel_remediation("c-1", "i-1", "r-1"),
    ):
        assert "`spec.repair`" in (await failure_of(refused)).message
    assert asked == []


async def test_deleting_what_is_gone_is_done():
    answer, asked = telling((200, {"cluster_id": "c-1"}), (404, {}))
    cloud = a_cloud(answer)
    await cloud.delete_cluster("c-1")
    await cloud.delete_cluster("c-1")
    assert [path for _, path, _ in asked] == ["/api/v1/gpu_cluster/c-1"] * 2
