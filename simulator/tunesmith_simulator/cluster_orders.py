"""What a customer asked for: the order behind a cluster, checked and complete. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tunesmith_simulator.regions import Driver


class Billing(StrEnum):
    """How a cluster is paid for."""

    RESERVED = "RESERVED"
    ON_DEMAND = "ON_DEMAND"
    SCHEDULED_CAPACITY = "SCHEDULED_CAPACITY"


@dataclass(frozen=True, slots=True)
class AddOn:
    """An add-on of a cluster; ``config`` is kept as it was asked for."""

    kind: str
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def enabled(self) -> bool:
        """Whether it runs; one that was asked for without a word about it does."""
        return all(part.get("enabled", True) for part in self.config.values())


@dataclass(frozen=True, slots=True)
class ClusterOrder:
    """What a customer asked for, checked and complete. Fields of no consequence here are kept as they were given.

    ``num_preemptible_gpus`` come on top of ``num_gpus``; those of the capacity pool are among them. With
    ``auto_scale_max_gpus`` the size moves between ``num_gpus`` and that.
    """

    name: str
    project_id: str
    region: str
    gpu_type: str
    num_gpus: int
    num_reserved_gpus: int
    billing: Billing
    driver: Driver
    cluster_type: str
    acceptance_tests: bool = True
    duration_days: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    install_traefik: bool = False
    slurm_shm_size_gib: int | None = None
    cluster_config: Mapping[str, Any] | None = None
    oidc_config: Mapping[str, Any] | None = None
    add_ons: tuple[AddOn, ...] = ()
    num_preemptible_gpus: int = 0
    capacity_pool_id: str | None = None
    num_capacity_pool_gpus: int = 0
    auto_scale_max_gpus: int | None = None
    slurm_image: str | None = None
