"""A whole namespace deleted at once on a real control plane: cluster, volume, job and the key that pays for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tunesmith.kube.client import Kube
from tunesmith.kube.kinds import FINE_TUNE_JOB, GPU_CLUSTER, NAMESPACE, SHARED_VOLUME, ObjectKind
from tunesmith_devcluster.cluster import Cluster
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.server import Simulator

from .test_process import a_free_port, an_operator, eventually

QUICK = {
    "allow_loopback": "true",
    "create_window_seconds": "3",
    "settle_seconds": "6",
    "absence_interval_seconds": "1",
    "save_grace_seconds": "5",
}
WHERE = {"region": "us-central-8"}
MINE = {"credentialsRef": {"name": "together"}}
TRAINS: dict[str, Any] = {
    "model": {"type": "Catalog", "catalog": {"name": "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"}},
    "weightsPath": "weights/llama",
    "dataset": {"training": {"type": "Path", "path": "rows.jsonl"}},
    "training": {"batchSize": 8, "contextLength": 512},
    "storage": {"type": "SharedVolume", "sharedVolume": {"name": "data"}},
    "resources": {"gpus": 8},
    "placement": {"type": "Cluster", "cluster": {"name": "train"}},
}


def ours(kind: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "tunesmith.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("first", [None, FINE_TUNE_JOB, GPU_CLUSTER, SHARED_VOLUME], ids=str)
async def test_a_namespace_ends_and_leaves_nothing_that_bills(
    installed: Cluster, kube: Kube, namespace: str, tmp_path: Path, first: ObjectKind | None
) -> None:
    """The bought cluster's own API is dead: the simulator stands behind it with an address that nobody answers at."""
    scenario = scenarios.named("default")
    async with Simulator(scenario.model_copy(update={"speed": 2000.0})) as provider:
        settings = {**QUICK, "base_url": f"{provider.url}/v1", "lease_name": f"end-{namespace}"}
        async with an_operator(installed, "default", "op", a_free_port(), tmp_path / "log", **settings):
            await given(kube, namespace, provider.key)

            async def bought() -> bool:
                found = await kube.get(GPU_CLUSTER, namespace, "train")
                return bool(found and (found.get("status") or {}).get("clusterID"))

            await eventually(bought)
            if first is not None:
                name = {"FineTuneJob": "tune", "GPUCluster": "train", "SharedVolume": "data"}[first.kind]
                await kube.delete(first, namespace, name)
            await kube.delete(NAMESPACE, None, namespace)
            async with asyncio.timeout(120):
                while await kube.get(NAMESPACE, None, namespace) is not None:
                    await asyncio.sleep(0.5)
        assert await what_bills(provider) == []


async def what_bills(provider: Simulator) -> list[str]:
    """The ids of what the account still has."""
    ids: list[str] = []
    headers = {"Authorization": f"Bearer {provider.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path, kind, key in (
            ("compute/clusters", "clusters", "cluster_id"),
            ("compute/clusters/storage/volumes", "volumes", "volume_id"),
        ):
            async with session.get(f"{provider.url}/v1/{path}") as response:
                assert response.status == 200
                ids += [each[key] for each in (await response.json())[kind]]
    return ids


async def given(kube: Kube, namespace: str, key: str) -> None:
    """What a team has in its namespace."""
    secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"apiKey": key}}
    await kube.create({**secret, "metadata": {"namespace": namespace, "name": "together"}})
    volume = {**WHERE, **MINE, "sizeTiB": 1, "deletionPolicy": "Delete"}
    await kube.create(ours("SharedVolume", namespace, "data", volume))
    cluster = {**WHERE, **MINE, "gpuType": "H100_SXM", "nodes": 1, "volumeRef": {"name": "data"}}
    await kube.create(ours("GPUCluster", namespace, "train", cluster))
    await kube.create(ours("FineTuneJob", namespace, "tune", TRAINS))
