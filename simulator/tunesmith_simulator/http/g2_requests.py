"""What clients may send in the present dialect (``/v1/compute/...``), checked strictly: unknown fields are refused."""

from typing import Literal

from tunesmith_simulator.http.bodies import Sent, Time
from tunesmith_simulator.scenario import GpuType


class _Enabled(Sent):
    enabled: bool | None = None


class _StartupScripts(Sent):
    controller_epilog: str | None = None
    controller_prolog: str | None = None
    extra_slurm_conf: str | None = None
    login_init_script: str | None = None
    nodeset_init_script: str | None = None
    worker_epilog: str | None = None
    worker_prolog: str | None = None


class ClusterConfig(Sent):
    """The components that the provider installs."""

    load_balancer: Literal["NONE", "TRAEFIK", "NGINX", "ISTIO"]
    gpu_operator_version: str | None = None
    ingress: _Enabled | None = None
    jumphost_enabled: bool | None = None
    kubernetes_dashboard_enabled: bool | None = None
    network_operator_version: str | None = None
    observability: _Enabled | None = None
    slurm_startup_scripts: _StartupScripts | None = None
    ssh_ca_enabled: bool | None = None


class AddOnConfig(Sent):
    """An add-on's settings."""

    dashboard: _Enabled | None = None
    headlamp: _Enabled | None = None
    ingress: _Enabled | None = None
    slurm_web: _Enabled | None = None


class NewAddOn(Sent):
    """An add-on of a new cluster."""

    add_on_type: str
    name: str
    config: AddOnConfig | None = None


class ChangedAddOn(Sent):
    """A change to an add-on, which is named."""

    name: str
    config: AddOnConfig | None = None


class OidcConfig(Sent):
    """People's access to the cluster."""

    client_id: str
    group_claim: str
    group_prefix: str
    issuer_url: str
    username_claim: str
    username_prefix: str
    ca_cert: str | None = None


class AcceptanceTests(Sent):
    """The tests before Ready."""

    dcgm_diag_level: (
        Literal["DCGM_DIAG_LEVEL_SHORT", "DCGM_DIAG_LEVEL_MEDIUM", "DCGM_DIAG_LEVEL_LONG", "DCGM_DIAG_LEVEL_EXTENDED"]
        | None
    ) = None
    dcgm_diag_skipped: bool | None = None
    enabled: bool | None = None
    gpu_burn_duration: int | None = None
    gpu_burn_skipped: bool | None = None
    nccl_multi_node_skipped: bool | None = None
    nccl_single_node_skipped: bool | None = None
    storage_skipped: bool | None = None


class VolumeCreate(Sent):
    """A volume, made alone or inline with a cluster."""

    region: str
    size_tib: int
    volume_name: str
    instance_cluster_id: str | None = None
    is_lifecycle_independent: bool | None = None
    project_id: str | None = None


class VolumeUpdate(Sent):
    """A volume's new size; its id is in the body."""

    volume_id: str
    size_tib: int | None = None


class ClusterCreate(Sent):
    """A new cluster."""

    billing_type: Literal["RESERVED", "ON_DEMAND", "SCHEDULED_CAPACITY"]
    cluster_name: str
    gpu_type: GpuType
    num_gpus: int
    region: str
    acceptance_tests_params: AcceptanceTests | None = None
    add_ons: list[NewAddOn] | None = None
    auto_scale: bool | None = None
    auto_scale_max_gpus: int | None = None
    capacity_pool_id: str | None = None
    cluster_config: ClusterConfig | None = None
    cluster_type: Literal["KUBERNETES", "SLURM"] | None = None
    cuda_version: str | None = None
    duration_days: int | None = None
    install_traefik: bool | None = None
    num_capacity_pool_gpus: int | None = None
    num_preemptible_gpus: int | None = None
    num_reserved_gpus: int | None = None
    nvidia_driver_version: str | None = None
    nvidia_version_id: str | None = None
    oidc_config: OidcConfig | None = None
    project_id: str | None = None
    reservation_end_time: Time | None = None
    reservation_start_time: Time | None = None
    shared_volume: VolumeCreate | None = None
    slurm_image: str | None = None
    slurm_shm_size_gib: int | None = None
    volume_id: str | None = None


class ClusterUpdate(Sent):
    """A change to a cluster; what is absent stays."""

    add_ons: list[ChangedAddOn] | None = None
    cluster_config: ClusterConfig | None = None
    cluster_type: Literal["KUBERNETES", "SLURM"] | None = None
    num_capacity_pool_gpus: int | None = None
    num_gpus: int | None = None
    num_preemptible_gpus: int | None = None
    num_reserved_gpus: int | None = None
    reservation_end_time: Time | None = None
