"""`/scale` on a real API server: it moves `spec.nodes`, and the provider is asked for the size that stands there then.

An adopted cluster without `nodes` has none, because no size is wanted of it.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.tunesmith.planning.cluster_builders import (
    NOW,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
)

from tunesmith.kube.client import Kube
from tunesmith.kube.kinds import GPU_CLUSTER
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.orders import ChangeCluster, ClusterChanges
from tunesmith.resources.timestamps import format_time
from tunesmith_devcluster import tools
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.progress import Lines


def an_adopter(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name}
    body = {"adopt": {"clusterName": "theirs"}, **spec}
    return {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": metadata, "spec": body}


def kubectl(installed: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(tools.ensure(Lines(print)).kubectl), "--kubeconfig", str(installed.kubeconfig), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def asked_for(spec: dict[str, Any], *, present: int) -> list[ClusterChanges]:
    """What the provider of a cluster of so many nodes is asked for; the last of them is idle and ready to go."""
    going = {"name": f"node-{present}", "reason": "ScaleDown", "time": format_time(NOW - timedelta(minutes=1))}
    surplus = [going] if spec["nodes"] < present else []
    resource = a_cluster_resource(status=bought_status(leavingNodes=surplus), **spec)
    view = a_view(a_provider_cluster(gpus=8 * present))
    seen = a_running_cluster(resource=resource, view=view)
    left = tuple(NodeFact(f"node-{number}", gpus=8) for number in range(1, present))
    last = NodeFact(f"node-{present}", gpus=8, cordoned_for="ScaleDown" if surplus else "")
    seen = replace(seen, nodes=replace(seen.nodes, value=(*left, last)))
    return [each.changes for each in decide(seen).actions if isinstance(each, ChangeCluster)]


async def test_a_size_that_is_written_through_scale_is_the_one_that_is_bought_up_and_down(
    installed: Cluster, kube: Kube, namespace: str
) -> None:
    spec = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 2}
    metadata = {"namespace": namespace, "name": "train"}
    cluster = {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": metadata, "spec": spec}
    await kube.create(cluster)
    present = 2
    for wanted in (3, 2):
        scaled = kubectl(installed, "-n", namespace, "scale", "gpuclusters/train", f"--replicas={wanted}")
        assert scaled.returncode == 0, scaled.stderr
        written = await kube.get(GPU_CLUSTER, namespace, "train")
        assert written is not None
        assert written["spec"]["nodes"] == wanted
        assert asked_for(written["spec"], present=present) == [ClusterChanges(gpus=8 * wanted)]
        present = wanted


async def test_an_adopted_cluster_can_be_scaled_only_when_its_spec_says_a_size(
    installed: Cluster, kube: Kube, namespace: str
) -> None:
    await kube.create(an_adopter(namespace, "unsized"))
    await kube.create(an_adopter(namespace, "sized", nodes=2))

    def scale_of(name: str) -> subprocess.CompletedProcess[str]:
        path = f"/apis/tunesmith.dev/v1alpha1/namespaces/{namespace}/gpuclusters/{name}/scale"
        return kubectl(installed, "get", "--raw", path)

    assert scale_of("unsized").returncode != 0
    assert '"replicas":2' in scale_of("sized").stdout
