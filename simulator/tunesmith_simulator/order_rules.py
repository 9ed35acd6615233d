"""What an order must keep to: counts, names, terms, what goes with which kind of cluster. Pure.

A rule that the provider documents is cited where it stands; the others are the strictest plausible reading of its
documentation.
"""

import re
from datetime import datetime

from tunesmith_simulator.cluster_orders import Billing, ClusterOrder
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.machines import GPUS_PER_NODE
from tunesmith_simulator.refusals import invalid
from tunesmith_simulator.regions import Region

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""The provider's rule for names is unknown: a DNS label is what Kubernetes can carry. Names need not be unique."""

MAX_SIZE_TIB = 1024
"""The largest volume that an earlier official command line offered; the service's own bound is unknown."""

ADD_ON_KINDS = frozenset({"dashboard", "headlamp", "ingress", "slurm_web"})
"""provider: its documentation names two, its command line the other two."""


def check_order(order: ClusterOrder, region: Region, now: datetime) -> None:
    """Raise RefusedError when an order for a new cluster breaks a rule."""
    check_name("cluster_name", order.name)
    check_gpu_count("num_gpus", order.num_gpus)
    if order.gpu_type not in region.gpu_types:
        raise invalid(f"gpu type {order.gpu_type!r} is not available in region {region.name!r}")
    _check_part("num_reserved_gpus", order.num_reserved_gpus, order.num_gpus)
    _check_part("num_capacity_pool_gpus", order.num_capacity_pool_gpus, order.num_gpus)
    _check_kind(order)
    _check_preemptible(order)
    _check_auto_scale(order)
    check_components(order)
    _check_term(order, now)


def check_change(cluster: Cluster, order: ClusterOrder, num_gpus: int | None) -> None:
    """Raise RefusedError when the counts that a cluster would have do not go together."""
    size = cluster.num_gpus if num_gpus is None else num_gpus
    before = cluster.order
    if order.num_reserved_gpus != before.num_reserved_gpus:
        if order.billing is not Billing.RESERVED:
            raise invalid("num_reserved_gpus is only applicable to billing type RESERVED")
        _check_part("num_reserved_gpus", order.num_reserved_gpus, size)
    if order.num_capacity_pool_gpus != before.num_capacity_pool_gpus:
        if order.capacity_pool_id is None:
            raise invalid("num_capacity_pool_gpus is only valid for clusters created with a capacity_pool_id")
        _check_part("num_capacity_pool_gpus", order.num_capacity_pool_gpus, size)
    _check_preemptible(order)


def _check_kind(order: ClusterOrder) -> None:
    if order.cluster_type == "SLURM":
        if order.slurm_shm_size_gib is None:
            raise invalid("slurm_shm_size_gib is required for cluster type SLURM")
        if order.slurm_shm_size_gib < 1:
            raise invalid("slurm_shm_size_gib must be at least 1")
        if order.install_traefik:
            # provider: only applicable for Kubernetes clusters
            raise invalid("install_traefik is only applicable for cluster type KUBERNETES")
    elif order.slurm_shm_size_gib is not None or order.slurm_image is not None:
        raise invalid("slurm_shm_size_gib and slurm_image are only applicable for cluster type SLURM")


def _check_part(name: str, count: int, num_gpus: int) -> None:
    if not 0 <= count <= num_gpus or count % GPUS_PER_NODE:
        raise invalid(f"{name} must be a multiple of {GPUS_PER_NODE} and not exceed num_gpus")


def _check_preemptible(order: ClusterOrder) -> None:
    if order.num_preemptible_gpus < 0 or order.num_preemptible_gpus % GPUS_PER_NODE:
        raise invalid(f"num_preemptible_gpus must be a multiple of {GPUS_PER_NODE}")
    if order.num_preemptible_gpus and order.cluster_type != "KUBERNETES":
        # provider: Kubernetes only; that at least one standard node stays follows from num_gpus
        raise invalid("num_preemptible_gpus is only available for cluster type KUBERNETES")


def _check_auto_scale(order: ClusterOrder) -> None:
    most = order.auto_scale_max_gpus
    if most is not None and (most < order.num_gpus or most % GPUS_PER_NODE):
        raise invalid(f"auto_scale_max_gpus must be a multiple of {GPUS_PER_NODE} and at least num_gpus")


def check_components(order: ClusterOrder) -> None:
    """Raise RefusedError when components or add-ons do not go together, or with the kind of cluster."""
    names = [add_on.name for add_on in order.add_ons]
    if len(set(names)) < len(names):
        raise invalid("add_ons: two have the same name")
    for add_on in order.add_ons:
        if add_on.kind not in ADD_ON_KINDS:
            raise invalid(f"add_ons: unknown add_on_type {add_on.kind!r}")
        if add_on.kind == "slurm_web" and order.cluster_type != "SLURM":
            raise invalid("add_ons: slurm_web is only available for cluster type SLURM")
        if wrong := sorted(add_on.config.keys() - {add_on.kind}):
            raise invalid(f"add_ons: the config of {add_on.name!r} speaks of {wrong[0]!r}, not of {add_on.kind!r}")
    if order.cluster_type != "SLURM" and (order.cluster_config or {}).get("slurm_startup_scripts"):
        raise invalid("cluster_config.slurm_startup_scripts is only applicable for cluster type SLURM")


def _check_term(order: ClusterOrder, now: datetime) -> None:
    dated = order.starts_at is not None or order.ends_at is not None
    match order.billing:
        case Billing.ON_DEMAND:
            if order.duration_days is not None or dated or order.num_reserved_gpus:
                raise invalid("duration_days, reservation times and num_reserved_gpus do not go with ON_DEMAND")
        case Billing.RESERVED:
            if (order.duration_days is None) == (order.ends_at is None):
                raise invalid("RESERVED needs either duration_days or reservation_end_time")
            if order.duration_days is not None and not 1 <= order.duration_days <= 90:
                raise invalid("duration_days must be between 1 and 90")
        case Billing.SCHEDULED_CAPACITY:
            if order.starts_at is None or order.ends_at is None:
                raise invalid("SCHEDULED_CAPACITY needs reservation_start_time and reservation_end_time")
    if order.ends_at is not None and order.ends_at <= (order.starts_at or now):
        raise invalid("reservation_end_time must be later than the start")


def check_gpu_count(name: str, count: int) -> None:
    """Raise RefusedError unless these are whole nodes, and at least one."""
    if count < GPUS_PER_NODE or count % GPUS_PER_NODE:
        raise invalid(f"{name} must be a multiple of {GPUS_PER_NODE} and at least {GPUS_PER_NODE}, not {count}")


def check_name(field: str, name: str) -> None:
    """Raise RefusedError for a name that Kubernetes could not carry."""
    if not NAME.fullmatch(name):
        raise invalid(
            f"{field} {name!r} must be 1 to 63 lower-case letters, digits and '-', begin and end with a letter or digit"
        )


def check_size(size_tib: int) -> None:
    """Raise RefusedError for a volume size outside what is sold."""
    if not 1 <= size_tib <= MAX_SIZE_TIB:
        raise invalid(f"size_tib must be between 1 and {MAX_SIZE_TIB}, not {size_tib}")
