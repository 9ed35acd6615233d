"""What the dialect of September 2025 (``/gpu_cluster``) answers. What its words cannot say is told as unknown."""

from typing import Any, get_args

from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.http.g0_requests import DriverWord, GpuWord
from tunesmith_simulator.machines import NODE_CPUS, NODE_MEMORY_GIB, Node
from tunesmith_simulator.phases import ClusterPhase
from tunesmith_simulator.regions import BARE_CUDA_OS, Driver, Region
from tunesmith_simulator.volumes import Volume
from tunesmith_simulator.world import World

Json = dict[str, Any]

_STATUS_WORDS = {
    ClusterPhase.SCHEDULED: "QUEUED",
    ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES: "WAITING_CONTROL_PLANE",
    ClusterPhase.READY: "READY",
    ClusterPhase.DEGRADED: "READY",
    ClusterPhase.DELETING: "UNKNOWN_STATUS",
}
"""The status in the answer to a create or an update; every other phase waits for the data plane."""


def short_cluster_json(cluster: Cluster) -> Json:
    """The answer to a create or an update."""
    return {"cluster_id": cluster.cluster_id, "status": _STATUS_WORDS.get(cluster.phase, "WAITING_DATA_PLANE")}


def cluster_json(cluster: Cluster, world: World, kube_config: str) -> Json:
    """A cluster, whole. Its status is a free string: the word of the present dialect."""
    order = cluster.order
    volume = world.volumes.get(cluster.volume_id or "")
    return {
        "cluster_id": cluster.cluster_id,
        "cluster_name": order.name,
        "cluster_type": order.cluster_type,
        "control_plane_nodes": [_control_plane_node(node) for node in cluster.control_plane_nodes],
        "driver_version": driver_word(order.driver) or "UNKNOWN_DRIVER",
        "duration_hours": (order.duration_days or 0) * 24,
        "gpu_type": order.gpu_type if order.gpu_type in get_args(GpuWord) else "UNKNOWN_GPU_TYPE",
        "gpu_worker_nodes": [_gpu_node(node) for node in cluster.gpu_nodes],
        "kube_config": kube_config,
        "num_gpus": cluster.num_gpus,
        "region": order.region,
        "status": cluster.status,
        "volumes": [volume_json(volume) | {"status": volume.status.value}] if volume else [],
    }


def volume_json(volume: Volume) -> Json:
    """A volume; this dialect tells no status of it."""
    return {"size_tib": volume.size_tib, "volume_id": volume.volume_id, "volume_name": volume.name}


def region_json(region: Region) -> Json:
    """A region: neither GPU types nor price nor stock are told, and only drivers that this dialect has words for."""
    words = [driver_word(driver) for driver in region.drivers]
    return {
        "id": region.name,
        "name": region.name,
        "availability_zones": sorted({region.cluster_partition, region.volume_partition}),
        "driver_versions": [word for word in words if word],
    }


def driver_word(driver: Driver) -> str | None:
    """The word for a driver; None when there is none."""
    word = f"CUDA_{driver.cuda_version.replace('.', '_')}_{driver.nvidia_driver_version}"
    return word if driver.os == BARE_CUDA_OS and word in get_args(DriverWord) else None


def _node(node: Node) -> Json:
    return {
        "host_name": node.host_name,
        "node_id": node.node_id,
        "node_name": node.host_name,
        "status": node.phase.status,
    }


def _control_plane_node(node: Node) -> Json:
    return _node(node) | {"memory_gib": 64, "network": "10.0.0.0/24", "num_cpu_cores": 16}


def _gpu_node(node: Node) -> Json:
    return _node(node) | {
        "memory_gib": NODE_MEMORY_GIB,
        "networks": ["10.0.0.0/24"],
        "num_cpu_cores": NODE_CPUS,
        "num_gpus": node.num_gpus,
    }
