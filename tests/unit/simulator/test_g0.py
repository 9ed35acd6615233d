"""The dialect of September 2025 over the same world: paths, words, answers, and what it cannot say."""

import aiohttp
import pytest

HOUR = 3600
PREFIXES = ["", "/v1", "/api/v1"]


@pytest.fixture
async def http(simulator):
    async with aiohttp.ClientSession(simulator.url, headers={"Authorization": f"Bearer {simulator.key}"}) as session:
        yield session


@pytest.fixture
def order():
    return {
        "region": "us-central-8",
        "gpu_type": "H100_SXM",
        "num_gpus": 8,
        "cluster_name": "training",
        "duration_days": 7,
        "driver_version": "CUDA_12_8_570",
        "billing_type": "ON_DEMAND",
    }


async def ask(http, method: str, path: str, body=None) -> dict:
    async with http.request(method, path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def refusal(http, method: str, path: str, body=None) -> tuple[int, str]:
    async with http.request(method, path, json=body) as answer:
        return answer.status, (await answer.json())["message"]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_cluster_lives_its_whole_life_under_each_prefix(http, client, clock, order, prefix):
    made = await ask(http, "POST", f"{prefix}/gpu_cluster", order)
    cluster_id = made["cluster_id"]
    assert made == {"cluster_id": cluster_id, "status": "WAITING_CONTROL_PLANE"}
    clock.pass_seconds(HOUR)

    seen = await ask(http, "GET", f"{prefix}/gpu_cluster/{cluster_id}")
    assert (seen["status"], seen["num_gpus"], seen["driver_version"]) == ("Ready", 8, "CUDA_12_8_570")
    assert seen["kube_config"]
    assert [node["node_name"] for node in seen["gpu_worker_nodes"]] == [seen["gpu_worker_nodes"][0]["host_name"]]
    grown = await ask(http, "PUT", f"{prefix}/gpu_cluster", {"cluster_id": cluster_id, "num_gpus": 16})
    assert grown == {"cluster_id": cluster_id, "status": "READY"}
    # The two dialects speak of one world.
    assert (await client.clusters.retrieve(cluster_id)).num_gpus == 16
    listed = await ask(http, "GET", f"{prefix}/gpu_clusters")
    assert [(each["cluster_id"], each["num_gpus"]) for each in listed["clusters"]] == [(cluster_id, 16)]

    assert await ask(http, "DELETE", f"{prefix}/gpu_cluster/{cluster_id}") == {"cluster_id": cluster_id}
    clock.pass_seconds(HOUR)
    assert (await refusal(http, "GET", f"{prefix}/gpu_cluster/{cluster_id}"))[0] == 404
    assert await ask(http, "GET", f"{prefix}/gpu_clusters") == {"clusters": []}


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_volume_lives_its_whole_life_and_has_no_status(http, clock, prefix):
    order = {"volume_name": "data", "size_tib": 1, "region": "us-central-8"}
    volume_id = (await ask(http, "POST", f"{prefix}/shared_volume", order))["volume_id"]
    clock.pass_seconds(HOUR)
    one = {"volume_id": volume_id, "volume_name": "data", "size_tib": 1}
    assert await ask(http, "GET", f"{prefix}/shared_volume/{volume_id}") == one
    grown = await ask(http, "PUT", f"{prefix}/shared_volume", {"volume_id": volume_id, "size_tib": 3})
    assert grown == one | {"size_tib": 3}
    assert await ask(http, "GET", f"{prefix}/shared_volumes") == {"volumes": [grown]}
    assert await ask(http, "DELETE", f"{prefix}/shared_volume/{volume_id}") == {"success": True}
    clock.pass_seconds(HOUR)
    assert (await refusal(http, "GET", f"{prefix}/shared_volume/{volume_id}"))[0] == 404


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_regions_tell_only_the_drivers_that_there_are_words_for(http, prefix):
    regions = (await ask(http, "GET", f"{prefix}/regions"))["regions"]
    assert regions == [
        {
            "id": "us-central-8",
            "name": "us-central-8",
            "availability_zones": ["a"],
            "driver_versions": ["CUDA_12_8_570"],
        },
        {
            "id": "us-central-4",
            "name": "us-central-4",
            "availability_zones": ["a", "b"],
            "driver_versions": ["CUDA_12_8_570", "CUDA_12_6_565"],
        },
    ]


async def test_an_attached_volume_is_told_in_the_cluster_with_its_status(http, clock, order):
    inline = {"volume_name": "data", "size_tib": 2, "region": "us-central-8"}
    made = await ask(http, "POST", "/gpu_cluster", order | {"shared_volume": inline})
    clock.pass_seconds(HOUR)
    seen = await ask(http, "GET", f"/gpu_cluster/{made['cluster_id']}")
    (volume,) = seen["volumes"]
    assert (volume["volume_name"], volume["size_tib"], volume["status"]) == ("data", 2, "bound")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration_days": None}, "duration_days"),
        ({"driver_version": "UNKNOWN_DRIVER"}, "driver_version must not be UNKNOWN_DRIVER"),
        ({"driver_version": "CUDA_13_0_595"}, "driver_version"),
        ({"driver_version": "CUDA_12_5_555"}, "not available in region"),
        ({"gpu_type": "B200_SXM"}, "gpu_type"),
        ({"gpu_type": "UNKNOWN_GPU_TYPE"}, "gpu_type must not be"),
        ({"billing_type": "UNSPECIFIED"}, "billing_type must not be"),
        ({"billing_type": "SCHEDULED_CAPACITY"}, "billing_type"),
        ({"cluster_type": "UNKNOWN_TYPE"}, "cluster_type must not be"),
        ({"num_gpus": 12}, "multiple of 8"),
        ({"nvidia_version_id": "nvidia-570-22"}, "nvidia_version_id: Extra inputs are not permitted"),
        ({"project_id": "proj-acme"}, "project_id: Extra inputs are not permitted"),
    ],
)
async def test_a_wrong_order_is_refused_in_words_and_buys_nothing(simulator, http, order, change, message):
    body = {key: value for key, value in (order | change).items() if value is not None}
    status, told = await refusal(http, "POST", "/gpu_cluster", body)
    assert status == 400
    assert message in told
    assert simulator.simulation.world().clusters == {}


async def test_what_the_old_words_cannot_say_is_told_as_unknown(http, client, an_order):
    newer = {**an_order, "gpu_type": "B200_SXM", "nvidia_version_id": "nvidia-595-22"}
    cluster = await client.clusters.create(**newer)
    seen = await ask(http, "GET", f"/gpu_cluster/{cluster.cluster_id}")
    assert (seen["gpu_type"], seen["driver_version"]) == ("UNKNOWN_GPU_TYPE", "UNKNOWN_DRIVER")


async def test_a_reservation_of_days_ends_by_itself(http, clock, order):
    made = await ask(http, "POST", "/gpu_cluster", order | {"billing_type": "RESERVED", "duration_days": 1})
    clock.pass_seconds(HOUR)
    assert (await ask(http, "GET", f"/gpu_cluster/{made['cluster_id']}"))["duration_hours"] == 24
    clock.pass_seconds(25 * HOUR)
    assert await ask(http, "GET", "/gpu_clusters") == {"clusters": []}


async def test_the_same_keys_and_rights_hold(simulator, order):
    for key, status in {"acme-editor": 403, "penniless": 402}.items():
        async with (
            aiohttp.ClientSession(simulator.url) as session,
            session.post(
                "/v1/gpu_cluster", json=order, headers={"Authorization": f"Bearer simulated-key-{key}"}
            ) as answer,
        ):
            assert answer.status == status
    async with aiohttp.ClientSession(simulator.url) as session, session.get("/v1/gpu_clusters") as answer:
        assert answer.status == 401
