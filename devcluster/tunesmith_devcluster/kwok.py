"""Fake nodes at scale: Node objects with GPUs that kwok keeps Ready and whose pods it plays by its own stage rules.

Nothing runs on them; for that there are process nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tunesmith_devcluster.kubeconfig import KubernetesApi
from tunesmith_devcluster.nodes.spec import NodeSpec

STAGES = Path(__file__).with_name("kwok-stages.yaml")
LABEL = "type"
LABEL_VALUE = "kwok"


def command(program: Path, kubeconfig: Path, *, lease_seconds: int) -> Sequence[str | Path]:
    """kwok's command line: it manages the nodes made here and no others."""
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        f"--config={STAGES}",
        "--v=WARN",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-label-selector={LABEL}={LABEL_VALUE}",
        # Renewed every quarter of it; must not be longer than the time after which a silent node counts as dead.
        f"--node-lease-duration-seconds={lease_seconds}",
    ]


def add_nodes(api: KubernetesApi, specs: Iterable[NodeSpec]) -> None:
    """Make these fake nodes; kwok, once started, makes and keeps them Ready."""
    for spec in specs:
        node = node_object(spec)
        api.post("/api/v1/nodes", node)
        api.merge_patch(f"/api/v1/nodes/{spec.name}/status", {"status": node["status"]})


def node_object(spec: NodeSpec) -> dict[str, Any]:
    """The Node as a kubelet and GPU feature discovery would make it, but for its conditions."""
    capacity = {
        "cpu": str(spec.cpus),
        "memory": f"{spec.memory_gib}Gi",
        "pods": "110",
        "nvidia.com/gpu": str(spec.gpus),
    }
    labels = {
        LABEL: LABEL_VALUE,
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(spec.gpus),
        "nvidia.com/gpu.product": spec.gpu_product,
        "tunesmith.dev/simulated": "true",
        **spec.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
