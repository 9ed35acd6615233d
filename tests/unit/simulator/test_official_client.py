"""The official Python client, unmodified and with strict response validation, does its work against the simulator."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import together
import yaml

HOUR = 3600


async def test_a_cluster_is_created_and_passes_its_states_in_order_until_it_is_ready(client, clock, an_order):
    cluster = await client.clusters.create(
        **an_order, shared_volume={"region": "us-central-8", "size_tib": 2, "volume_name": "data"}
    )
    statuses = [cluster.status]
    while cluster.status != "Ready":
        clock.pass_seconds(5)
        cluster = await client.clusters.retrieve(cluster.cluster_id)
        if cluster.status != statuses[-1]:
            statuses.append(cluster.status)

    assert statuses == [
        "WaitingForControlPlaneNodes",
        "WaitingForDataPlaneNodes",
        "WaitingForSubnet",
        "WaitingForSharedVolume",
        "InstallingDrivers",
        "RunningAcceptanceTests",
        "Ready",
    ]
    times = [step.transition_time for step in cluster.phase_transitions]
    assert times == sorted(times)
    assert cluster.first_ready_at == times[-1]
    assert [node.status for node in cluster.gpu_worker_nodes] == ["Running", "Running"]
    assert [(volume.volume_name, volume.status) for volume in cluster.volumes] == [("data", "bound")]


async def test_the_kubeconfig_is_empty_until_the_control_plane_is_ready(client, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    assert (cluster.kube_config, cluster.control_plane_ready) == ("", False)

    clock.pass_seconds(200)
    cluster = await client.clusters.retrieve(cluster.cluster_id)

    assert cluster.control_plane_ready
    kube_config = yaml.safe_load(base64.b64decode(cluster.kube_config))
    assert kube_config["clusters"][0]["cluster"]["server"].startswith("https://127.0.0.1:")
    assert kube_config["contexts"][0]["name"] == kube_config["current-context"]


async def test_a_deleted_cluster_is_deleting_and_then_gone(client, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    clock.pass_seconds(HOUR)

    assert (await client.clusters.delete(cluster.cluster_id)).cluster_id == cluster.cluster_id
    assert (await client.clusters.retrieve(cluster.cluster_id)).status == "Deleting"

    clock.pass_seconds(HOUR)
    with pytest.raises(together.NotFoundError):
        await client.clusters.retrieve(cluster.cluster_id)
    assert (await client.clusters.list()).clusters == []


async def test_scaling_up_adds_nodes_and_scaling_down_takes_them_away_over_time(client, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    clock.pass_seconds(HOUR)

    grown = await client.clusters.update(cluster.cluster_id, num_gpus=32)
    assert grown.num_gpus == 32
    assert [node.status for node in grown.gpu_worker_nodes] == ["Running", "Running", "Scheduling", "Scheduling"]
    clock.pass_seconds(HOUR)
    shrunk = await client.clusters.update(cluster.cluster_id, num_gpus=8)
    assert (shrunk.num_gpus, len(shrunk.gpu_worker_nodes)) == (8, 4)
    clock.pass_seconds(HOUR)
    settled = await client.clusters.retrieve(cluster.cluster_id)

    assert settled.status == "Ready"
    assert len(settled.gpu_worker_nodes) == 1
    assert len(settled.deleted_gpu_worker_nodes) == 3
    assert {event.reason for event in settled.node_lifecycle_events} == {"TogetherScaledUp", "TogetherScaledDown"}


async def test_projects_divide_what_an_account_sees(client, an_order):
    first = await client.clusters.create(**an_order)
    second = await client.clusters.create(**an_order, project_id="proj-acme-research")

    async def listed(**query):
        return [cluster.cluster_id for cluster in (await client.clusters.list(**query)).clusters]

    assert first.project_id == "proj-acme"
    assert await listed() == [first.cluster_id, second.cluster_id]
    assert await listed(project_id="proj-acme-research") == [second.cluster_id]
    assert await listed(project_id="proj-globex") == []


async def test_another_accounts_clusters_and_volumes_do_not_exist(clients, an_order):
    cluster = await clients["acme"].clusters.create(**an_order)
    volume = await clients["acme"].clusters.storage.create(region="us-central-8", size_tib=1, volume_name="data")
    other = clients["globex"]

    assert (await other.clusters.list()).clusters == []
    assert (await other.clusters.storage.list()).volumes == []
    for ask in (
        other.clusters.retrieve(cluster.cluster_id),
        other.clusters.update(cluster.cluster_id, num_gpus=8),
        other.clusters.delete(cluster.cluster_id),
        other.clusters.storage.retrieve(volume.volume_id),
        other.clusters.storage.update(volume_id=volume.volume_id, size_tib=9),
        other.clusters.storage.delete(volume.volume_id),
    ):
        with pytest.raises(together.NotFoundError):
            await ask


async def test_a_volume_made_alone_becomes_available_grows_and_goes(client, clock):
    volume = await client.clusters.storage.create(region="us-central-8", size_tib=1, volume_name="data")
    statuses = [volume.status]
    for _ in range(3):
        clock.pass_seconds(20)
        statuses.append((await client.clusters.storage.retrieve(volume.volume_id)).status)
    assert statuses == ["scheduled", "provisioning", "provisioning", "available"]

    grown = await client.clusters.storage.update(volume_id=volume.volume_id, size_tib=4)
    assert grown.size_tib == 4
    with pytest.raises(together.BadRequestError, match="cannot shrink"):
        await client.clusters.storage.update(volume_id=volume.volume_id, size_tib=3)

    assert (await client.clusters.storage.delete(volume.volume_id)).success
    assert (await client.clusters.storage.retrieve(volume.volume_id)).status == "deleting"
    clock.pass_seconds(HOUR)
    with pytest.raises(together.NotFoundError):
        await client.clusters.storage.retrieve(volume.volume_id)


async def test_an_attached_volume_is_not_deleted(client, clock, an_order):
    volume = await client.clusters.storage.create(region="us-central-8", size_tib=1, volume_name="data")
    cluster = await client.clusters.create(**an_order, volume_id=volume.volume_id)
    with pytest.raises(together.BadRequestError, match="is attached to cluster"):
        await client.clusters.storage.delete(volume.volume_id)
    with pytest.raises(together.BadRequestError, match="is attached to cluster"):
        await client.clusters.create(**an_order, volume_id=volume.volume_id)

    await client.clusters.delete(cluster.cluster_id)
    clock.pass_seconds(HOUR)
    assert (await client.clusters.storage.delete(volume.volume_id)).success


@pytest.mark.parametrize(("independent", "left"), [(True, ["available"]), (False, [])])
async def test_an_inline_volume_outlives_its_cluster_only_when_it_is_independent(
    client, clock, an_order, independent, left
):
    cluster = await client.clusters.create(
        **an_order,
        shared_volume={
            "region": "us-central-8",
            "size_tib": 1,
            "volume_name": "data",
            "is_lifecycle_independent": independent,
        },
    )
    clock.pass_seconds(HOUR)
    await client.clusters.delete(cluster.cluster_id)
    clock.pass_seconds(HOUR)

    assert [volume.status for volume in (await client.clusters.storage.list()).volumes] == left


async def test_a_volume_made_alone_can_land_where_no_cluster_does(client, an_order):
    order = {**an_order, "region": "us-central-4"}
    volume = await client.clusters.storage.create(region="us-central-4", size_tib=1, volume_name="data")
    with pytest.raises(together.BadRequestError, match="does not exist in the datacenter"):
        await client.clusters.create(**order, volume_id=volume.volume_id)

    beside = await client.clusters.create(**order)
    placed = await client.clusters.storage.create(
        region="us-central-4", size_tib=1, volume_name="data", instance_cluster_id=beside.cluster_id
    )
    assert (await client.clusters.create(**order, volume_id=placed.volume_id)).volumes[0].volume_id == placed.volume_id


async def test_regions_tell_gpu_types_and_drivers(client):
    regions = {region.name: region for region in (await client.clusters.list_regions()).regions}

    assert set(regions) == {"us-central-8", "us-central-4"}
    assert regions["us-central-8"].supported_instance_types == ["H100_SXM", "H200_SXM", "B200_SXM"]
    assert regions["us-central-8"].driver_versions[1].id == "nvidia-570-22"


async def test_out_of_stock_is_a_conflict_that_is_not_to_be_repeated(simulator, client, an_order):
    with pytest.raises(together.ConflictError, match="Out of stock") as refused:
        await client.with_options(max_retries=2).clusters.create(**{**an_order, "num_gpus": 2048})

    assert refused.value.response.headers["x-should-retry"] == "false"
    assert [request.status for request in simulator.record.all()] == [409]


async def test_what_a_key_may_not_do_is_refused_as_the_client_types_it(simulator, clients, an_order):
    with pytest.raises(together.PermissionDeniedError):
        await clients["acme-editor"].clusters.create(**an_order)
    with pytest.raises(together.PermissionDeniedError, match="not a member"):
        await clients["acme"].clusters.create(**an_order, project_id="proj-globex")
    with pytest.raises(together.APIStatusError) as no_credit:
        await clients["penniless"].clusters.create(**an_order)
    assert no_credit.value.status_code == 402
    with pytest.raises(together.AuthenticationError):
        await clients["acme"].with_options(api_key="nobody").clusters.list()
    assert simulator.simulation.world().clusters == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_gpus": 12}, "multiple of 8"),
        ({"num_gpus": 0}, "multiple of 8"),
        ({"region": "mars"}, "'mars' does not exist"),
        ({"gpu_type": "L40_PCIE"}, "not available in region"),
        ({"cluster_name": "Under_score"}, "cluster_name"),
        ({"nvidia_version_id": "nvidia-1"}, "nvidia-1"),
        ({"duration_days": 3}, "do not go with ON_DEMAND"),
        ({"billing_type": "RESERVED"}, "either duration_days or reservation_end_time"),
        ({"billing_type": "RESERVED", "duration_days": 91}, "between 1 and 90"),
        ({"billing_type": "SCHEDULED_CAPACITY"}, "needs reservation_start_time"),
        ({"cluster_type": "SLURM"}, "slurm_shm_size_gib"),
        ({"extra_body": {"colour": "red"}}, "colour: Extra inputs are not permitted"),
        ({"extra_body": {"num_gpus": "8"}}, "num_gpus: Input should be a valid integer"),
        ({"volume_id": "v", "shared_volume": {"region": "r", "size_tib": 1, "volume_name": "v"}}, "cannot both"),
        ({"shared_volume": {"region": "us-central-4", "size_tib": 1, "volume_name": "v"}}, "the cluster's region"),
        ({"shared_volume": {"region": "us-central-8", "size_tib": 0, "volume_name": "v"}}, "size_tib"),
    ],
)
async def test_a_wrong_order_is_refused_in_words_and_buys_nothing(simulator, client, an_order, change, message):
    with pytest.raises(together.BadRequestError) as refused:
        await client.clusters.create(**{**an_order, **change})

    assert message in refused.value.body["message"]
    assert refused.value.body["code"] == 3
    assert simulator.simulation.world().clusters == {}


async def test_driver_versions_can_be_named_by_id_or_by_both_numbers_but_must_agree(client, an_order):
    numbers = {key: value for key, value in an_order.items() if key != "nvidia_version_id"}
    by_numbers = await client.clusters.create(**numbers, cuda_version="12.8", nvidia_driver_version="570")
    suffixed = await client.clusters.create(**numbers, cuda_version="13.0-ubuntu-24.04", nvidia_driver_version="595")

    assert by_numbers.nvidia_driver_version_id == "nvidia-570-22"
    assert suffixed.os_image == "ubuntu-24.04"
    with pytest.raises(together.BadRequestError, match="cuda version and nvidia driver version are required"):
        await client.clusters.create(**an_order, extra_body={"nvidia_version_id": None})
    with pytest.raises(together.BadRequestError, match="do not name the same entry"):
        await client.clusters.create(**an_order, cuda_version="13.0", nvidia_driver_version="595")


async def test_a_reservation_runs_from_ready_and_then_ends_by_itself(client, clock, an_order):
    cluster = await client.clusters.create(**{**an_order, "billing_type": "RESERVED", "duration_days": 1})
    assert cluster.num_reserved_gpus == 16
    clock.pass_seconds(HOUR)
    cluster = await client.clusters.retrieve(cluster.cluster_id)
    assert cluster.reservation_end_time == cluster.first_ready_at + timedelta(days=1)

    clock.pass_seconds(25 * HOUR)
    assert (await client.clusters.list()).clusters == []


async def test_the_end_of_a_prepaid_cluster_can_be_moved(client, clock, an_order):
    later = datetime(2026, 12, 24, tzinfo=UTC)
    prepaid = await client.clusters.create(**{**an_order, "billing_type": "RESERVED", "duration_days": 1})
    on_demand = await client.clusters.create(**an_order)

    moved = await client.clusters.update(prepaid.cluster_id, reservation_end_time=later)
    assert moved.reservation_end_time == later
    with pytest.raises(together.BadRequestError, match="only accepted for prepaid"):
        await client.clusters.update(on_demand.cluster_id, reservation_end_time=later)


async def test_components_add_ons_and_oidc_are_kept_and_add_ons_merge_by_name(client, an_order):
    oidc = {
        "client_id": "id",
        "group_claim": "groups",
        "group_prefix": "oidc:",
        "issuer_url": "https://issuer.example",
        "username_claim": "email",
        "username_prefix": "oidc:",
    }
    cluster = await client.clusters.create(
        **an_order,
        cluster_config={"load_balancer": "NGINX", "observability": {"enabled": True}},
        add_ons=[{"add_on_type": "headlamp", "name": "headlamp", "config": {"headlamp": {"enabled": True}}}],
        oidc_config=oidc,
    )
    assert cluster.cluster_config.load_balancer == "NGINX"
    assert cluster.oidc_config.issuer_url == "https://issuer.example"

    off = await client.clusters.update(
        cluster.cluster_id, add_ons=[{"name": "headlamp", "config": {"headlamp": {"enabled": False}}}]
    )
    assert off.add_ons == []
    with pytest.raises(together.BadRequestError, match="no add-on named"):
        await client.clusters.update(cluster.cluster_id, add_ons=[{"name": "ghost", "config": {}}])


async def test_a_cluster_on_its_way_cannot_be_resized_yet(client, an_order):
    cluster = await client.clusters.create(**an_order)
    with pytest.raises(together.BadRequestError, match="cannot be resized while it is WaitingForControlPlaneNodes"):
        await client.clusters.update(cluster.cluster_id, num_gpus=8)


async def test_acceptance_tests_can_be_left_out(client, clock, an_order):
    cluster = await client.clusters.create(**an_order, acceptance_tests_params={"enabled": False})
    clock.pass_seconds(HOUR)
    phases = [step.phase for step in (await client.clusters.retrieve(cluster.cluster_id)).phase_transitions]
    assert "CLUSTER_PHASE_RUNNING_ACCEPTANCE_TESTS" not in phases
    assert phases[-1] == "CLUSTER_PHASE_READY"
