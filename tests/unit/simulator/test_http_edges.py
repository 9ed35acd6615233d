"""What no official client asks: raw requests, the record, the admin routes, interventions on the way."""

import asyncio
import base64

import aiohttp
import pytest
import together
from aiohttp import web

from tunesmith_simulator.server import Simulator


@pytest.fixture
async def http(simulator):
    headers = {"Authorization": f"Bearer {simulator.key}"}
    async with aiohttp.ClientSession(simulator.url, headers=headers) as session:
        yield session


async def test_the_doubled_prefix_is_told_apart_from_a_missing_object(http):
    async with http.get("/v1/v1/compute/clusters") as answer:
        assert answer.status == 404
        assert "base URL must not end in /v1" in (await answer.json())["message"]


async def test_an_unknown_path_and_a_wrong_method_answer_in_the_services_form(http):
    async with http.get("/v1/nothing") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, 5)
    async with http.patch("/v1/compute/clusters") as answer:
        assert (answer.status, (await answer.json())["code"]) == (405, 12)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}])
async def test_without_a_right_key_nothing_is_told(simulator, header):
    async with aiohttp.ClientSession(simulator.url) as session:
        for path in ("/v1/compute/clusters", "/v1/compute/clusters/any", "/v1/compute/regions", "/v1/nothing"):
            async with session.get(path, headers=header) as answer:
                assert (answer.status, await answer.json()) == (
                    401,
                    {"code": 16, "message": "missing or invalid API key"},
                )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff"])
async def test_a_body_that_is_no_object_is_a_bad_request(http, body):
    for method, path in (
        ("POST", "/v1/compute/clusters"),
        ("POST", "/v1/compute/clusters/storage/volumes"),
        ("PUT", "/v1/compute/clusters/storage/volumes"),
    ):
        async with http.request(method, path, data=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["message"]


async def test_the_record_says_who_asked_what_and_never_the_key(simulator, client, http, an_order):
    cluster = await client.clusters.create(**an_order)
    await client.clusters.list(project_id="proj-acme")

    async with http.get("/admin/requests") as answer:
        text = await answer.text()
        requests = (await answer.json())["requests"]
    assert [(each["method"], each["path"], each["query"], each["status"], each["account"]) for each in requests] == [
        ("POST", "/v1/compute/clusters", "", 200, "acme"),
        ("GET", "/v1/compute/clusters", "projectId=proj-acme", 200, "acme"),
    ]
    async with http.get("/admin/state") as answer:
        text += await answer.text()
    assert cluster.cluster_id in text
    assert "simulated-key" not in text


async def test_the_keys_are_in_no_log(simulator, client, clients, an_order, caplog):
    caplog.set_level("DEBUG", "tunesmith_simulator")
    await client.clusters.create(**an_order)
    with pytest.raises(together.AuthenticationError):
        await client.with_options(api_key="simulated-key-unknown").clusters.list()
    assert "simulated-key" not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("tunesmith_simulator")
    )


async def test_the_state_tells_dollars_per_hour_while_something_is_held_and_keeps_what_is_gone(
    client, http, clock, an_order
):
    cluster = await client.clusters.create(**an_order)
    async with http.get("/admin/state") as answer:
        state = await answer.json()
    assert state["usd_per_hour"] == "63.84"
    assert {"region": "us-central-8", "gpu_type": "H100_SXM", "free_gpus": 1008} in state["stock"]

    await client.clusters.delete(cluster.cluster_id)
    clock.pass_seconds(3600)
    async with http.get("/admin/state") as answer:
        state = await answer.json()
    assert float(state["usd_per_hour"]) == 0
    assert state["clusters"][0]["status"] == "Gone"
    assert state["clusters"][0]["gone_at"] > state["clusters"][0]["created_at"]
    assert {"region": "us-central-8", "gpu_type": "H100_SXM", "free_gpus": 1024} in state["stock"]


async def test_stock_can_be_set_and_sells_out(client, http, an_order):
    sold_out = {"region": "us-central-8", "gpu_type": "H100_SXM", "free_gpus": 8}
    async with http.post("/admin/stock", json=sold_out) as answer:
        assert answer.status == 200
    with pytest.raises(together.ConflictError, match="Out of stock"):
        await client.clusters.create(**an_order)
    async with http.post("/admin/stock", json={**sold_out, "region": "mars"}) as answer:
        assert answer.status == 400


async def test_a_faster_run_shortens_what_is_left_of_every_wait(client, http, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    async with http.post("/admin/speed", json={"speed": 1000}) as answer:
        assert (await answer.json())["speed"] == 1000
    clock.pass_seconds(2)
    assert (await client.clusters.retrieve(cluster.cluster_id)).status == "Ready"
    async with http.post("/admin/speed", json={"speed": 0}) as answer:
        assert answer.status == 400


async def test_a_failed_node_degrades_its_cluster_and_leaves_first(client, http, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    async with http.post(f"/admin/clusters/{cluster.cluster_id}/nodes/ghost/fail") as answer:
        assert answer.status == 404
    host_name = cluster.gpu_worker_nodes[0].host_name
    fail = f"/admin/clusters/{cluster.cluster_id}/nodes/{host_name}/fail"
    async with http.post(fail) as answer:
        assert answer.status == 400
    clock.pass_seconds(3600)
    async with http.post(fail) as answer:
        assert answer.status == 200

    degraded = await client.clusters.retrieve(cluster.cluster_id)
    assert (degraded.status, degraded.gpu_worker_nodes[0].status) == ("Degraded", "Failed")
    await client.clusters.update(cluster.cluster_id, num_gpus=8)
    clock.pass_seconds(3600)
    healthy = await client.clusters.retrieve(cluster.cluster_id)
    assert healthy.status == "Ready"
    assert [node.host_name for node in healthy.deleted_gpu_worker_nodes] == [host_name]


async def test_an_intervention_can_spoil_the_answer_after_the_effect(scenario, clock, an_order):
    async def lost_answer(request: web.Request, handler) -> web.StreamResponse:
        response = await handler(request)
        if request.method == "POST" and request.transport:
            request.transport.abort()
        return response

    async with Simulator(scenario, clock=clock, interventions=[lost_answer]) as simulator:
        client = together.AsyncTogether(api_key=simulator.key, base_url=simulator.url, max_retries=0)
        with pytest.raises(together.APIConnectionError):
            await client.clusters.create(**an_order)
        assert [cluster.cluster_name for cluster in (await client.clusters.list()).clusters] == ["training"]
        await client.close()


async def test_a_scheduled_cluster_waits_for_its_start_and_ends_at_its_end(http, clock, an_order):
    order = an_order | {
        "billing_type": "SCHEDULED_CAPACITY",
        "reservation_start_time": "2026-09-02T12:00:00Z",
        "reservation_end_time": "2026-09-03T12:00:00Z",
    }
    async with http.post("/v1/compute/clusters", json=order) as answer:
        cluster = await answer.json()

    async def status() -> object:
        async with http.get(f"/v1/compute/clusters/{cluster['cluster_id']}") as answer:
            return (await answer.json()).get("status")

    assert cluster["status"] == "Scheduled"
    clock.pass_seconds(25 * 3600)
    assert await status() == "Ready"
    clock.pass_seconds(24 * 3600)
    assert await status() is None


async def test_many_light_clusters_live_side_by_side_by_the_clock_on_the_wall(scenario, an_order):
    plenty = scenario.regions[0].model_copy(update={"stock": {"H100_SXM": 1600}})
    fast = scenario.model_copy(update={"speed": 10_000.0, "regions": (plenty,)})
    async with Simulator(fast) as simulator:
        headers = {"Authorization": f"Bearer {simulator.key}"}
        async with aiohttp.ClientSession(simulator.url, headers=headers) as session:
            for number in range(200):
                order = an_order | {"cluster_name": f"many-{number}", "num_gpus": 8}
                async with session.post("/v1/compute/clusters", json=order) as answer:
                    assert answer.status == 200
            while True:
                async with session.get("/v1/compute/clusters") as answer:
                    clusters = (await answer.json())["clusters"]
                if {cluster["status"] for cluster in clusters} == {"Ready"}:
                    break
                await asyncio.sleep(0.05)
        assert len({base64.b64decode(cluster["kube_config"]) for cluster in clusters}) == 200
