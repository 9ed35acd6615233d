"""Our orders as the bodies of requests in generation G2 (paths under /v1/compute). What is not given is not sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tunesmith.cloud.shapes import without_none
from tunesmith.planning.orders import (
    AcceptanceOrder,
    AddOnOrder,
    BillingOrder,
    ClusterChanges,
    ClusterOrder,
    ComponentsOrder,
    OIDCOrder,
    VolumeOrder,
)

SKIP_FIELDS = {
    "DCGM": "dcgm_diag_skipped",
    "GPUBurn": "gpu_burn_skipped",
    "NCCLSingleNode": "nccl_single_node_skipped",
    "NCCLMultiNode": "nccl_multi_node_skipped",
    "Storage": "storage_skipped",
}


def cluster_body(order: ClusterOrder) -> dict[str, Any]:
    """The body of a cluster's create."""
    body: dict[str, Any] = {
        "cluster_name": order.name,
        "cluster_type": "KUBERNETES" if order.slurm is None else "SLURM",
        "region": order.region,
        "gpu_type": order.gpu_type,
        "num_gpus": order.gpus,
        "nvidia_version_id": order.driver_version_id,
        "cuda_version": order.cuda_version,
        "nvidia_driver_version": order.driver_version,
        "project_id": order.project_id,
        "volume_id": order.volume_id,
        "shared_volume": None if order.new_volume is None else volume_body(order.new_volume),
        "auto_scale": None if order.max_gpus is None else True,
        "auto_scale_max_gpus": order.max_gpus,
        "slurm_shm_size_gib": None if order.slurm is None else order.slurm.shared_memory_gib,
        "slurm_image": None if order.slurm is None else order.slurm.image,
        "cluster_config": None if order.components is None else components_body(order.components),
        "add_ons": [_new_add_on(each) for each in order.add_ons] or None,
        "oidc_config": None if order.oidc is None else _oidc(order.oidc),
        "acceptance_tests_params": None if order.acceptance_tests is None else _tests(order.acceptance_tests),
    }
    return without_none(body | _billing(order.billing))


def changes_body(changes: ClusterChanges) -> dict[str, Any]:
    """The body of a cluster's update. What is not given stays as it is; add-ons are merged by name."""
    body: dict[str, Any] = {
        "num_gpus": changes.gpus,
        "num_reserved_gpus": changes.reserved_gpus,
        "num_preemptible_gpus": changes.preemptible_gpus,
        "num_capacity_pool_gpus": changes.capacity_pool_gpus,
        "reservation_end_time": _time(changes.reservation_end),
        "cluster_config": None if changes.components is None else components_body(changes.components),
        "add_ons": [_changed_add_on(each) for each in changes.add_ons] or None,
    }
    return without_none(body)


def volume_body(order: VolumeOrder) -> dict[str, Any]:
    """The body of a volume's create, alone or inline. Never removed with a cluster: its data outlives it."""
    return without_none(
        {
            "volume_name": order.name,
            "region": order.region,
            "size_tib": order.size_tib,
            "is_lifecycle_independent": True,
            "project_id": order.project_id,
        }
    )


def components_body(order: ComponentsOrder) -> dict[str, Any]:
    """What the provider is to install. provider: the load balancer is required whenever the object is given."""
    return without_none(
        {
            "load_balancer": order.load_balancer or "NONE",
            "ingress": _enabled(order.ingress),
            "observability": _enabled(order.observability),
            "kubernetes_dashboard_enabled": order.dashboard,
            "gpu_operator_version": order.gpu_operator_version,
            "network_operator_version": order.network_operator_version,
        }
    )


def remediation_body(mode: str, reason: str) -> dict[str, Any]:
    """The body of a repair's create."""
    return {"mode": f"REMEDIATION_MODE_{mode}", "reason": reason}


def _billing(order: BillingOrder) -> dict[str, Any]:
    return {
        "billing_type": order.type,
        "duration_days": order.duration_days,
        "reservation_start_time": _time(order.start),
        "reservation_end_time": _time(order.end),
        "num_reserved_gpus": order.reserved_gpus,
        "num_preemptible_gpus": order.preemptible_gpus,
        "num_capacity_pool_gpus": order.capacity_pool_gpus,
        "capacity_pool_id": order.capacity_pool_id,
    }


def _new_add_on(order: AddOnOrder) -> dict[str, Any]:
    """provider: the official command line sends the name as the type too."""
    return {"add_on_type": order.name, **_changed_add_on(order)}


def _changed_add_on(order: AddOnOrder) -> dict[str, Any]:
    return {"name": order.name, "config": {order.name: {"enabled": order.enabled}}}


def _oidc(order: OIDCOrder) -> dict[str, Any]:
    return without_none(
        {
            "issuer_url": order.issuer_url,
            "client_id": order.client_id,
            "username_claim": order.username_claim,
            "username_prefix": order.username_prefix,
            "group_claim": order.group_claim,
            "group_prefix": order.group_prefix,
            "ca_cert": order.ca_certificate,
        }
    )


def _tests(order: AcceptanceOrder) -> dict[str, Any]:
    skipped = {field: True for test, field in sorted(SKIP_FIELDS.items()) if test in order.skipped}
    return without_none(
        {
            "enabled": True,
            "dcgm_diag_level": f"DCGM_DIAG_LEVEL_{order.dcgm_level}",
            "gpu_burn_duration": order.gpu_burn_seconds,
            **skipped,
        }
    )


def _enabled(wanted: bool | None) -> dict[str, bool] | None:
    return None if wanted is None else {"enabled": wanted}


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
