"""What the present dialect (``/v1/compute/...``) answers: the objects of the world in the words of the API."""

from datetime import datetime, timedelta
from typing import Any

from tunesmith_simulator.cluster_orders import AddOn, Billing
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.http.kube_configs import kube_config_for
from tunesmith_simulator.http.remediation_answers import remediation_json
from tunesmith_simulator.http.times import given_times, time_text
from tunesmith_simulator.identifiers import derived_id
from tunesmith_simulator.machines import GPUS_PER_NODE, NODE_CPUS, NODE_MEMORY_GIB, Node
from tunesmith_simulator.regions import Region
from tunesmith_simulator.volumes import Volume
from tunesmith_simulator.world import Account, World

Json = dict[str, Any]

EVENTS_KEPT = timedelta(hours=72)
"""provider: older lifecycle events are no longer told."""


def cluster_json(cluster: Cluster, world: World, account: Account, now: datetime) -> Json:
    """A cluster, whole, as ``account`` sees it at ``now``."""
    order = cluster.order
    answer: Json = {
        # provider: only add-ons that are enabled are returned
        "add_ons": [_add_on(add_on) for add_on in order.add_ons if add_on.enabled],
        "allocated_preemptible_gpus": cluster.allocated_preemptible_gpus,
        "billing_type": order.billing.value,
        "cluster_id": cluster.cluster_id,
        "cluster_name": order.name,
        "cluster_type": order.cluster_type,
        "control_plane_nodes": [_control_plane_node(node) for node in cluster.control_plane_nodes],
        "control_plane_ready": cluster.control_plane_ready,
        "created_at": time_text(cluster.created_at),
        "cuda_version": order.driver.cuda_version,
        "deleted_gpu_worker_nodes": [_gpu_node(node, cluster, world) for node in cluster.deleted_nodes],
        "desired_preemptible_gpus": order.num_preemptible_gpus,
        "gpu_type": order.gpu_type,
        "gpu_worker_nodes": [_gpu_node(node, cluster, world) for node in cluster.gpu_nodes],
        "install_traefik": order.install_traefik,
        "is_in_substrate": True,
        "kube_config": kube_config_for(cluster, account),
        "node_lifecycle_events": [
            {
                "message": event.message,
                "node_id": event.host_name,
                "reason": event.reason,
                "timestamp": time_text(event.time),
            }
            for event in cluster.events
            if event.time > now - EVENTS_KEPT
        ],
        "machine_cluster_id": derived_id(cluster.cluster_id, "machines"),
        "num_capacity_pool_gpus": order.num_capacity_pool_gpus,
        "num_cpu_workers": 0,
        "num_gpus": cluster.num_gpus,
        "num_reserved_gpus": order.num_reserved_gpus,
        "nvidia_driver_version": order.driver.nvidia_driver_version,
        "nvidia_driver_version_id": order.driver.version_id,
        "os_image": order.driver.os,
        "phase_transitions": [
            {"phase": step.phase.value, "transition_time": time_text(step.time)} for step in cluster.history
        ],
        "project_id": order.project_id,
        "region": order.region,
        "status": cluster.status,
        "ums_org_id": f"org-{account.organization}",
        "ums_project_id": order.project_id,
        "volumes": [volume_json(world.volumes[cluster.volume_id])] if cluster.volume_id else [],
    }
    return answer | _said_only_when_known(cluster)


def volume_json(volume: Volume) -> Json:
    """A volume: the API tells neither its region nor what it is bound to."""
    return {
        "size_tib": volume.size_tib,
        "status": volume.status.value,
        "volume_id": volume.volume_id,
        "volume_name": volume.name,
    }


def region_json(region: Region) -> Json:
    """A region: neither price nor stock is told."""
    return {
        "name": region.name,
        "supported_instance_types": list(region.gpu_types),
        "driver_versions": [
            {
                "id": driver.version_id,
                "cuda_version": driver.cuda_version,
                "nvidia_driver_version": driver.nvidia_driver_version,
                "os": driver.os,
            }
            for driver in region.drivers
        ],
    }


def _said_only_when_known(cluster: Cluster) -> Json:
    order = cluster.order
    optional: Json = {
        "capacity_pool_id": order.capacity_pool_id,
        "cluster_config": order.cluster_config,
        "duration_hours": order.duration_days * 24 if order.duration_days else None,
        "first_ready_at": time_text(cluster.first_ready_at) if cluster.first_ready_at else None,
        "oidc_config": order.oidc_config,
        "slurm_shm_size_gib": order.slurm_shm_size_gib,
    }
    if order.billing is not Billing.ON_DEMAND:
        starts_at = order.starts_at or cluster.created_at
        optional["reservation_start_time"] = time_text(starts_at)
        optional["reservation_end_time"] = time_text(cluster.ends_at) if cluster.ends_at else None
    return {key: value for key, value in optional.items() if value is not None}


def _add_on(add_on: AddOn) -> Json:
    return {
        "add_on_type": add_on.kind,
        "config": dict(add_on.config),
        "name": add_on.name,
        "state": {add_on.kind: {}},
    }


def _control_plane_node(node: Node) -> Json:
    return {
        "host_name": node.host_name,
        "memory_gib": 64,
        "network": "10.0.0.0/24",
        "node_id": node.node_id,
        "num_cpu_cores": 16,
        "phase_transitions": _node_history(node),
        "status": node.phase.status,
    }


def _gpu_node(node: Node, cluster: Cluster, world: World) -> Json:
    latest = max(
        (each for each in world.remediations.values() if each.instance_id == node.instance_id),
        key=lambda each: each.created_at,
        default=None,
    )
    answer: Json = {
        "auto_remediation_enabled": world.repair_policy.proposes,
        "ephemeral_storage": "10Ti",
        "host_name": node.host_name,
        "ib_hca_count": GPUS_PER_NODE,
        "ib_hca_type": "mlx5_ib",
        "instance_id": node.instance_id,
        "marked_for_deletion": node.marked_for_deletion,
        "memory_gib": NODE_MEMORY_GIB,
        "networks": ["10.0.0.0/24"],
        "node_id": node.node_id,
        "num_cpu_cores": NODE_CPUS,
        "num_gpus": node.num_gpus,
        "nvswitch_count": 4,
        "nvswitch_type": "NVSwitch",
        "phase_transitions": _node_history(node),
        "status": node.phase.status,
    }
    if latest is not None:
        answer["latest_remediation"] = remediation_json(latest, world)
    if cluster.order.cluster_type == "SLURM":
        answer["slurm_worker_hostname"] = f"{node.host_name}.slurm-compute.slurm"
    return answer | given_times(deleted_at=node.deleted_at)


def _node_history(node: Node) -> list[Json]:
    return [{"phase": step.phase.value, "transition_time": time_text(step.time)} for step in node.history]
