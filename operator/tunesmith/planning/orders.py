"""What can be asked of the provider: the orders, and the actions that carry them. The only actions that cost money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from tunesmith.planning.decision import Action


@dataclass(frozen=True)
class VolumeOrder:
    """A shared volume to make: alone, or inline with a cluster (then always independent of the cluster's life)."""

    name: str
    region: str
    size_tib: int
    project_id: str | None = None


@dataclass(frozen=True)
class BillingOrder:
    """How a cluster is paid. `type` is the provider's word; counts are in GPUs. None: not given."""

    type: str = "ON_DEMAND"
    duration_days: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    reserved_gpus: int | None = None
    preemptible_gpus: int | None = None
    capacity_pool_id: str | None = None
    capacity_pool_gpus: int | None = None


@dataclass(frozen=True)
class SlurmOrder:
    """Settings of a Slurm cluster."""

    shared_memory_gib: int
    image: str | None = None


@dataclass(frozen=True)
class ComponentsOrder:
    """What the provider is to install. `load_balancer` is the provider's word, such as 'TRAEFIK'; None: not given."""

    load_balancer: str | None = None
    ingress: bool | None = None
    observability: bool | None = None
    dashboard: bool | None = None
    gpu_operator_version: str | None = None
    network_operator_version: str | None = None


@dataclass(frozen=True)
class AddOnOrder:
    """An add-on that is to run, or not to run."""

    name: str
    enabled: bool = True


@dataclass(frozen=True)
class OIDCOrder:
    """How people log in."""

    issuer_url: str
    client_id: str
    username_claim: str
    username_prefix: str
    group_claim: str
    group_prefix: str
    ca_certificate: str | None = None


@dataclass(frozen=True)
class AcceptanceOrder:
    """Hardware tests before the cluster is handed over. `dcgm_level` is the provider's word without its prefix.

    `skipped` holds names of our own enumeration: DCGM, GPUBurn, NCCLSingleNode, NCCLMultiNode, Storage.
    """

    dcgm_level: str = "MEDIUM"
    gpu_burn_seconds: int | None = None
    skipped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ClusterOrder:
    """A cluster to make. The driver is named by `driver_version_id`, or by both of the other two.

    At most one of `volume_id` (an existing volume) and `new_volume` (made inline, in the same datacenter partition).
    `gpus` are those besides preemptible ones, which come alongside. `max_gpus` turns the provider's autoscaling on.
    """

    name: str
    region: str
    gpu_type: str
    gpus: int
    driver_version_id: str | None = None
    cuda_version: str | None = None
    driver_version: str | None = None
    project_id: str | None = None
    volume_id: str | None = None
    new_volume: VolumeOrder | None = None
    billing: BillingOrder = BillingOrder()
    slurm: SlurmOrder | None = None
    max_gpus: int | None = None
    components: ComponentsOrder | None = None
    add_ons: tuple[AddOnOrder, ...] = ()
    oidc: OIDCOrder | None = None
    acceptance_tests: AcceptanceOrder | None = None


@dataclass(frozen=True)
class ClusterChanges:
    """What is to be different about a bought cluster; None or empty: as it is. Counts are in GPUs.

    `gpus` are those besides preemptible ones, which the provider counts apart.
    """

    gpus: int | None = None
    reserved_gpus: int | None = None
    preemptible_gpus: int | None = None
    capacity_pool_gpus: int | None = None
    reservation_end: datetime | None = None
    components: ComponentsOrder | None = None
    add_ons: tuple[AddOnOrder, ...] = ()


@dataclass(frozen=True)
class BuyCluster(Action):
    """POST one cluster under one nonce, before `deadline` (monotonic seconds). The outcome's value is its id."""

    costs_money: ClassVar[bool] = True
    order: ClusterOrder
    nonce: str
    deadline: float

    @property
    def identity(self) -> str:
        """By nonce: a nonce is used once, so no failure of an earlier one counts against it."""
        return f"buy cluster under {self.nonce}"


@dataclass(frozen=True)
class ChangeCluster(Action):
    """Change a bought cluster. The same change twice is one purchase: the request names the target."""

    costs_money: ClassVar[bool] = True
    cluster_id: str
    changes: ClusterChanges


@dataclass(frozen=True)
class DeleteCluster(Action):
    """Give a cluster back. Already gone counts as done."""

    cluster_id: str


@dataclass(frozen=True)
class RepairNode(Action):
    """Ask the provider to repair one node. `mode` is its word without the prefix, such as 'REBOOT_VM'.

    A request that may have been heard is looked for among the cluster's remediations before another is made.
    """

    cluster_id: str
    instance_id: str
    mode: str
    reason: str


@dataclass(frozen=True)
class ApproveRemediation(Action):
    """Approve a repair that waits for it."""

    cluster_id: str
    instance_id: str
    remediation_id: str
    comment: str = ""


@dataclass(frozen=True)
class BuyVolume(Action):
    """POST one volume under one nonce, before `deadline` (monotonic seconds). The outcome's value is its id."""

    costs_money: ClassVar[bool] = True
    order: VolumeOrder
    nonce: str
    deadline: float

    @property
    def identity(self) -> str:
        """By nonce: a nonce is used once, so no failure of an earlier one counts against it."""
        return f"buy volume under {self.nonce}"


@dataclass(frozen=True)
class ResizeVolume(Action):
    """Grow a volume to a size. The request names the target, so a repeat buys nothing more."""

    costs_money: ClassVar[bool] = True
    volume_id: str
    size_tib: int


@dataclass(frozen=True)
class DeleteVolume(Action):
    """Delete a volume with all data on it. Already gone counts as done."""

    volume_id: str


PurchaseAction = BuyCluster | BuyVolume
CloudAction = (
    BuyCluster
    | ChangeCluster
    | RepairNode
    | ApproveRemediation
    | DeleteCluster
    | BuyVolume
    | ResizeVolume
    | DeleteVolume
)
