"""`/scale` on a real API server: an adopted cluster without `nodes` has none, because no size is wanted of it."""

from __future__ import annotations

import subprocess
from typing import Any

from tunesmith.kube.client import Kube
from tunesmith_devcluster import tools
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.progress import Lines


def an_adopter(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name}
    body = {"adopt": {"clusterName": "theirs"}, **spec}
    return {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": metadata, "spec": body}


async def test_an_adopted_cluster_can_be_scaled_only_when_its_spec_says_a_size(
    installed: Cluster, kube: Kube, namespace: str
) -> None:
    await kube.create(an_adopter(namespace, "unsized"))
    await kube.create(an_adopter(namespace, "sized", nodes=2))

    def scale_of(name: str) -> subprocess.CompletedProcess[str]:
        kubectl = [str(tools.ensure(Lines(print)).kubectl), "--kubeconfig", str(installed.kubeconfig)]
        path = f"/apis/tunesmith.dev/v1alpha1/namespaces/{namespace}/gpuclusters/{name}/scale"
        command = [*kubectl, "get", "--raw", path]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    assert scale_of("unsized").returncode != 0
    assert '"replicas":2' in scale_of("sized").stdout
