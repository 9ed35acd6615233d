"""A cluster bought from the simulator is a real Kubernetes: nodes, volume, kubeconfig; and nothing is left of it."""

import asyncio
import os
import signal

import aiohttp
import pytest
import together
from tests.integration.simulator.bought import ORDER, api_of, processes_that_mention, ready_nodes, until

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.backing.bought_cluster import DELETE_FIRST_ANNOTATION
from tunesmith_simulator.process import SimulatorProcess
from tunesmith_simulator.server import Simulator


async def test_a_bought_cluster_is_used_scaled_broken_and_given_back(simulator, client, tmp_path):
    cluster = await client.clusters.create(**ORDER)
    assert cluster.kube_config == ""
    cluster = await until(client, cluster.cluster_id, lambda seen: seen.status == "Ready")

    with api_of(cluster, tmp_path) as api:
        hosts = [node.host_name for node in cluster.gpu_worker_nodes]
        assert ready_nodes(api) == dict.fromkeys(hosts, "8")
        volume = api.get("/api/v1/persistentvolumes/training-data")["spec"]
        assert volume["accessModes"] == ["ReadWriteMany"]
        assert volume["capacity"] == {"storage": "2Ti"}
        assert volume["hostPath"]["path"] == str(tmp_path / "volumes" / cluster.volumes[0].volume_id)
        assert api.exists("/apis/storage.k8s.io/v1/storageclasses/shared-storage-class")

        await client.clusters.update(cluster.cluster_id, num_gpus=24)
        grown = await until(
            client,
            cluster.cluster_id,
            lambda seen: [node.status for node in seen.gpu_worker_nodes] == ["Running"] * 3,
        )
        assert ready_nodes(api) == dict.fromkeys([node.host_name for node in grown.gpu_worker_nodes], "8")

        api.merge_patch(f"/api/v1/nodes/{hosts[0]}", {"metadata": {"annotations": {DELETE_FIRST_ANNOTATION: "true"}}})
        api.merge_patch(f"/api/v1/nodes/{hosts[1]}", {"spec": {"unschedulable": True}})
        await client.clusters.update(cluster.cluster_id, num_gpus=8)
        shrunk = await until(client, cluster.cluster_id, lambda seen: len(seen.gpu_worker_nodes) == 1)
        assert {node.host_name for node in shrunk.deleted_gpu_worker_nodes} == set(hosts)

        last = shrunk.gpu_worker_nodes[0].host_name
        async with asyncio.timeout(60):
            while set(ready_nodes(api)) != {last}:
                await asyncio.sleep(0.2)
        async with (
            aiohttp.ClientSession(simulator.url) as http,
            http.post(f"/admin/clusters/{cluster.cluster_id}/nodes/{last}/fail") as answer,
        ):
            assert answer.status == 200
        async with asyncio.timeout(120):
            while ready_nodes(api):
                await asyncio.sleep(0.5)
        assert (await client.clusters.retrieve(cluster.cluster_id)).status == "Degraded"

    data = tmp_path / "volumes" / cluster.volumes[0].volume_id
    (data / "weights").write_text("kept")
    await client.clusters.delete(cluster.cluster_id)
    with pytest.raises(together.NotFoundError):
        await until(client, cluster.cluster_id, lambda seen: False)
    assert processes_that_mention(tmp_path) == []
    assert list((tmp_path / "clusters").iterdir()) == []
    assert (data / "weights").read_text() == "kept"

    await client.clusters.storage.delete(cluster.volumes[0].volume_id)
    async with asyncio.timeout(60):
        while data.exists():
            await asyncio.sleep(0.1)


async def test_the_end_of_the_simulator_is_the_end_of_its_clusters(tmp_path):
    async with Simulator(scenarios.named("demo"), state_directory=tmp_path) as simulator:
        client = together.AsyncTogether(api_key=simulator.key, base_url=simulator.url, max_retries=0)
        cluster = await client.clusters.create(**ORDER)
        await until(client, cluster.cluster_id, lambda seen: seen.kube_config)
        assert processes_that_mention(tmp_path)
        await client.close()
    assert processes_that_mention(tmp_path) == []


async def test_what_a_killed_simulator_left_behind_is_ended_at_the_next_start(tmp_path):
    simulator = SimulatorProcess(tmp_path, scenario="demo", light=False).start()
    client = together.AsyncTogether(api_key="simulated-key-demo", base_url=simulator.url, max_retries=0)
    cluster = await client.clusters.create(**ORDER)
    await until(client, cluster.cluster_id, lambda seen: seen.kube_config)
    os.kill(simulator.pid, signal.SIGKILL)
    simulator.stop()
    await client.close()
    assert processes_that_mention(tmp_path)

    with simulator:
        async with together.AsyncTogether(api_key="simulated-key-demo", base_url=simulator.url) as client:
            assert (await client.clusters.list()).clusters == []
    assert processes_that_mention(tmp_path) == []
