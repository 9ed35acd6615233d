"""Repairs and reclaimable nodes of a cluster that is really there: what the API tells, Kubernetes shows."""

import asyncio

import aiohttp
from tests.integration.simulator.bought import ORDER, api_of, ready_nodes, until

from tunesmith_simulator.backing.bought_cluster import PREEMPTIBLE_LABEL

SMALL = {**ORDER, "num_gpus": 8, "shared_volume": None, "project_id": "proj-demo", "num_preemptible_gpus": 8}


async def repaired(client, cluster, mode: str) -> str:
    """Ask for a repair of the first node, and wait for its end; the state that it ends in."""
    at = {"cluster_id": cluster.cluster_id, "instance_id": cluster.gpu_worker_nodes[0].instance_id}
    asked = await client.clusters.remediations.create(**at, mode=f"REMEDIATION_MODE_{mode}")
    async with asyncio.timeout(180):
        while (seen := await client.clusters.remediations.retrieve(asked.id, **at)).state in {"PENDING", "RUNNING"}:
            await asyncio.sleep(0.2)
    return seen.state


async def test_a_broken_node_is_started_again_and_then_replaced_in_kubernetes_too(simulator, client, tmp_path):
    order = {key: value for key, value in SMALL.items() if value is not None}
    made = await client.clusters.create(**order)
    cluster = await until(
        client,
        made.cluster_id,
        lambda seen: [node.status for node in seen.gpu_worker_nodes] == ["Running"] * 2,
    )
    first, preemptible = (node.host_name for node in cluster.gpu_worker_nodes)

    with api_of(cluster, tmp_path) as api:
        labels = {node["metadata"]["name"]: node["metadata"]["labels"] for node in api.get("/api/v1/nodes")["items"]}
        assert labels[preemptible][PREEMPTIBLE_LABEL] == "preemptible"
        assert PREEMPTIBLE_LABEL not in labels[first]

        async with (
            aiohttp.ClientSession(simulator.url) as http,
            http.post(f"/admin/clusters/{cluster.cluster_id}/nodes/{first}/fail") as answer,
        ):
            assert answer.status == 200
        async with asyncio.timeout(120):
            while first in ready_nodes(api):
                await asyncio.sleep(0.2)
        assert await repaired(client, cluster, "REBOOT_VM") == "SUCCEEDED"
        async with asyncio.timeout(60):
            while ready_nodes(api) != {first: "8", preemptible: "8"}:
                await asyncio.sleep(0.2)

        assert await repaired(client, cluster, "VM_ONLY") == "SUCCEEDED"
        after = await client.clusters.retrieve(cluster.cluster_id)
        new = after.gpu_worker_nodes[0].host_name
        assert (after.num_gpus, new != first) == (8, True)
        async with asyncio.timeout(60):
            while ready_nodes(api) != {new: "8", preemptible: "8"}:
                await asyncio.sleep(0.2)
