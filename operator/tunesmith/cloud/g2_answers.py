"""The answers of generation G2 (paths under /v1/compute) as planning's facts. Unknown fields and words pass."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from pydantic import Field

from tunesmith.cloud.shapes import Maybe, Moment, Number, Some, Text, Truth, Wire, validated
from tunesmith.planning.provider import (
    AddOn,
    AttachedVolume,
    Driver,
    InstalledComponents,
    Login,
    NodeEvent,
    PhaseTransition,
    ProviderCluster,
    ProviderNode,
    ProviderVolume,
    Region,
)

NODE_PHASE = "NODE_PHASE_"


class _Transition(Wire):
    phase: Text = None
    transition_time: Moment = None


class _Attached(Wire):
    volume_id: str
    volume_name: Text = None
    size_tib: Number = None
    status: Text = None


class _Node(Wire):
    node_id: Text = None
    host_name: Text = None
    instance_id: Text = None
    status: Text = None
    num_gpus: Number = None
    marked_for_deletion: Truth = None
    deleted_at: Moment = None
    phase_transitions: Some[_Transition] = ()


class _Event(Wire):
    node_id: Text = None
    reason: Text = None
    message: Text = None
    timestamp: Moment = None


class _Switch(Wire):
    enabled: Truth = None


class _AddOn(Wire):
    name: str
    add_on_type: Text = None
    config: Maybe[dict[str, Maybe[_Switch]]] = None


class _Config(Wire):
    load_balancer: Text = None
    ingress: Maybe[_Switch] = None
    observability: Maybe[_Switch] = None
    kubernetes_dashboard_enabled: Truth = None
    gpu_operator_version: Text = None
    network_operator_version: Text = None


class _OIDC(Wire):
    issuer_url: Text = None
    client_id: Text = None
    username_claim: Text = None
    username_prefix: Text = None
    group_claim: Text = None
    group_prefix: Text = None
    ca_cert: Text = None


class _Cluster(Wire):
    cluster_id: str = Field(min_length=1)
    cluster_name: str
    status: str | None = None
    region: str | None = None
    gpu_type: str | None = None
    num_gpus: int | None = None
    project_id: str | None = None
    billing_type: str | None = None
    cluster_type: str | None = None
    nvidia_driver_version_id: str | None = None
    cuda_version: str | None = None
    nvidia_driver_version: str | None = None
    num_reserved_gpus: int | None = None
    desired_preemptible_gpus: int | None = None
    allocated_preemptible_gpus: int | None = None
    num_capacity_pool_gpus: int | None = None
    volumes: tuple[_Attached, ...] | None = None
    capacity_pool_id: Text = None
    created_at: Moment = None
    first_ready_at: Moment = None
    reservation_start_time: Moment = None
    reservation_end_time: Moment = None
    duration_hours: Number = None
    slurm_shm_size_gib: Number = None
    oidc_config: Maybe[_OIDC] = None
    control_plane_ready: Truth = None
    phase_transitions: Some[_Transition] = ()
    gpu_worker_nodes: Some[_Node] = ()
    deleted_gpu_worker_nodes: Some[_Node] = ()
    node_lifecycle_events: Some[_Event] = ()
    cluster_config: Maybe[_Config] = None
    add_ons: Some[_AddOn] = ()
    kube_config: Text = Field(default=None, repr=False)


class _Clusters(Wire):
    clusters: tuple[_Cluster, ...]


class _Volume(Wire):
    volume_id: str = Field(min_length=1)
    volume_name: str
    size_tib: int | None = None
    status: Text = None


class _Volumes(Wire):
    volumes: tuple[_Volume, ...]


class _Driver(Wire):
    id: str = ""
    cuda_version: str = ""
    nvidia_driver_version: str = ""
    os: str = ""


class _Region(Wire):
    name: str
    supported_instance_types: tuple[str, ...] | None = None
    driver_versions: Some[_Driver] = ()


class _Regions(Wire):
    regions: tuple[_Region, ...]


def read_cluster(body: object) -> ProviderCluster:
    """One cluster. Raises `NotUnderstoodError`, as all readers do."""
    return _cluster(validated(_Cluster, body))


def read_clusters(body: object) -> tuple[ProviderCluster, ...]:
    """The list of clusters. A body without the list is not an empty list."""
    return tuple(_cluster(cluster) for cluster in validated(_Clusters, body).clusters)


def read_volume(body: object) -> ProviderVolume:
    """One shared volume."""
    return _volume(validated(_Volume, body))


def read_volumes(body: object) -> tuple[ProviderVolume, ...]:
    """The list of shared volumes. A body without the list is not an empty list."""
    return tuple(_volume(volume) for volume in validated(_Volumes, body).volumes)


def read_regions(body: object) -> tuple[Region, ...]:
    """The list of regions with their GPU types and driver catalogues."""
    return tuple(
        Region(
            name=region.name,
            gpu_types=region.supported_instance_types or (),
            drivers=tuple(
                Driver(driver.id, driver.cuda_version, driver.nvidia_driver_version, driver.os)
                for driver in region.driver_versions
                if driver is not None
            ),
        )
        for region in validated(_Regions, body).regions
    )


def _cluster(wire: _Cluster) -> ProviderCluster:
    return ProviderCluster(
        id=wire.cluster_id,
        name=wire.cluster_name,
        status=wire.status or "",
        region=wire.region or "",
        gpu_type=wire.gpu_type or "",
        gpus=(wire.num_gpus or 0) + (wire.allocated_preemptible_gpus or 0),  # provider: these come alongside
        project_id=wire.project_id or "",
        billing_type=wire.billing_type or "",
        cluster_type=wire.cluster_type or "KUBERNETES",  # provider: the type when none is given
        driver_version_id=wire.nvidia_driver_version_id or "",
        cuda_version=wire.cuda_version or "",
        driver_version=wire.nvidia_driver_version or "",
        created=wire.created_at,
        first_ready=wire.first_ready_at,
        phases=_phases(wire.phase_transitions),
        volumes=tuple(
            AttachedVolume(volume.volume_id, volume.volume_name or "", volume.size_tib or 0, volume.status or "")
            for volume in wire.volumes or ()
        ),
        kubeconfig=decoded(wire.kube_config or ""),
        reserved_gpus=wire.num_reserved_gpus or 0,
        desired_preemptible_gpus=wire.desired_preemptible_gpus or 0,
        allocated_preemptible_gpus=wire.allocated_preemptible_gpus or 0,
        capacity_pool_id=wire.capacity_pool_id or "",
        capacity_pool_gpus=wire.num_capacity_pool_gpus or 0,
        reservation_start=wire.reservation_start_time,
        reservation_end=wire.reservation_end_time,
        duration_hours=wire.duration_hours,
        slurm_shared_memory_gib=wire.slurm_shm_size_gib,
        login=Login() if wire.oidc_config is None else _login(wire.oidc_config),
        control_plane_ready=wire.control_plane_ready,
        nodes=_nodes(wire.gpu_worker_nodes),
        deleted_nodes=_nodes(wire.deleted_gpu_worker_nodes),
        events=_events(wire.node_lifecycle_events),
        components=InstalledComponents() if wire.cluster_config is None else _components(wire.cluster_config),
        add_ons=tuple(_add_on(add_on) for add_on in wire.add_ons if add_on is not None),
    )


def _phases(steps: Iterable[_Transition | None]) -> tuple[PhaseTransition, ...]:
    return tuple(
        PhaseTransition(step.phase or "", step.transition_time)
        for step in steps
        if step is not None and step.transition_time is not None
    )


def _nodes(nodes: Iterable[_Node | None]) -> tuple[ProviderNode, ...]:
    return tuple(_node(node) for node in nodes if node is not None)


def _node(wire: _Node) -> ProviderNode:
    phases = tuple(
        PhaseTransition(step.phase.removeprefix(NODE_PHASE), step.time) for step in _phases(wire.phase_transitions)
    )
    newest = max(phases, key=lambda step: step.time, default=None)
    return ProviderNode(
        id=wire.node_id or "",
        host_name=wire.host_name or "",
        instance_id=wire.instance_id or "",
        status=wire.status or "",
        phase="" if newest is None else newest.phase,
        phase_since=None if newest is None else newest.time,
        gpus=wire.num_gpus or 0,
        marked_for_deletion=wire.marked_for_deletion or False,
        phases=phases,
        deleted=wire.deleted_at,
    )


def _events(events: Iterable[_Event | None]) -> tuple[NodeEvent, ...]:
    return tuple(
        NodeEvent(event.node_id or "", event.reason or "", event.message or "", event.timestamp)
        for event in events
        if event is not None and event.timestamp is not None
    )


def _components(wire: _Config) -> InstalledComponents:
    return InstalledComponents(
        load_balancer=wire.load_balancer or None,
        ingress=None if wire.ingress is None else wire.ingress.enabled,
        observability=None if wire.observability is None else wire.observability.enabled,
        dashboard=wire.kubernetes_dashboard_enabled,
        gpu_operator_version=wire.gpu_operator_version or None,
        network_operator_version=wire.network_operator_version or None,
    )


def _login(wire: _OIDC) -> Login:
    return Login(
        issuer_url=wire.issuer_url or "",
        client_id=wire.client_id or "",
        username_claim=wire.username_claim or "",
        username_prefix=wire.username_prefix or "",
        groups_claim=wire.group_claim or "",
        groups_prefix=wire.group_prefix or "",
        ca_certificate=wire.ca_cert or "",
    )


def _add_on(wire: _AddOn) -> AddOn:
    """provider: only add-ons that are enabled are returned, so one that does not say is."""
    switches = [switch.enabled for switch in (wire.config or {}).values() if switch is not None]
    return AddOn(wire.name, wire.add_on_type or wire.name, enabled=False not in switches)


def _volume(wire: _Volume) -> ProviderVolume:
    return ProviderVolume(
        id=wire.volume_id, name=wire.volume_name, size_tib=wire.size_tib or 0, status=wire.status or "unknown"
    )


def decoded(kube_config: str) -> str:
    """provider: base64 of YAML; empty while there is none. What does not decode counts as not there yet."""
    try:
        return base64.b64decode(kube_config, validate=True).decode()
    except ValueError:  # not base64, not ASCII, or not UTF-8 behind it
        return ""
