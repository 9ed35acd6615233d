"""What can be asked of the provider: the orders, and the actions that carry them. The only actions that cost money."""

from __future__ import annotations

from dataclasses import dataclass
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
class ClusterOrder:
    """A cluster to make. The driver is named by `driver_version_id`, or by both of the other two.

    At most one of `volume_id` (an existing volume) and `new_volume` (made inline, in the same datacenter partition).
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
class ResizeCluster(Action):
    """Set the number of GPUs of a cluster. The same number twice is one purchase: the request names the target."""

    costs_money: ClassVar[bool] = True
    cluster_id: str
    gpus: int


@dataclass(frozen=True)
class DeleteCluster(Action):
    """Give a cluster back. Already gone counts as done."""

    cluster_id: str


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
CloudAction = BuyCluster | ResizeCluster | DeleteCluster | BuyVolume | ResizeVolume | DeleteVolume
