"""A cluster that was bought from the simulator, and its Kubernetes: what the tests of real clusters ask of them."""

import asyncio
import base64
from pathlib import Path
from typing import Any

from tunesmith_devcluster.kubeconfig import KubernetesApi

ORDER: dict[str, Any] = {
    "billing_type": "ON_DEMAND",
    "cluster_name": "training",
    "gpu_type": "H100_SXM",
    "num_gpus": 16,
    "region": "us-central-8",
    "cuda_version": "12.8",
    "nvidia_driver_version": "570",
    "shared_volume": {
        "region": "us-central-8",
        "size_tib": 2,
        "volume_name": "training-data",
        "is_lifecycle_independent": True,
    },
}


def processes_that_mention(directory: Path) -> list[str]:
    """Command lines of running processes that name a directory."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # the process has ended meanwhile
            continue
    return [line for line in lines if str(directory) in line]


async def until(client, cluster_id: str, condition) -> Any:
    async with asyncio.timeout(300):
        while not condition(cluster := await client.clusters.retrieve(cluster_id)):
            await asyncio.sleep(0.2)
    return cluster


def api_of(cluster: Any, directory: Path) -> KubernetesApi:
    file = directory / f"{cluster.cluster_id}.kubeconfig"
    file.write_bytes(base64.b64decode(cluster.kube_config))
    return KubernetesApi(file)


def ready_nodes(api: KubernetesApi) -> dict[str, str]:
    """Ready nodes with their allocatable GPUs."""
    return {
        node["metadata"]["name"]: node["status"]["allocatable"]["nvidia.com/gpu"]
        for node in api.get("/api/v1/nodes")["items"]
        if any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])
    }
