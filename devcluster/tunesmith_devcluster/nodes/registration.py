"""What the node tells about itself: its Node object, its conditions, its heartbeat. Builds manifests, sends nothing."""

import platform

from tunesmith_devcluster.nodes.api import Json
from tunesmith_devcluster.nodes.clock import now_micro_text, now_text
from tunesmith_devcluster.nodes.pod_object import GPU_RESOURCE
from tunesmith_devcluster.nodes.spec import NodeSpec

MOST_PODS = 110
LEASE_SECONDS = 10
_GPU_MEMORY_MIB = {"H100-80GB": 81559, "H200": 143771, "B200": 183359, "A100-SXM4-80GB": 81920, "L40S": 46068}
_GPU_FAMILIES = {"H100": "hopper", "H200": "hopper", "B200": "blackwell", "A100": "ampere", "L40S": "ada-lovelace"}
_VERSION = "v1.37.2-process"


def node_object(spec: NodeSpec) -> Json:
    """The Node to create, with the labels that GPU feature discovery sets."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": spec.name, "labels": node_labels(spec)}}


def node_labels(spec: NodeSpec) -> dict[str, str]:
    """All labels of the node; the specification's own win."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "tunesmith.dev/simulated": "true",
    }
    if spec.gpus:
        labels |= {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.count": str(spec.gpus),
            "nvidia.com/gpu.product": spec.gpu_product,
            "nvidia.com/gpu.memory": str(_by_product(_GPU_MEMORY_MIB, spec.gpu_product) or 81559),
            "nvidia.com/gpu.family": str(_by_product(_GPU_FAMILIES, spec.gpu_product) or "hopper"),
            "nvidia.com/gpu.machine": f"Process-Node-{spec.gpus}-GPU",
            "nvidia.com/gpu.replicas": "1",
            "nvidia.com/mig.capable": "false",
        }
    return labels | dict(spec.labels)


def node_status(spec: NodeSpec, *, allocatable_gpus: int, ready: bool, port: int, ready_since: str) -> Json:
    """The Node's status. Memory and CPUs are what the specification says, not what this machine has."""
    capacity = {
        "cpu": str(spec.cpus),
        "memory": f"{spec.memory_gib}Gi",
        "ephemeral-storage": "1000Gi",
        "pods": str(MOST_PODS),
    }
    allocatable = dict(capacity)
    if spec.gpus:
        capacity[GPU_RESOURCE] = str(spec.gpus)
        allocatable[GPU_RESOURCE] = str(allocatable_gpus)
    return {
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": _conditions(ready=ready, since=ready_since),
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": spec.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "machineID": spec.name,
            "systemUUID": spec.name,
            "bootID": spec.name,
            "kernelVersion": platform.release(),
            "osImage": "processes of this machine",
            "containerRuntimeVersion": "process://1",
            "kubeletVersion": _VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": node_labels(spec)["kubernetes.io/arch"],
        },
    }


def lease(spec: NodeSpec, owner_uid: str) -> Json:
    """The heartbeat."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": spec.name,
            "namespace": "kube-node-lease",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": spec.name, "uid": owner_uid}],
        },
        "spec": {
            "holderIdentity": spec.name,
            "leaseDurationSeconds": LEASE_SECONDS * 4,
            "renewTime": now_micro_text(),
        },
    }


def _conditions(*, ready: bool, since: str) -> list[Json]:
    pressure = [
        _condition(kind, "False", f"NodeHas{words}", f"the node has {words}", since)
        for kind, words in (
            ("MemoryPressure", "SufficientMemory"),
            ("DiskPressure", "NoDiskPressure"),
            ("PIDPressure", "SufficientPID"),
        )
    ]
    if ready:
        return [
            *pressure,
            _condition("Ready", "True", "KubeletReady", "the process node is posting ready status", since),
        ]
    return [*pressure, _condition("Ready", "False", "KubeletNotReady", "made not ready by command", since)]


def _condition(kind: str, status: str, reason: str, message: str, since: str) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now_text(),
        "lastTransitionTime": since,
    }


def _by_product(table: "dict[str, int] | dict[str, str]", product: str) -> int | str | None:
    return next((value for key, value in table.items() if key in product), None)
