"""Faults of a cluster that is really there: GPUs that do not show, nodes that stand still, a certificate that ends."""

import asyncio
import base64
import time

import yaml
from cryptography import x509
from tests.integration.simulator.bought import ORDER, api_of, ready_nodes, until

from tunesmith_devcluster.errors import DevclusterError
from tunesmith_simulator import happenings as happen
from tunesmith_simulator.admin_client import AdminClient
from tunesmith_simulator.courses import ClusterCourse

PLAIN = {key: value for key, value in ORDER.items() if key != "shared_volume"}


async def shown(api, nodes: dict[str, str]) -> None:
    """Wait until Kubernetes shows these Ready nodes with these GPUs."""
    async with asyncio.timeout(120):
        while ready_nodes(api) != nodes:
            await asyncio.sleep(0.2)


async def test_missing_gpus_pauses_and_ends_of_certificates_show_in_kubernetes(simulator, client, tmp_path):
    admin = AdminClient(simulator.url)
    course = happen.TakeCourse(course=ClusterCourse(cluster_name="training", missing_gpus={0: 3}))
    await asyncio.to_thread(admin.happen, course)
    made = await client.clusters.create(**PLAIN)
    cluster = await until(client, made.cluster_id, lambda seen: seen.status == "Ready")
    first, second = (node.host_name for node in cluster.gpu_worker_nodes)
    with api_of(cluster, tmp_path) as api:
        await shown(api, {first: "5", second: "8"})
        assert [node.num_gpus for node in cluster.gpu_worker_nodes] == [8, 8]

        await asyncio.to_thread(admin.happen, happen.LoseGpus(cluster="training", node=1, count=1))
        await asyncio.to_thread(admin.happen, happen.LoseGpus(cluster="training", node=0, count=0))
        await shown(api, {first: "8", second: "7"})

        await asyncio.to_thread(admin.happen, happen.Credit(project="proj-demo", has_credit=False))
        await shown(api, {})
        await asyncio.to_thread(admin.happen, happen.Credit(project="proj-demo", has_credit=True))
        await shown(api, {first: "8", second: "7"})

    await asyncio.to_thread(admin.renew_certificate, cluster.cluster_id, valid_seconds=6)
    renewed = await client.clusters.retrieve(cluster.cluster_id)
    user = yaml.safe_load(base64.b64decode(renewed.kube_config))["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    with api_of(renewed, tmp_path) as api:
        assert api.is_ready()
        await asyncio.sleep(max(0, certificate.not_valid_after_utc.timestamp() - time.time()) + 1)
        assert not await asyncio.to_thread(_accepted, api)


def _accepted(api) -> bool:
    """Whether the API server still takes the certificate."""
    try:
        return api.exists("/api/v1/namespaces/default")
    except DevclusterError as refused:
        assert "401" in str(refused)
        return False
