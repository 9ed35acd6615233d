"""What the operator's parts are tried with on a real control plane: our kinds, a namespace, a client."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tunesmith.kube.client import Kube
from tunesmith.kube.connect import open_local
from tunesmith.kube.kinds import NAMESPACE, VOLUME
from tunesmith_devcluster import tools
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.progress import Lines

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Cluster:
    """The shared cluster, with our kinds."""
    kubectl = [str(tools.ensure(Lines(print)).kubectl), "--kubeconfig", str(cluster.kubeconfig)]
    subprocess.run([*kubectl, "apply", "--server-side", "--filename", str(ROOT / "crds")], check=True)
    wait = ["wait", "--for=condition=Established", "--timeout=60s", "--filename", str(ROOT / "crds")]
    subprocess.run([*kubectl, *wait], check=True)
    return cluster


@pytest.fixture
async def kube(installed: Cluster) -> AsyncIterator[Kube]:
    """A client as the operator has it, with an administrator's rights."""
    client = await open_local(installed.kubeconfig)
    yield client
    await client.close()


@pytest.fixture
async def namespace(kube: Kube) -> AsyncIterator[str]:
    """A namespace of the test's own."""
    name = f"core-{uuid.uuid4().hex[:6]}"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await kube.delete(NAMESPACE, None, name)


@pytest.fixture
async def restricted(kube: Kube, tmp_path: Path) -> AsyncIterator[str]:
    """A namespace under restricted pod security, with the claim `volume`."""
    name = f"jobs-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    size = {"storage": "1Gi"}
    volume = {"capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": str(tmp_path)}}
    claim = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": size},
        "volumeName": name,
        "storageClassName": "",
    }
    meta = {"name": name}
    await kube.create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": volume})
    where = {"name": "volume", "namespace": name}
    await kube.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": where, "spec": claim})
    yield name
    await kube.delete(NAMESPACE, None, name)
    await kube.delete(VOLUME, None, name)


async def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
