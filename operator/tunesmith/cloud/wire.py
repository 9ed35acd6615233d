"""The provider's JSON, read tolerantly: unknown fields and words pass, but an object without id or name does not.

Translates the wire into planning's facts and orders into the wire (generation G2, paths under /v1/compute).
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tunesmith.planning.orders import AddOnOrder, ClusterChanges, ClusterOrder, ComponentsOrder, VolumeOrder
from tunesmith.planning.provider import (
    AttachedVolume,
    Driver,
    PhaseTransition,
    ProviderCluster,
    ProviderVolume,
    Region,
)

Model = TypeVar("Model", bound=BaseModel)


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)


class _Transition(_Wire):
    phase: str = ""
    transition_time: datetime | None = None


class _Attached(_Wire):
    volume_id: str
    volume_name: str = ""
    size_tib: int = 0
    status: str = ""


class _Cluster(_Wire):
    cluster_id: str = Field(min_length=1)
    cluster_name: str
    status: str | None = None
    region: str | None = None
    gpu_type: str | None = None
    num_gpus: int | None = None
    project_id: str | None = None
    billing_type: str | None = None
    nvidia_driver_version_id: str | None = None
    cuda_version: str | None = None
    nvidia_driver_version: str | None = None
    created_at: datetime | None = None
    phase_transitions: tuple[_Transition, ...] | None = None
    volumes: tuple[_Attached, ...] | None = None
    kube_config: str | None = Field(default=None, repr=False)

    @field_validator("created_at", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None


class _Clusters(_Wire):
    clusters: tuple[_Cluster, ...]


class _Volume(_Wire):
    volume_id: str = Field(min_length=1)
    volume_name: str
    size_tib: int | None = None
    status: str | None = None


class _Volumes(_Wire):
    volumes: tuple[_Volume, ...]


class _Driver(_Wire):
    id: str = ""
    cuda_version: str = ""
    nvidia_driver_version: str = ""
    os: str = ""


class _Region(_Wire):
    name: str
    supported_instance_types: tuple[str, ...] | None = None
    driver_versions: tuple[_Driver, ...] | None = None


class _Regions(_Wire):
    regions: tuple[_Region, ...]


class NotUnderstoodError(Exception):
    """An answer that does not have the shape it must have. It proves nothing, least of all that something is gone."""


def read_cluster(body: object) -> ProviderCluster:
    """One cluster."""
    return _cluster(_validated(_Cluster, body))


def read_clusters(body: object) -> tuple[ProviderCluster, ...]:
    """The list of clusters. A body without the list is not an empty list."""
    return tuple(_cluster(cluster) for cluster in _validated(_Clusters, body).clusters)


def read_volume(body: object) -> ProviderVolume:
    """One shared volume."""
    return _volume(_validated(_Volume, body))


def read_volumes(body: object) -> tuple[ProviderVolume, ...]:
    """The list of shared volumes. A body without the list is not an empty list."""
    return tuple(_volume(volume) for volume in _validated(_Volumes, body).volumes)


def read_regions(body: object) -> tuple[Region, ...]:
    """The list of regions with their GPU types and driver catalogues."""
    return tuple(
        Region(
            name=region.name,
            gpu_types=region.supported_instance_types or (),
            drivers=tuple(
                Driver(driver.id, driver.cuda_version, driver.nvidia_driver_version, driver.os)
                for driver in region.driver_versions or ()
            ),
        )
        for region in _validated(_Regions, body).regions
    )


def cluster_body(order: ClusterOrder) -> dict[str, Any]:
    """The body of a cluster's create. Only OnDemand billing and Kubernetes are bought."""
    body: dict[str, Any] = {
        "billing_type": "ON_DEMAND",
        "cluster_type": "KUBERNETES",
        "cluster_name": order.name,
        "region": order.region,
        "gpu_type": order.gpu_type,
        "num_gpus": order.gpus,
        "nvidia_version_id": order.driver_version_id,
        "cuda_version": order.cuda_version,
        "nvidia_driver_version": order.driver_version,
        "project_id": order.project_id,
        "volume_id": order.volume_id,
        "shared_volume": volume_body(order.new_volume) if order.new_volume is not None else None,
    }
    return _without_none(body)


def changes_body(changes: ClusterChanges) -> dict[str, Any]:
    """The body of a cluster's update. What is not given stays as it is."""
    body: dict[str, Any] = {
        "num_gpus": changes.gpus,
        "num_reserved_gpus": changes.reserved_gpus,
        "num_preemptible_gpus": changes.preemptible_gpus,
        "num_capacity_pool_gpus": changes.capacity_pool_gpus,
        "reservation_end_time": changes.reservation_end.isoformat() if changes.reservation_end is not None else None,
        "cluster_config": _components(changes.components),
        "add_ons": [_add_on(each) for each in changes.add_ons] or None,
    }
    return _without_none(body)


def volume_body(order: VolumeOrder) -> dict[str, Any]:
    """The body of a volume's create, alone or inline. Never removed with a cluster: its data outlives it."""
    return _without_none(
        {
            "volume_name": order.name,
            "region": order.region,
            "size_tib": order.size_tib,
            "is_lifecycle_independent": True,
            "project_id": order.project_id,
        }
    )


def _components(order: ComponentsOrder | None) -> dict[str, Any] | None:
    if order is None:
        return None
    return _without_none(
        {
            "load_balancer": order.load_balancer or "NONE",  # provider: required whenever the object is given
            "ingress": None if order.ingress is None else {"enabled": order.ingress},
            "observability": None if order.observability is None else {"enabled": order.observability},
            "kubernetes_dashboard_enabled": order.dashboard,
            "gpu_operator_version": order.gpu_operator_version,
            "network_operator_version": order.network_operator_version,
        }
    )


def _add_on(order: AddOnOrder) -> dict[str, Any]:
    """provider: the official command line sends the name as the type too."""
    return {"add_on_type": order.name, "name": order.name, "config": {order.name: {"enabled": order.enabled}}}


def _cluster(wire: _Cluster) -> ProviderCluster:
    return ProviderCluster(
        id=wire.cluster_id,
        name=wire.cluster_name,
        status=wire.status or "",
        region=wire.region or "",
        gpu_type=wire.gpu_type or "",
        gpus=wire.num_gpus or 0,
        project_id=wire.project_id or "",
        billing_type=wire.billing_type or "",
        driver_version_id=wire.nvidia_driver_version_id or "",
        cuda_version=wire.cuda_version or "",
        driver_version=wire.nvidia_driver_version or "",
        created=_utc(wire.created_at),
        phases=tuple(
            PhaseTransition(step.phase, time)
            for step in wire.phase_transitions or ()
            if (time := _utc(step.transition_time)) is not None
        ),
        volumes=tuple(
            AttachedVolume(volume.volume_id, volume.volume_name, volume.size_tib, volume.status)
            for volume in wire.volumes or ()
        ),
        kubeconfig=_decoded(wire.kube_config or ""),
    )


def _volume(wire: _Volume) -> ProviderVolume:
    return ProviderVolume(
        id=wire.volume_id, name=wire.volume_name, size_tib=wire.size_tib or 0, status=wire.status or "unknown"
    )


def _decoded(kube_config: str) -> str:
    """provider: base64 of YAML; empty while there is none. What does not decode counts as not there yet."""
    try:
        return base64.b64decode(kube_config, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _utc(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _validated(model: type[Model], body: object) -> Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise NotUnderstoodError(f"the answer's '{where}' is not as the API says") from None
