"""What a client meets on the wire when a fault strikes: the answer, and whether the request took effect."""

import json

import aiohttp
import pytest
from tests.unit.simulator.conftest import ManualClock

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.faults import Answer, Cut, Delay, Empty, Fault, Rewrite, Truncate
from tunesmith_simulator.server import Simulator

CLUSTERS = "/v1/compute/clusters"
TRANSPORT = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)


@pytest.fixture
async def http(simulator):
    headers = {"Authorization": f"Bearer {simulator.key}"}
    async with aiohttp.ClientSession(simulator.url, headers=headers) as session:
        yield session


async def arm(http, route, effect, **rest):
    fault = Fault(route=route, effect=effect, **rest).model_dump(mode="json")
    async with http.post("/admin/faults", json=fault) as answer:
        assert answer.status == 200
        return await answer.json()


async def clusters(http):
    async with http.get(CLUSTERS) as answer:
        return (await answer.json())["clusters"]


@pytest.mark.parametrize(("after_effect", "bought"), [(False, 0), (True, 1)])
async def test_a_5xx_comes_before_or_after_the_effect(http, an_order, after_effect, bought):
    await arm(http, "POST clusters", Answer(status=502, after_effect=after_effect), next_requests=1)
    async with http.post(CLUSTERS, json=an_order) as answer:
        assert (answer.status, (await answer.json())["message"]) == (502, "an injected fault")
    assert len(await clusters(http)) == bought


@pytest.mark.parametrize(("after_effect", "bought"), [(False, 0), (True, 1)])
async def test_a_connection_is_cut_before_or_after_the_effect(simulator, http, an_order, after_effect, bought):
    await arm(http, "POST clusters", Cut(after_effect=after_effect), next_requests=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.post(CLUSTERS, json=an_order)
    assert len(await clusters(http)) == bought
    assert next((each.method, each.status, each.faults) for each in simulator.record.all()) == ("POST", None, (1,))


@pytest.mark.parametrize("retry_after", [None, 7, "Wed, 02 Sep 2026 12:00:00 GMT"])
async def test_a_429_says_when_to_come_again_or_does_not(http, retry_after):
    await arm(http, "LIST clusters", Answer(status=429, retry_after=retry_after), next_requests=1)
    async with http.get(CLUSTERS) as answer:
        assert answer.status == 429
        assert answer.headers.get("Retry-After") == (None if retry_after is None else str(retry_after))
    assert await clusters(http) == []


async def test_an_answer_is_shorter_than_it_promises(http, an_order):
    await arm(http, "POST clusters", Truncate(), next_requests=1)
    with pytest.raises(TRANSPORT):
        async with http.post(CLUSTERS, json=an_order) as answer:
            await answer.read()
    assert len(await clusters(http)) == 1


async def test_an_answer_is_whole_for_http_and_cut_as_json(http, an_order):
    await arm(http, "POST clusters", Truncate(how="json"), next_requests=1)
    async with http.post(CLUSTERS, json=an_order) as answer:
        assert answer.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(await answer.read())
    assert len(await clusters(http)) == 1


async def test_an_answer_is_empty_though_the_request_took_effect(http, an_order):
    await arm(http, "POST clusters", Empty(), next_requests=1)
    async with http.post(CLUSTERS, json=an_order) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    assert len(await clusters(http)) == 1


async def test_a_route_is_slow(simulator, http):
    await arm(http, "LIST regions", Delay(seconds=0.15, up_to_seconds=0.2))
    async with http.get("/v1/compute/regions") as answer:
        assert answer.status == 200
    await clusters(http)
    slow, quick = simulator.record.all()
    assert slow.seconds >= 0.15
    assert quick.faults == ()


async def test_fields_read_differently_in_lists_and_alone(http, an_order):
    async with http.post(CLUSTERS, json=an_order) as answer:
        cluster_id = (await answer.json())["cluster_id"]
    told = {"status": "Rebalancing", "gpu_worker_nodes.*.status": "Odd", "brand_new": {"a": 1}}
    await arm(http, "* clusters", Rewrite(fields=told, without=("kube_config", "volumes.0")))
    async with http.get(f"{CLUSTERS}/{cluster_id}") as answer:
        alone = await answer.json()
    for cluster in (alone, *await clusters(http)):
        assert (cluster["status"], cluster["brand_new"]) == ("Rebalancing", {"a": 1})
        assert {node["status"] for node in cluster["gpu_worker_nodes"]} == {"Odd"}
        assert "kube_config" not in cluster


async def test_only_one_account_is_struck(http, simulator):
    await arm(http, "LIST clusters", Answer(status=500), account="globex")
    assert await clusters(http) == []
    other = {"Authorization": "Bearer simulated-key-globex"}
    async with http.get(CLUSTERS, headers=other) as answer:
        assert answer.status == 500


async def test_faults_are_listed_and_cleared_one_by_one_or_all(http):
    first = await arm(http, "LIST clusters", Answer(status=500), next_requests=1)
    second = await arm(http, "LIST volumes", Answer(status=500))
    async with http.get(CLUSTERS) as answer:
        assert answer.status == 500
    async with http.get("/admin/faults") as answer:
        listed = (await answer.json())["faults"]
    assert [(each["number"], each["struck"], each["spent"]) for each in listed] == [
        (first["number"], 1, True),
        (second["number"], 0, False),
    ]
    async with http.delete(f"/admin/faults/{first['number']}") as answer:
        assert [each["number"] for each in (await answer.json())["faults"]] == [second["number"]]
    async with http.delete("/admin/faults/99") as answer:
        assert answer.status == 404
    async with http.delete("/admin/faults") as answer:
        assert (await answer.json())["faults"] == []


async def test_a_fault_that_is_none_is_refused_in_words(http):
    async with http.post("/admin/faults", json={"route": "POST moons", "effect": {"kind": "cut"}}) as answer:
        assert answer.status == 400
        assert "route" in (await answer.json())["message"]


STORMY = """
accounts: [{name: a, key: stormy-key, projects: [p]}]
regions:
  - name: r
    stock: {H100_SXM: 64}
    drivers: [{id: d, cuda_version: "13.0", nvidia_driver_version: "595"}]
seed: 11
clock: {}
faults:
  - {route: "* *", probability: 0.3, effect: {kind: answer, status: 500}}
  - {route: "POST clusters", probability: 0.3, effect: {kind: answer, status: 500, after_effect: true}}
"""


async def a_stormy_run():
    order = {
        "billing_type": "ON_DEMAND",
        "cluster_name": "c",
        "gpu_type": "H100_SXM",
        "num_gpus": 8,
        "region": "r",
        "nvidia_version_id": "d",
    }
    said = []
    async with Simulator(scenarios.parsed(STORMY)) as simulator:
        headers = {"Authorization": f"Bearer {simulator.key}"}
        async with aiohttp.ClientSession(simulator.url, headers=headers) as http:
            for _ in range(6):
                async with http.post(CLUSTERS, json=order) as answer:
                    said.append((answer.status, await answer.json()))
                simulator.simulation.advance(100)
                async with http.get(CLUSTERS) as answer:
                    said.append((answer.status, await answer.json()))
            async with http.get("/admin/ledger") as answer:
                said.append((answer.status, await answer.json()))
    return said


async def test_the_same_seed_and_the_same_requests_give_the_same_run_to_the_last_letter():
    first = await a_stormy_run()
    assert first == await a_stormy_run()
    assert {status for status, _ in first} == {200, 500}


async def test_no_key_is_in_any_answer_about_faults_clock_and_ledger(scenario, an_order):
    async with (
        Simulator(scenario, clock=ManualClock()) as simulator,
        aiohttp.ClientSession(simulator.url) as http,
    ):
        await arm(http, "POST clusters", Answer(status=500, message="x"))
        text = ""
        for path in ("faults", "happenings", "clock", "ledger", "state", "requests"):
            async with http.get(f"/admin/{path}") as answer:
                text += await answer.text()
    assert "simulated-key" not in text
