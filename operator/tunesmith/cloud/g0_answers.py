"""The answers of generation G0 (of September 2025) as planning's facts. It says less than G2, and more freely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from tunesmith.cloud import g2_answers
from tunesmith.cloud.g0_bodies import GPU_TYPES, driver_versions
from tunesmith.cloud.shapes import NotUnderstoodError, Some, Text, Wire, validated
from tunesmith.planning.provider import Driver, ProviderCluster, ProviderVolume, Region

STATUS_WORDS = {
    "WAITING_CONTROL_PLANE": "WaitingForControlPlaneNodes",
    "WAITING_DATA_PLANE": "WaitingForDataPlaneNodes",
    "READY": "Ready",
    "DEGRADED": "Degraded",
    "PAUSED": "Paused",
    "DELETING": "Deleting",
}
"""G0's own words, in those of its successor, which `Phase` is told by. In a GET the status is a free string."""


class _Created(Wire):
    cluster_id: str = Field(min_length=1)
    status: Text = None


class _CreatedVolume(Wire):
    volume_id: str = Field(min_length=1)


class _Volume(Wire):
    volume_id: str = Field(min_length=1)
    volume_name: str
    size_tib: int | None = None
    status: Text = None


class _Region(Wire):
    name: str
    driver_versions: Some[str] = ()
    supported_instance_types: Some[str] = ()


class _Regions(Wire):
    regions: tuple[_Region, ...]


def read_created(body: object) -> tuple[str, str]:
    """A create's answer: the id, and the status. Raises `NotUnderstoodError`, as all readers do."""
    created = validated(_Created, body)
    return created.cluster_id, status_of(created.status)


def read_created_volume(body: object) -> str:
    """A volume's create: its id."""
    return validated(_CreatedVolume, body).volume_id


def read_cluster(body: object) -> ProviderCluster:
    """One cluster."""
    cluster = g2_answers.read_cluster(body)
    raw: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    name = raw.get("driver_version")
    versions = driver_versions(name) if isinstance(name, str) else None
    if versions is not None:
        cluster = replace(cluster, driver_version_id=str(name), cuda_version=versions[0], driver_version=versions[1])
    if cluster.gpu_type == "UNKNOWN_GPU_TYPE":
        cluster = replace(cluster, gpu_type="")
    kube_config = raw.get("kube_config")
    plain = kube_config if isinstance(kube_config, str) and "apiVersion" in kube_config else ""
    return replace(cluster, status=status_of(cluster.status), kubeconfig=cluster.kubeconfig or plain)


def read_clusters(body: object) -> tuple[ProviderCluster, ...]:
    """The list of clusters. A body without the list is not an empty list."""
    return tuple(read_cluster(each) for each in _listed(body, "clusters", "gpu_clusters"))


def read_volume(body: object) -> ProviderVolume:
    """One shared volume. One without a status is there, and so can be used."""
    wire = validated(_Volume, body)
    return ProviderVolume(wire.volume_id, wire.volume_name, wire.size_tib or 0, wire.status or "available")


def read_volumes(body: object) -> tuple[ProviderVolume, ...]:
    """The list of shared volumes. A body without the list is not an empty list."""
    return tuple(read_volume(each) for each in _listed(body, "volumes", "shared_volumes"))


def read_regions(body: object) -> tuple[Region, ...]:
    """The list of regions. Which GPU types a region has is not said: all that can be named may be there."""
    return tuple(
        Region(
            name=region.name,
            gpu_types=tuple(each for each in region.supported_instance_types if each) or GPU_TYPES,
            drivers=tuple(
                Driver(name, *versions)
                for name in region.driver_versions
                if name is not None and (versions := driver_versions(name)) is not None
            ),
        )
        for region in validated(_Regions, body).regions
    )


def status_of(word: str | None) -> str:
    """A status in the words that the rest of the house knows; what has no such word stays as it is."""
    return STATUS_WORDS.get(word or "", word or "")


def _listed(body: object, *names: str) -> list[object]:
    found = next((body[name] for name in names if name in body), None) if isinstance(body, Mapping) else None
    if not isinstance(found, list):
        raise NotUnderstoodError(f"the answer's '{names[0]}' is not as the API says")
    return found
