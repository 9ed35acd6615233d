"""GPUs beside the open stock: preemptible ones, a customer's capacity pool, what the autoscaler adds."""

import aiohttp
import pytest
import together

HOUR = 3600


@pytest.fixture
async def http(simulator):
    async with aiohttp.ClientSession(simulator.url, headers={"Authorization": f"Bearer {simulator.key}"}) as session:
        yield session


@pytest.fixture
def preemptible_order(an_order):
    return {**an_order, "project_id": "proj-acme", "num_preemptible_gpus": 16}


@pytest.fixture
def pool_order(an_order):
    return {**an_order, "capacity_pool_id": "pool-acme", "num_capacity_pool_gpus": 8}


async def admin(http, path: str, **body) -> dict:
    async with http.post(f"/admin/{path}", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def capacity(http) -> tuple[int, int]:
    """What is free: preemptible H100s of the first region, and GPUs of the pool."""
    async with http.get("/admin/capacity") as answer:
        told = await answer.json()
    return told["preemptible_stock"][0]["free_gpus"], told["capacity_pools"][0]["free_gpus"]


def preemptible(cluster) -> list[str]:
    return [node.host_name for node in cluster.gpu_worker_nodes if node.host_name.startswith("gpu-preemptible-dp-")]


async def test_preemptible_nodes_come_on_top_once_the_cluster_is_ready(client, clock, http, preemptible_order):
    cluster = await client.clusters.create(**preemptible_order)
    assert (cluster.num_gpus, cluster.desired_preemptible_gpus, cluster.allocated_preemptible_gpus) == (16, 16, 0)
    clock.pass_seconds(HOUR)
    allocated = await client.clusters.retrieve(cluster.cluster_id)
    assert (allocated.num_gpus, allocated.allocated_preemptible_gpus) == (16, 16)
    assert len(preemptible(allocated)) == 2
    assert (await capacity(http))[0] == 48
    clock.pass_seconds(HOUR)
    assert {node.status for node in (await client.clusters.retrieve(cluster.cluster_id)).gpu_worker_nodes} == {
        "Running"
    }

    await client.clusters.update(cluster.cluster_id, num_preemptible_gpus=8)
    clock.pass_seconds(HOUR)
    fewer = await client.clusters.retrieve(cluster.cluster_id)
    assert (fewer.num_gpus, fewer.allocated_preemptible_gpus, len(fewer.gpu_worker_nodes)) == (16, 8, 3)
    await client.clusters.delete(cluster.cluster_id)
    clock.pass_seconds(HOUR)
    await client.clusters.list()
    assert (await capacity(http))[0] == 64


async def test_fewer_are_allocated_than_desired_until_some_come_free(client, clock, http, preemptible_order):
    free = {"region": "us-central-8", "gpu_type": "H100_SXM"}
    await admin(http, "preemptible-stock", **free, free_gpus=8)
    first = await client.clusters.create(**preemptible_order)
    clock.pass_seconds(HOUR)
    held = await client.clusters.retrieve(first.cluster_id)
    assert (held.desired_preemptible_gpus, held.allocated_preemptible_gpus) == (16, 8)

    second = await client.clusters.create(**preemptible_order)
    clock.pass_seconds(HOUR)
    assert (await client.clusters.retrieve(second.cluster_id)).allocated_preemptible_gpus == 0
    await client.clusters.delete(first.cluster_id)
    clock.pass_seconds(HOUR)
    assert (await client.clusters.retrieve(second.cluster_id)).allocated_preemptible_gpus == 8
    await admin(http, "preemptible-stock", **free, free_gpus=64)
    assert (await client.clusters.retrieve(second.cluster_id)).allocated_preemptible_gpus == 16


async def test_a_scale_down_takes_standard_nodes_only(client, clock, preemptible_order):
    cluster = await client.clusters.create(**preemptible_order)
    clock.pass_seconds(HOUR)
    await client.clusters.update(cluster.cluster_id, num_gpus=8)
    clock.pass_seconds(HOUR)
    shrunk = await client.clusters.retrieve(cluster.cluster_id)
    assert (shrunk.num_gpus, shrunk.allocated_preemptible_gpus, len(shrunk.gpu_worker_nodes)) == (8, 16, 3)


async def test_a_pool_gives_its_gpus_and_gets_them_back(client, clock, http, pool_order):
    cluster = await client.clusters.create(**pool_order)
    assert (cluster.num_gpus, cluster.num_capacity_pool_gpus, cluster.capacity_pool_id) == (16, 8, "pool-acme")
    assert (await capacity(http))[1] == 56
    clock.pass_seconds(HOUR)

    await admin(http, "stock", region="us-central-8", gpu_type="H100_SXM", free_gpus=0)
    grown = await client.clusters.update(cluster.cluster_id, num_gpus=24, num_capacity_pool_gpus=16)
    assert (grown.num_gpus, grown.num_capacity_pool_gpus) == (24, 16)
    assert (await capacity(http))[1] == 48
    more = await client.clusters.update(cluster.cluster_id, num_capacity_pool_gpus=24)
    assert more.num_capacity_pool_gpus == 24
    assert (await capacity(http))[1] == 40
    with pytest.raises(together.BadRequestError, match="must not be less than"):
        await client.clusters.update(cluster.cluster_id, num_gpus=8)

    await client.clusters.delete(cluster.cluster_id)
    clock.pass_seconds(HOUR)
    await client.clusters.list()
    assert (await capacity(http))[1] == 64


async def test_an_empty_pool_is_out_of_stock_and_another_projects_does_not_exist(client, clients, http, pool_order):
    await admin(http, "capacity-pools/pool-acme", free_gpus=0)
    with pytest.raises(together.ConflictError, match="Out of stock"):
        await client.clusters.create(**pool_order)
    with pytest.raises(together.NotFoundError, match="capacity pool"):
        await clients["globex"].clusters.create(**pool_order)


async def test_the_autoscaler_moves_the_size_between_its_bounds(client, clock, http, an_order):
    cluster = await client.clusters.create(**an_order, auto_scale=True, auto_scale_max_gpus=32)
    clock.pass_seconds(HOUR)
    path = f"clusters/{cluster.cluster_id}/autoscale"
    for size in (32, 24, 16):
        await admin(http, path, num_gpus=size)
        clock.pass_seconds(HOUR)
        seen = await client.clusters.retrieve(cluster.cluster_id)
        assert (seen.num_gpus, len(seen.gpu_worker_nodes)) == (size, size // 8)
    for size in (8, 40):
        async with http.post(f"/admin/{path}", json={"num_gpus": size}) as answer:
            assert answer.status == 400
    with pytest.raises(together.BadRequestError, match="auto_scale_max_gpus 32"):
        await client.clusters.update(cluster.cluster_id, num_gpus=40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_preemptible_gpus": 8}, "project_id is required"),
        ({"num_preemptible_gpus": 12, "project_id": "proj-acme"}, "multiple of 8"),
        (
            {
                "num_preemptible_gpus": 8,
                "project_id": "proj-acme",
                "cluster_type": "SLURM",
                "slurm_shm_size_gib": 64,
            },
            "only available for cluster type KUBERNETES",
        ),
        ({"num_preemptible_gpus": 8, "project_id": "proj-acme", "num_gpus": 0}, "at least 8"),
        ({"num_capacity_pool_gpus": 8}, "needs a capacity_pool_id"),
        ({"capacity_pool_id": "pool-acme"}, "num_capacity_pool_gpus is required"),
        ({"capacity_pool_id": "pool-acme", "num_capacity_pool_gpus": 24}, "not exceed num_gpus"),
        ({"capacity_pool_id": "pool-acme", "num_capacity_pool_gpus": 8, "gpu_type": "H200_SXM"}, "holds H100_SXM"),
        ({"auto_scale": True}, "needs auto_scale_max_gpus"),
        ({"auto_scale_max_gpus": 32}, "needs auto_scale"),
        ({"auto_scale": True, "auto_scale_max_gpus": 8}, "at least num_gpus"),
        ({"slurm_shm_size_gib": 64}, "only applicable for cluster type SLURM"),
        ({"cluster_type": "SLURM", "slurm_shm_size_gib": 64, "install_traefik": True}, "install_traefik"),
        ({"add_ons": [{"add_on_type": "teapot", "name": "t"}]}, "unknown add_on_type"),
        ({"add_ons": [{"add_on_type": "slurm_web", "name": "slurm_web"}]}, "only available for cluster type SLURM"),
        ({"add_ons": [{"add_on_type": "headlamp", "name": "h"}] * 2}, "same name"),
        (
            {"cluster_config": {"load_balancer": "NONE", "slurm_startup_scripts": {"worker_prolog": "true"}}},
            "slurm_startup_scripts",
        ),
    ],
)
async def test_what_does_not_go_together_is_refused_and_buys_nothing(simulator, client, an_order, change, message):
    with pytest.raises(together.BadRequestError) as refused:
        await client.clusters.create(**{**an_order, **change})
    assert message in refused.value.body["message"]
    assert simulator.simulation.world().clusters == {}


async def test_a_prepaid_size_is_given_back_only_when_it_is_said(client, clock, an_order):
    cluster = await client.clusters.create(**{**an_order, "billing_type": "RESERVED", "duration_days": 3})
    clock.pass_seconds(HOUR)
    with pytest.raises(together.BadRequestError, match="num_reserved_gpus"):
        await client.clusters.update(cluster.cluster_id, num_gpus=8)
    shrunk = await client.clusters.update(cluster.cluster_id, num_gpus=8, num_reserved_gpus=8)
    assert (shrunk.num_gpus, shrunk.num_reserved_gpus) == (8, 8)


async def test_a_slurm_cluster_tells_its_workers_names(client, an_order):
    cluster = await client.clusters.create(
        **an_order,
        cluster_type="SLURM",
        slurm_shm_size_gib=64,
        slurm_image="registry.example/slurm:1",
        add_ons=[{"add_on_type": "slurm_web", "name": "slurm_web", "config": {"slurm_web": {"enabled": True}}}],
    )
    assert (cluster.cluster_type, cluster.slurm_shm_size_gib) == ("SLURM", 64)
    assert [add_on.name for add_on in cluster.add_ons] == ["slurm_web"]
    node = cluster.gpu_worker_nodes[0]
    assert node.slurm_worker_hostname == f"{node.host_name}.slurm-compute.slurm"
