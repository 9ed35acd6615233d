"""Our orders as the bodies of requests in generation G0 (`/gpu_cluster`, of September 2025), or why they cannot be.

G0 knows less than our resources can say. What it cannot express is refused here, before anything is sent: a cluster
that is bought without what was asked for is the dearer answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tunesmith.cloud.shapes import without_none
from tunesmith.planning.orders import BillingOrder, ClusterChanges, ClusterOrder, VolumeOrder

GPU_TYPES = ("H100_SXM", "H200_SXM", "RTX_6000_PCI")
"""All that G0 can name; its list of regions does not say which of them a region has."""

BILLING_TYPES = ("ON_DEMAND", "RESERVED")

_DRIVER = re.compile(r"CUDA_(\d+)_(\d+)_(\d+)")


class NotExpressibleError(Exception):
    """G0 has no word for a part of the order. `field` names it as users write it."""

    def __init__(self, field: str, hint: str = "") -> None:
        super().__init__(field)
        self.field = field
        self.hint = hint


def driver_name(version_id: str | None, cuda_version: str | None, driver_version: str | None) -> str:
    """G0's word for a driver, such as 'CUDA_12_8_570' for CUDA 12.8 with driver 570. Raises `NotExpressibleError`."""
    if version_id is not None:
        if not _DRIVER.fullmatch(version_id):
            raise NotExpressibleError("spec.driver.versionID", "it names drivers like 'CUDA_12_8_570'")
        return version_id
    major_minor = re.fullmatch(r"(\d+)\.(\d+)", cuda_version or "")
    if major_minor is None or not (driver_version or "").isdecimal():
        raise NotExpressibleError("spec.driver", "it wants a CUDA version like '12.8' and a driver version like '570'")
    return f"CUDA_{major_minor[1]}_{major_minor[2]}_{driver_version}"


def driver_versions(name: str) -> tuple[str, str] | None:
    """CUDA version and driver version of G0's word for a driver; None when it is not of that form."""
    found = _DRIVER.fullmatch(name)
    return None if found is None else (f"{found[1]}.{found[2]}", found[3])


def cluster_body(order: ClusterOrder) -> dict[str, Any]:
    """The body of a cluster's create. Raises `NotExpressibleError`."""
    _refuse(
        (
            ("spec.projectID", order.project_id),
            ("spec.slurm", order.slurm),
            ("spec.maxNodes", order.max_gpus),
            ("spec.components", order.components),
            ("spec.addOns", order.add_ons),
            ("spec.oidc", order.oidc),
            ("spec.acceptanceTests", order.acceptance_tests),
        )
    )
    if order.new_volume is not None:
        # provider: without `is_lifecycle_independent`, which G0 lacks, an inline volume goes with its cluster
        raise NotExpressibleError("bindingMode: WaitForFirstCluster", "the SharedVolume needs 'Immediate'")
    if order.gpu_type not in GPU_TYPES:
        raise NotExpressibleError("spec.gpuType", f"it knows {', '.join(GPU_TYPES)}")
    return without_none(
        {
            "cluster_name": order.name,
            "cluster_type": "KUBERNETES",
            "region": order.region,
            "gpu_type": order.gpu_type,
            "num_gpus": order.gpus,
            "driver_version": driver_name(order.driver_version_id, order.cuda_version, order.driver_version),
            "volume_id": order.volume_id,
            **_billing(order.billing),
        }
    )


def changes_body(cluster_id: str, cluster_type: str, changes: ClusterChanges) -> dict[str, Any]:
    """The body of a cluster's update, with the id in it. Raises `NotExpressibleError`."""
    _refuse(
        (
            ("spec.billing.reservedNodes", changes.reserved_gpus is not None),
            ("spec.billing.preemptibleNodes", changes.preemptible_gpus is not None),
            ("spec.billing.capacityPool.nodes", changes.capacity_pool_gpus is not None),
            ("spec.billing.endTime", changes.reservation_end),
            ("spec.components", changes.components),
            ("spec.addOns", changes.add_ons),
        )
    )
    return without_none({"cluster_id": cluster_id, "cluster_type": cluster_type, "num_gpus": changes.gpus})


def volume_body(order: VolumeOrder) -> dict[str, Any]:
    """The body of a volume's create. Raises `NotExpressibleError`."""
    _refuse((("spec.projectID", order.project_id),))
    return {"volume_name": order.name, "region": order.region, "size_tib": order.size_tib}


def _billing(order: BillingOrder) -> dict[str, Any]:
    if order.type not in BILLING_TYPES:
        raise NotExpressibleError("spec.billing.type", f"it knows {', '.join(BILLING_TYPES)}")
    _refuse(
        (
            ("spec.billing.startTime", order.start),
            ("spec.billing.endTime", order.end),
            ("spec.billing.reservedNodes", order.reserved_gpus is not None),
            ("spec.billing.preemptibleNodes", order.preemptible_gpus),
            ("spec.billing.capacityPool", order.capacity_pool_id),
        )
    )
    # provider: `duration_days` is required whatever the billing; 0 says that there is no end
    return {"billing_type": order.type, "duration_days": order.duration_days or 0}


def _refuse(given: Iterable[tuple[str, object]]) -> None:
    for field, value in given:
        if value:
            raise NotExpressibleError(field)
